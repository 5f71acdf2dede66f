"""Attempts: claimed by one, given back if nothing was sent, changed by evidence alone.

The other questions that controllers and jobs ask about attempts are in store/queue.py.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from calls.evidence import End, Evidence, Source, State
from calls.retry import RetryRules
from store.change import Applied, Condition, NewAttempt, apply_evidence, apply_in
from store.claim import SQL as _SQL
from store.claim import Claimed, RefusalReason, Refused, Wanted, _claim, claim, claim_all
from store.facts import NO_TIMERS, FixedTimers, Timers
from store.laning import LaneItem, list_condemned, list_pushed, mark_pushed
from store.pool import Conn, Database
from store.queue import (
    AttemptState,
    Lingering,
    LiveAttempt,
    Overdue,
    grant_grace,
    list_expired,
    list_lingering,
    list_live,
    list_overdue,
    live_pages,
    postpone,
    states,
)

__all__ = [
    "Applied",
    "AttemptState",
    "Claimed",
    "Condition",
    "FixedTimers",
    "LaneItem",
    "Lingering",
    "LiveAttempt",
    "NewAttempt",
    "Overdue",
    "RefusalReason",
    "Refused",
    "Timers",
    "Wanted",
    "apply_evidence",
    "claim",
    "claim_all",
    "grant_grace",
    "list_condemned",
    "list_expired",
    "list_lingering",
    "list_live",
    "list_overdue",
    "list_pushed",
    "live_pages",
    "mark_pushed",
    "postpone",
    "states",
    "unclaim",
]


def unclaim(db: Database, attempt_id: UUID, fence: int, now: datetime) -> bool:
    """Give a claim back because its slot was burned before anything was written to the switch: ``dialing -> queued``.

    True: it is queued again (or, when a hangup came meanwhile, canceled). False: the claim is not this fence's, or the
    switch has been heard of the attempt, so something was written after all. No webhook: the next claim tells none
    either.
    """
    return db.run(lambda conn: _unclaim(conn, attempt_id, fence, now))


def claim_nothing(conn: Conn, now: datetime) -> None:
    """A claim of the attempt that there is not, and its way back: for a connection that is to be warm (store/warm.py). The
    numbers have the size of real ones, for which psycopg prepares statements of their own.
    """
    nobody = UUID(int=0)
    params = {"attempt_id": nobody, "carrier_id": nobody, "fence": 1 << 40, "epoch": 1, "switch": "nobody", "duty": 1}
    _claim(conn, {**params, "pdd_s": 1, "clock": None, "lab": False})
    _unclaim(conn, nobody, 1 << 40, now)


def _unclaim(conn: Conn, attempt_id: UUID, fence: int, now: datetime) -> bool:
    params = {"attempt_id": attempt_id, "fence": fence, "now": now}
    call = conn.execute(_SQL["lock_call_of"], params).fetchone()
    if call is None or conn.execute(_SQL["unclaim"], params).rowcount == 0:
        return False
    call_id, cancel_requested, requested_by = call
    conn.execute(_SQL["requeue_call"], {"call_id": call_id, "now": now})
    if cancel_requested:
        end = End(cause="customer_cancel", at=now, requested_by=requested_by)
        canceled = Evidence(attempt_id, f"cancel:{attempt_id}", Source.OPERATOR, State.ENDED, now, end)
        apply_in(conn, [canceled], rules=RetryRules(), timers=NO_TIMERS, now=now)
    return True
