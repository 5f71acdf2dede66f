"""Attempts: claimed by one, given back if nothing was sent, changed by evidence alone.

The other questions that controllers and jobs ask about attempts are in store/queue.py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from calls.evidence import End, Evidence, Source, State
from calls.retry import RetryRules
from calls.windows import Why
from store.change import Applied, Condition, NewAttempt, apply_evidence, apply_in
from store.facts import NO_TIMERS, FixedTimers, Timers
from store.laning import LaneItem, list_condemned, list_pushed, mark_pushed
from store.limits import QUIET, REACH, Unreadable, limits_of, rules_of
from store.outbox import outbox_row
from store.pool import Conn, Database
from store.queries import load
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
from store.records import recordset
from store.reschedule import reschedule_in
from store.rows import Attempt, Call
from store.snapshot import webhook_body

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
    "apply_evidence",
    "claim",
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

_SQL = load("attempts")
_OUTBOX = load("outbox")
_CALL_WIDTH = len(Call.__dataclass_fields__)

RefusalReason = Literal[
    "gone", "not_queued", "not_due", "expired", "canceled", "paused", "agent_paused", "drained", "epoch", "no_endpoint",
    "off_duty", "unreadable", Why,
]  # fmt: skip
#: Refused for ever; or for this switch alone, whose controller puts it back. For any other reason the attempt, if still
#: queued, is in no lane now and has to come back into one; with ``agent_paused`` not before its agent is resumed.
_STAYS = frozenset({"gone", "canceled", "expired", "drained"})
#: Refused by the call's own rules: it comes back at the next moment that they allow, or ends.
_RULED = frozenset({"window", "per_day", "number_per_day", "unreadable"})


@dataclass(frozen=True, slots=True)
class Claimed:
    """All that the dial needs. ``*_s`` are seconds; ``pdd_s`` is the carrier's own where it has one."""

    attempt_id: UUID
    call_id: UUID
    number: int
    lane: str
    priority: str
    tenant_id: UUID
    tenant_name: str
    to_number: str
    from_number: str
    agent_id: UUID
    agent_kind: str
    carrier_id: UUID
    gateway: str
    switch: str
    fence: int
    epoch: int
    ring_timeout_s: int
    max_duration_s: int
    pdd_s: int
    claimed_at: datetime
    deadline_at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """Not claimed, and nothing was changed but this: for a reason that passes, the attempt counts as not laned. Where the
    call's own rules forbid a dial now (``window``, ``per_day``, ``number_per_day``, ``unreadable``), it also has a later
    ``due_at``, or has ended.
    """

    reason: RefusalReason


def claim(
    db: Database,
    attempt_id: UUID,
    *,
    fence: int,
    epoch: int,
    switch: str,
    carrier_id: UUID,
    pdd_s: int,
    duty: int | None = None,
    clock: datetime | None = None,
) -> Claimed | Refused:
    """Take the attempt for dialing: ``queued -> dialing`` in one statement that checks everything that may forbid it.

    Of any number of racing claims exactly one is :class:`Claimed`. The call becomes ``dialing`` and its webhook is
    written in the same transaction. A lost connection is raised, not retried: whoever does not know that its claim was
    committed must not dial, and the attempt's deadline (``clock + pdd_s``) finds it. What is due, what has expired, and from
    when the deadline runs, is told by ``clock``, None: the database's, so that it is the same on every host. ``duty``: the
    fence under which this controller is on duty beside the switch (store/duty.py); None: it has no other beside it.
    """
    params = {
        "attempt_id": attempt_id,
        "fence": fence,
        "epoch": epoch,
        "switch": switch,
        "carrier_id": carrier_id,
        "pdd_s": pdd_s,
        "duty": duty,
        "clock": clock,
    }
    return db.run(lambda conn: _claim(conn, params), lost=False)


def _claim(conn: Conn, params: dict[str, Any]) -> Claimed | Refused:
    with conn.pipeline():
        row = conn.execute(_SQL["claim"], {**params, "quiet": QUIET, "reach": REACH}).fetchone()
        if row is None:
            why = conn.execute(_SQL["why_refused"], params).fetchone()
            reason, pdd_s, clock = ("gone", params["pdd_s"], None) if why is None else why
            if reason not in _STAYS and reason not in _RULED:
                conn.execute(_SQL["unlane"], params)
        else:
            hook, tenant_name, agent_kind, pdd_s, clock, rang, number_rang, *columns = row
            call, attempt = Call(*columns[:_CALL_WIDTH]), Attempt(*columns[_CALL_WIDTH:])
            reason = _forbidden(call, pdd_s, clock, rang or (), number_rang or ())
            if reason is None:
                if hook is not None:
                    body = webhook_body("call.dialing", clock, call, attempt)
                    conn.execute(
                        _OUTBOX["insert"], {"rows": recordset([outbox_row(call, "call.dialing", body, hook, clock)])}
                    )
                    conn.execute(_OUTBOX["notify"])
                conn.commit()
    if reason is not None:
        if reason in _RULED:
            conn.rollback()
            reschedule_in(conn, [params["attempt_id"]], pdd_s=pdd_s, now=clock, clock=params["clock"], refused=reason)
        return Refused(reason)
    assert attempt.gateway is not None
    assert attempt.deadline_at is not None
    return Claimed(
        attempt_id=attempt.id,
        call_id=call.id,
        number=attempt.number,
        lane=attempt.lane,
        priority=call.priority,
        tenant_id=call.tenant_id,
        tenant_name=tenant_name,
        to_number=call.to_number,
        from_number=call.from_number,
        agent_id=call.agent_id,
        agent_kind=agent_kind,
        carrier_id=params["carrier_id"],
        gateway=attempt.gateway,
        switch=params["switch"],
        fence=params["fence"],
        epoch=params["epoch"],
        ring_timeout_s=call.ring_timeout_s,
        max_duration_s=call.max_duration_s,
        pdd_s=pdd_s,
        claimed_at=clock,
        deadline_at=attempt.deadline_at,
    )


def _forbidden(
    call: Call, pdd_s: float, clock: datetime, rang: Collection[datetime], others: Collection[datetime]
) -> RefusalReason | None:
    """What the call's own rules say against a dial at ``clock``, asked of the very row that was claimed: what was worked out
    before may be old, or another's.
    """
    if call.dial_window is None and call.retry is None:
        return None
    try:
        return limits_of(call, rules_of(call, RetryRules()), pdd_s, rang, others).against(clock)
    except Unreadable:
        return "unreadable"


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
    _claim(conn, {**params, "pdd_s": 1, "clock": None})
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
