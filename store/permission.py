"""Between the rows of a call and the rules about outbound calls (calls/permission.py): what they want is read in one
question, what they said is kept with the attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from calls.consent import Consent
from calls.permission import Facts, Verdict, facts_of, judge
from calls.places import Recipient
from calls.retry import RetryRules
from calls.standing import Standing
from calls.test_numbers import NO_NUMBER, TEST_ROUTE
from store.caps import ASKED
from store.limits import Unreadable, limits_at, place_of_call, rules_of
from store.pool import Conn, Database
from store.queries import load
from store.records import recordset
from store.rows import Call

_SQL = load("permission")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a call before it is accepted. ``route`` None: its number leads nowhere; ``agent_kind`` None: the
    tenant has no such agent; ``needs``: variables that it must be given; ``seats``: what its calls take of the fleet
    (``store.agents.Agent.seats``).
    """

    route: str | None
    agent_kind: str | None
    standing: Standing
    needs: Sequence[str] = ()
    seats: str | None = None


def ask(db: Database, tenant_id: UUID, agent_id: UUID, to: str, caller: str, *, test: bool = False) -> Known:
    """All that :func:`calls.permission.judge` needs of the database for a new call, or a ``test`` call, and its route."""
    digits = to.removeprefix("+")
    params = {
        "prefixes": [digits[:length] for length in range(len(digits) + 1)],
        "agent_id": agent_id,
        "tenant_id": tenant_id,
        "to_number": to,
        "from_number": caller,
        "test": test,
        "test_route": TEST_ROUTE,
        "no_number": NO_NUMBER,
    }
    with db.connection() as conn:
        row = conn.execute(_SQL["ask"], params).fetchone()
    if row is None:
        return Known(None, None, Standing())
    return Known(row[0], row[1], Standing.read(row[2]), row[3] or (), row[4])


class Question(Protocol):
    """A call of which is asked what the rules want to know."""

    @property
    def agent_id(self) -> UUID: ...
    @property
    def to_number(self) -> str: ...
    @property
    def from_number(self) -> str: ...
    @property
    def test(self) -> bool: ...


def ask_each(conn: Conn, tenant_id: UUID, asked: Sequence[Question]) -> Callable[[], list[tuple[Known, bool | None]]]:
    """As :func:`ask`, of many in the caller's pipeline, in their order; the result waits for the answer. Beside it whether
    the agent is paused; None: the tenant has no such agent, or it is archived.
    """
    params = {
        "tenant_id": tenant_id,
        "to_numbers": [one.to_number for one in asked],
        "from_numbers": [one.from_number for one in asked],
        "agent_ids": [one.agent_id for one in asked],
        "tests": [one.test for one in asked],
        "test_route": TEST_ROUTE,
        "no_number": NO_NUMBER,
    }
    rows = conn.execute(_SQL["ask_each"], params)
    return lambda: [(Known(row[0], row[1], Standing.read(row[2]), row[4] or (), row[5]), row[3]) for row in rows]


def ask_all(db: Database, tenant_id: UUID, numbers: Sequence[tuple[str, str]]) -> list[Standing]:
    """The tenant's standing for each of many calls, ``(to, from)``, in their order; one question. Kept, each is small."""
    params = {
        "tenant_id": tenant_id,
        "to_numbers": [to for to, _ in numbers],
        "from_numbers": [caller for _, caller in numbers],
    }
    with db.connection() as conn:
        rows = conn.execute(_SQL["ask_all"], params)
        return [Standing.read(row[0]).kept(to) for (to, _), row in zip(numbers, rows, strict=True)]


def facts_for(
    call: Call,
    agent_kind: str,
    standing: object,
    pdd_s: float,
    rang: Collection[datetime] = (),
    others: Collection[datetime] = (),
) -> Facts:
    """The facts of an accepted call. ``standing``: the document as it was read. Raises :class:`store.limits.Unreadable`."""
    try:
        now = Standing.read(standing)
        recipient, consent = Recipient.read(call.recipient), Consent.read(call.consent)
    except ValueError as error:
        raise Unreadable(str(error)) from error
    place = place_of_call(call, now.time_zone)
    limits, recipients = limits_at(call, rules_of(call, RetryRules()), pdd_s, place, rang, others)
    return facts_of(
        to=call.to_number,
        caller=call.from_number,
        agent_kind=agent_kind,
        standing=now,
        limits=limits,
        recipient=recipient,
        consent=consent,
        window_is_recipients=recipients,
    )


def judged(
    call: Call,
    agent_kind: str,
    standing: object,
    pdd_s: float,
    at: datetime,
    rang: Collection[datetime] = (),
    others: Collection[datetime] = (),
) -> Verdict:
    """What the rules say to a dial of the call at ``at``. Raises :class:`store.limits.Unreadable`."""
    return judge(facts_for(call, agent_kind, standing, pdd_s, rang, others), at)


def read_standings(conn: Conn, attempt_ids: Sequence[UUID], clock: datetime) -> dict[UUID, tuple[str, Any]]:
    """By attempt: its agent's kind and its tenant's standing at ``clock``, for :func:`facts_for`."""
    rows = conn.execute(_SQL["of_attempts"], {**ASKED, "ids": list(attempt_ids), "clock": clock, "take": False}).fetchall()
    return {row[0]: (row[1], row[2]) for row in rows}


def keep(conn: Conn, decisions: Sequence[tuple[UUID, dict[str, Any]]]) -> None:
    """Writes the decisions down with their attempts, in the caller's transaction."""
    if decisions:
        conn.execute(_SQL["keep"], {"rows": recordset([{"id": id_, "decision": said} for id_, said in decisions])})


def decisions(db: Database, tenant_id: UUID, call_id: UUID) -> dict[UUID, dict[str, Any] | None]:
    """Of the tenant's call: by attempt, what the rules said when they were asked last; None: never asked."""
    with db.connection() as conn:
        return dict(conn.execute(_SQL["decisions"], {"tenant_id": tenant_id, "id": call_id}).fetchall())
