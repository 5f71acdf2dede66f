"""``dial``: the RQ job of one attempt. Wait for the slot, claim in Postgres, tombstone and originate on one link at once.

From the claim on, Postgres knows the attempt may be out; from the tombstone on, the switch does. Whatever dies in
between, one of the two can be asked.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import gevent
from redis.exceptions import RedisError

from budget import permits
from budget.hold import hold, leave_out
from calls.evidence import End, Evidence, Source, State
from calls.ids import call_ref
from controller import commands
from controller.esl import EslError
from controller.esl_errors import NotOnDuty, TooLate
from crashpoint import armed, crash_point
from store import attempts

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.board import Board

log = logging.getLogger(__name__)
_NOT_HELD = "the carrier was not held; without Redis nothing is dialed anyway"


@dataclass
class Dial:
    """One permit on its way to the wire. ``target``, ``use_by``: monotonic times between which the INVITE may leave;
    ``lead_s``: how long before the work on it begins at the latest. ``ready_s``: how long that took, set when done, in time
    or not. ``missed``: it was not done in time.
    """

    board: Board
    permit: permits.Grant
    carrier_id: UUID
    target: float
    use_by: float
    lead_s: float
    rest_us: int  # the carrier's window and jitter: how long it rests after an INVITE of unknown time
    record: Callable[[Evidence], None]
    duty: int | None = None  # the fence under which the permit was asked for
    began: float = field(default_factory=time.monotonic)
    ready_s: float | None = None
    missed: bool = False
    acknowledged: bool = False  # by the switch: its permit is to be marked as claimed
    result: str = "failed"
    requeue: bool = False  # set when the slot was burned before anything was written


def dial() -> str:
    """What RQ knows as the work of a dial job. A worker that takes it from a lane by itself has no permit for it."""
    raise RuntimeError("a dial job runs only under a permit: let the controller take it from its lane")


def place_call(d: Dial) -> str:
    """Dials one attempt or says why not: ``sent``, ``burned: ...``, ``refused: ...``, ``unacknowledged``.

    Raises ``psycopg.Error`` when Postgres fails at the claim: nothing was sent then, and the sweep of popped attempts
    asks Postgres whether the claim stands.
    """
    board, permit, settings = d.board, d.permit, d.board.settings
    use_by = d.use_by
    crash_point("dial.begun")
    spare = d.target - d.lead_s - time.monotonic()
    if spare > 0:
        gevent.sleep(spare)
        d.began = time.monotonic()
    if not board.may_dial or time.monotonic() > use_by:
        return _burn(d, "late" if board.may_dial else "switch down", claimed=False)
    claim = board.claims.do(
        attempts.Wanted(permit.attempt_id, permit.fence, permit.epoch, d.carrier_id, d.duty)  # with others that are due
    )
    if isinstance(claim, attempts.Refused):
        if claim.reason == "drained":
            board.drained = True  # told by the last word on it, before our own look
            return _burn(d, "switch drained", claimed=False)
        permits.refuse(board.redis, permit.attempt_id, permit.fence)
        return f"refused: {claim.reason}"
    crash_point("dial.claimed")
    wire = wire_of(d, claim)
    if wire is None:
        return "refused: not dialable"
    d.ready_s = time.monotonic() - d.began
    gevent.sleep(max(0.0, d.target - time.monotonic()))
    if not board.originates.acquire(timeout=max(0.0, use_by - time.monotonic())):
        return _burn(d, "link busy", claimed=True)
    try:
        if permit.attempt_id in board.kills:
            d.record(_never_sent(permit.attempt_id, "customer_cancel", board.kills.pop(permit.attempt_id)))
            return "refused: canceled"
        if time.monotonic() > use_by or not board.may_dial:
            return _burn(d, "late", claimed=True)
        board.unacked[permit.attempt_id] = time.monotonic()
        try:
            if armed("dial.tombstoned"):  # the two leave in one write; only so can one die in between
                board.link.write(wire[:1], use_by=use_by)[0].wait()
                crash_point("dial.tombstoned")
            tombstone, originate = board.link.write(wire, use_by=use_by)
            crash_point("dial.written")
        except EslError as error:
            if not error.maybe_sent:
                return _burn(d, _why_unsent(error), claimed=True)
            return _unacknowledged(d, error)
        try:
            reply = originate.wait()
            proved = tombstone.wait().startswith("+OK")
        except EslError as error:
            return _unacknowledged(d, error)
        acknowledged = time.monotonic()
    finally:
        board.unacked.pop(permit.attempt_id, None)
        board.originates.release()
    crash_point("dial.acknowledged")
    # Where no slot could be left out, the permit goes on as one of unknown time.
    d.acknowledged = acknowledged - d.target <= settings.ack_limit_s or _left_out(d)
    if not reply.startswith("+OK"):
        d.record(_never_sent(permit.attempt_id, "never_sent", None))
        return f"refused: {reply}"
    if not proved:
        log.error("sent without a tombstone; no more dialing", extra={"attempt": str(permit.attempt_id)})
        board.unproved.add(permit.attempt_id)
        board.tombstones = 0
    return "sent"


def _why_unsent(error: EslError) -> str:
    return "late" if isinstance(error, TooLate) else "off duty" if isinstance(error, NotOnDuty) else "switch down"


def _unacknowledged(d: Dial, error: EslError) -> str:
    """Written, perhaps: reconcile asks the switch whether tombstone or channel is there, or it was never sent."""
    _rest(d)
    d.board.unsettled[d.carrier_id] = d.rest_us  # and again when the switch reads what it was sent
    return f"unacknowledged: {error}"


def _left_out(d: Dial) -> bool:
    """The INVITE has left, at a time nobody knows between its slot and now: a slot is left out for it. False: it was not."""
    late_ms = (time.monotonic() - d.target) * 1000
    facts = {"attempt": str(d.permit.attempt_id), "late_ms": round(late_ms, 1)}
    log.warning("acknowledged late; a slot is left out", extra=facts)
    try:
        leave_out(d.board.redis, d.carrier_id)
    except (RedisError, OSError):
        log.warning(_NOT_HELD)
        return False
    return True


def _rest(d: Dial) -> None:
    """The INVITE may leave at any time: the carrier gets nothing else within a window from now."""
    log.warning("not acknowledged; the carrier rests", extra={"attempt": str(d.permit.attempt_id)})
    try:
        hold(d.board.redis, d.carrier_id, d.rest_us)
    except (RedisError, OSError):
        log.warning(_NOT_HELD)


def wire_of(d: Dial, claim: attempts.Claimed) -> list[commands.Command] | None:
    """Tombstone and originate, or None (and an end on record) when a stored value is not fit for the wire."""
    settings, attempt = d.board.settings, d.permit.attempt_id
    trunk = d.board.trunks[d.carrier_id]
    ring_s = min(claim.ring_timeout_s, trunk.ring_s or claim.ring_timeout_s)
    fork = None
    if claim.agent_kind in ("websocket", "fleet"):
        fork = f"ws://{settings.relay_host}:{settings.relay_port}/fork/{attempt}"
    try:
        return [
            commands.hash_insert(settings.tombstone_realm, attempt, d.permit.fence),
            commands.originate(
                attempt_id=attempt,
                call_ref=call_ref(claim.call_id),
                tenant=claim.tenant_name,
                gateway=claim.gateway,
                to_number=claim.to_number,
                from_number=claim.from_number,
                originate_timeout_s=claim.pdd_s + ring_s,
                max_duration_s=claim.max_duration_s,
                fork_url=fork,
                trunk=trunk,
                user=claim.user,
            ),
        ]
    except commands.CommandError as error:
        log.error("not dialable", extra={"attempt": str(attempt), "error": str(error)})
        d.record(_never_sent(attempt, "blocked", None))
        return None


def _burn(d: Dial, why: str, *, claimed: bool) -> str:
    """The slot passed unused. The claim is taken back by its own fence; the attempt returns to the front of its lane."""
    if claimed and not attempts.unclaim(d.board.db, d.permit.attempt_id, d.permit.fence, datetime.now(UTC)):
        return f"burned: {why}, and no longer ours"
    if claimed:
        crash_point("dial.unclaimed")
    d.requeue = True
    d.missed = why == "late"
    return f"burned: {why}"


def _never_sent(attempt_id: UUID, cause: str, requested_by: str | None) -> Evidence:
    """Proof by ourselves: nothing of this attempt went onto the wire."""
    now = datetime.now(UTC)
    end = End(cause, now, local=True, requested_by=requested_by)
    return Evidence(attempt_id, f"never_sent:{attempt_id}", Source.RECONCILE, State.ENDED, now, end)
