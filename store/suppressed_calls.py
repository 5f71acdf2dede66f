"""The calls to numbers that are suppressed now: those that wait are canceled, those that are dialed or ring are hung up.

A conversation that is under way goes on: it may be the one in which the wish was told. Locks as everywhere: calls by id,
then attempts by id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from calls.evidence import End, Evidence, Source, State
from calls.ids import new_uuid7
from calls.retry import RetryRules
from store.change import apply_in
from store.facts import NO_TIMERS
from store.pool import Conn, Database
from store.queries import load

_SQL = load("suppressions")
#: Calls ended in one transaction.
PORTION = 100
#: For more numbers of the whole house than this, all calls that are not over are looked through, so many at a time.
MANY, PAGE = 50, 20_000
#: Of fewer, or a tenant's own, so many are asked for in one statement.
TOGETHER = 500
_FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Wish:
    """Not to be called: by the tenant, or (None) by nobody of this house."""

    number: str
    tenant_id: UUID | None

    @property
    def by(self) -> str:
        """Who asks for the end of a call, as call_commands names them."""
        return "operator" if self.tenant_id is None else "customer"


def ending(db: Database, wishes: Sequence[Wish], moment: Callable[[], datetime], most: int | None = None) -> Iterator[int]:
    """End the calls of these wishes, those on the line first, step by step, a transaction each; how many were canceled, or
    asked to end, in each. Of those that wait ``most`` at most (None: all), and then none of those of wishes of everybody's
    that are too many to ask for each (:data:`MANY`). ``moment``: when it is, at each step. Raises ``psycopg.Error``; what
    was done until then stands, and it may be done again.
    """
    for by in ("operator", "customer"):
        mine = [wish for wish in wishes if wish.by == by]
        if not mine:
            continue
        with db.connection() as conn:
            live = [row[0] for row in conn.execute(_SQL["on_the_line"], _params(mine)).fetchall()]
        for start in range(0, len(live), PORTION):
            yield _end(db, sorted(live)[start : start + PORTION], by, moment())
        walks = by == "operator" and len(mine) > MANY
        if walks and most is not None:
            continue
        left = most
        for portion in _walk(db, mine) if walks else _waiting(db, mine):
            portion = portion if left is None else portion[:left]
            yield _end(db, portion, by, moment()) if portion else 0
            left = None if left is None else left - len(portion)
            if left == 0:
                break


def _params(wishes: Sequence[Wish]) -> dict[str, object]:
    return {"numbers": [wish.number for wish in wishes], "tenants": [wish.tenant_id for wish in wishes]}


def _waiting(db: Database, wishes: Sequence[Wish]) -> Iterator[list[UUID]]:
    """Their calls that are not over, portion by portion, by id; an empty portion where there is none for some of them."""
    for start in range(0, len(wishes), TOGETHER):
        after = _FIRST
        while True:
            with db.connection() as conn:
                params = {**_params(wishes[start : start + TOGETHER]), "after": after, "limit": PORTION}
                found = [row[0] for row in conn.execute(_SQL["waiting"], params).fetchall()]
            yield found
            if len(found) < PORTION:
                break
            after = found[-1]


def _walk(db: Database, wishes: Sequence[Wish]) -> Iterator[list[UUID]]:
    """The same for many that are everybody's: all calls that are not over are looked through, once."""
    numbers, after = [wish.number for wish in wishes], _FIRST
    while True:
        with db.connection() as conn:
            row = conn.execute(_SQL["page_end"], {"after": after, "limit": PAGE}).fetchone()
            if row is None:
                return
            params = {"after": after, "until": row[0], "numbers": numbers}
            found = [one[0] for one in conn.execute(_SQL["waiting_between"], params).fetchall()]
        for start in range(0, max(1, len(found)), PORTION):
            yield found[start : start + PORTION]
        after = row[0]


def _end(db: Database, calls: Sequence[UUID], by: str, now: datetime) -> int:
    return db.run(lambda conn: _end_in(conn, calls, by, now))


def _end_in(conn: Conn, calls: Sequence[UUID], by: str, now: datetime) -> int:
    """In one transaction, which is committed."""
    open_ = [row[0] for row in conn.execute(_SQL["lock_calls"], {"calls": list(calls)}).fetchall()]
    if not open_:
        return 0
    latest = conn.execute(_SQL["latest"], {"calls": open_}).fetchall()
    if not latest:
        return 0
    params = {
        "calls": [row[1] for row in latest],
        "attempts": [row[0] for row in latest],
        "ids": [new_uuid7() for _ in latest],
        "by": by,
        "now": now,
    }
    conn.execute(_SQL["want_cancel"], params)
    conn.execute(_SQL["log"], params)
    live = [row for row in latest if row[2] != State.QUEUED]
    if live:
        asked = {"calls": [row[1] for row in live], "attempts": [row[0] for row in live]}
        conn.execute(_SQL["add_commands"], {**params, **asked, "ids": [new_uuid7() for _ in live]})
        conn.execute(_SQL["notify"])
    ends = [
        Evidence(
            row[0], f"suppressed:{row[0]}:end", Source.OPERATOR, State.ENDED, now,
            End("customer_cancel", now, local=True, requested_by=by, note="suppressed"),
        )
        for row in latest if row[2] == State.QUEUED
    ]  # fmt: skip
    # It commits. No rule is asked: the policy never retries what was asked to end.
    apply_in(conn, ends, rules=RetryRules(), timers=NO_TIMERS, now=now)
    return len(latest)
