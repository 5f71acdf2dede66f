"""A queued attempt that may not be dialed now: later, at the first moment its rules allow, or never.

Its window is closed, people are not called at this hour, or its dials of the local day are used up. It waits in the backlog
for the next moment; if there is none before ``expires_at`` the call ends as expired. Where a rule forbids it for ever
(calls/permission.py), or the rules cannot be read, it ends as blocked at once.

What a claim refused by these rules, and they then allow after all, comes back a little later (AGAIN), never at once: if the
two looks should ever differ for good, it is seen in the call's events and is no endless loop of permits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from calls.evidence import End, Evidence, Source, State
from calls.permission import first, judge
from calls.retry import RetryRules
from store import permission
from store.caps import hold_in, settle_in
from store.change import apply_in, ask_past, read_others
from store.facts import NO_TIMERS
from store.limits import Past, Unreadable, dials
from store.pool import Conn, Database
from store.queries import load
from store.records import recordset
from store.rows import Attempt, Call

_SQL = load("reschedule")
_CHANGE = load("change")
#: How much later what was refused for no reason that is found again.
AGAIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class _Later:
    """The row as it shall be; ``why``: what made it wait, None if it may be dialed at once."""

    call: Call
    attempt: Attempt
    due_at: datetime
    dial_until: datetime | None
    why: str | None
    note: str | None = None


def reschedule(db: Database, ids: Sequence[UUID], *, pdd_s: int, now: datetime, clock: datetime | None = None) -> int:
    """Of the attempts, those that are queued: each gets the next moment at which it may be dialed and is in no lane then, or
    its end. Returns how many ended. ``pdd_s`` as at a claim; ``clock`` None: the database's.
    """
    return db.run(lambda conn: reschedule_in(conn, ids, pdd_s=pdd_s, now=now, clock=clock)) if ids else 0


def reschedule_in(
    conn: Conn, ids: Sequence[UUID], *, pdd_s: int, now: datetime, clock: datetime | None, refused: str | None = None
) -> int:
    """:func:`reschedule` inside the caller's transaction, which it commits. ``refused``: why a claim of them just was."""
    with conn.pipeline():
        locked = conn.execute(_CHANGE["lock_calls"], {"ids": list(ids)}, binary=True)
        queued = conn.execute(_SQL["lock_queued"], {"ids": list(ids), "clock": clock})
        calls = {row[0]: Call(*row[:-2]) for row in locked.fetchall()}
        attempts = [(row[0], Attempt(*row[1:])) for row in queued.fetchall()]
        if not attempts:
            conn.commit()
            return 0
        if refused is not None:
            settle_in(conn, ids, clock)
        past = ask_past(conn, [attempt.id for _, attempt in attempts])()
        others = read_others(conn, calls.values(), attempts[0][0])
        standings = permission.read_standings(conn, [attempt.id for _, attempt in attempts], attempts[0][0])
        later: list[_Later] = []
        said: list[tuple[UUID, dict[str, Any]]] = []
        ends: list[Evidence] = []
        for moment, attempt in attempts:
            call = calls[attempt.call_id]
            known = (past.get(call.id, []), others.get(call.id, []))
            decided, decision = _decide(call, attempt, standings[attempt.id], known, pdd_s, moment, now)
            if decision is not None:
                said.append((attempt.id, decision))
            if isinstance(decided, Evidence):
                ends.append(decided)
            else:
                later.append(decided if refused is None else _not_at_once(decided, moment, refused))
        _write(conn, later, now)
        permission.keep(conn, said)
        hold_in(conn, [(calls[attempt.call_id].tenant_id, attempt.id) for _, attempt in attempts], dict(said))
        # It commits; and nothing is asked of rules where an attempt ends that was never dialed.
        apply_in(conn, ends, rules=RetryRules(), timers=NO_TIMERS, now=now)
    return len(ends)


def _decide(
    call: Call,
    attempt: Attempt,
    standing: tuple[str, Any],
    known: tuple[Sequence[Past], Sequence[datetime]],
    pdd_s: int,
    clock: datetime,
    now: datetime,
) -> tuple[_Later | Evidence, dict[str, Any] | None]:
    """What becomes of the attempt, and what the rules said of it; None: they could not be asked."""
    past, others = known
    try:
        facts = permission.facts_for(call, *standing, pdd_s, dials(past), others)
    except Unreadable as error:
        return _end(attempt, "blocked", str(error), now), None
    earliest = max(attempt.due_at, clock)
    verdict = judge(facts, earliest)
    decision, why = verdict.as_dict(), None if verdict.first is None else verdict.first.rule
    if (final := verdict.final) is not None:
        return _end(attempt, f"blocked_{final.rule}", final.words, now), decision
    opening = first(facts, earliest, call.expires_at, verdict)
    if opening is None:
        note = f"{why or 'expires_at'} leaves no moment for a dial before expires_at"
        return _end(attempt, "expired", note, now), decision
    return _Later(call, attempt, attempt.due_at if why is None else opening.at, opening.until, why), decision


def _not_at_once(later: _Later, clock: datetime, refused: str) -> _Later:
    """Refused a moment ago, and nothing is found against it nor to be put right: it would be refused again."""
    if later.why is not None or later.dial_until != later.attempt.dial_until:
        return later
    due_at = max(later.attempt.due_at, clock) + AGAIN
    return replace(later, due_at=due_at, why=refused, note="refused at the claim; nothing against it was found after that")


def _end(attempt: Attempt, cause: str, why: str, now: datetime) -> Evidence:
    end = End(cause, now, local=True, note=why)
    return Evidence(attempt.id, f"{cause}:{attempt.id}", Source.OPERATOR, State.ENDED, now, end)


def _write(conn: Conn, later: Sequence[_Later], now: datetime) -> None:
    rows = [{"id": one.attempt.id, "due_at": one.due_at, "dial_until": one.dial_until} for one in later]
    moved = [one for one in later if one.why is not None]
    calls = [{"id": one.call.id, "due_at": one.due_at} for one in moved]
    events = [
        {
            "attempt_id": one.attempt.id,
            "dedupe": f"rescheduled:{one.attempt.id}:{one.due_at.isoformat()}",
            "source": "policy",
            "type": "attempt.rescheduled",
            "at": now,
            "data": {"reason": one.why, "due_at": one.due_at} | ({} if one.note is None else {"note": one.note}),
        }
        for one in moved
    ]
    for given, statement in (
        (rows, _SQL["move_attempts"]),
        (calls, _SQL["move_calls"]),
        (events, _CHANGE["insert_evidence"]),
    ):
        if given:
            conn.execute(statement, {"rows": recordset(given)})
