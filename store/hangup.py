"""A hangup at any moment of a call's life: it cancels a waiting call, ends a live one, and is never lost in between.

A queued attempt is ended here, under the call's lock, so a claim that comes later finds it ended. Otherwise the claim
was first: the wish is kept on the call (no retry follows) and as an open command of the claim's switch. Its controller
reads those when it is woken, at every sweep and after a reconnect; one whose channel is not up yet it keeps, and carries
out before the dial is written or when the channel appears.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from calls.evidence import End, Evidence, Source, State
from calls.ids import new_uuid7
from calls.retry import RetryRules
from store.change import apply_in
from store.facts import NO_TIMERS
from store.pool import Conn, Database
from store.queries import load

_SQL = load("hangup")

HangupKind = Literal["canceled", "requested", "already_ended", "not_found"]
#: As call_commands demands; what a channel says of its end is one of them too.
_WHO = frozenset({"customer", "agent", "operator", "platform"})


@dataclass(frozen=True, slots=True)
class Hangup:
    """``canceled``: it was never dialed and has ended; ``requested``: ``command_id`` waits for the controller."""

    kind: HangupKind
    command_id: UUID | None = None
    attempt_id: UUID | None = None


def request_hangup(db: Database, tenant_id: UUID, call_id: UUID, by: str, now: datetime) -> Hangup:
    """End the call at whatever point it is. ``by``: customer, operator, agent or platform. Repeating it changes nothing.

    Errors: ``ValueError`` for anybody else.
    """
    if by not in _WHO:
        raise ValueError(f"by: {by!r} cannot ask for a hangup: one of {', '.join(sorted(_WHO))} can")
    return db.run(lambda conn: _request(conn, tenant_id, call_id, by, now))


def _request(conn: Conn, tenant_id: UUID, call_id: UUID, by: str, now: datetime) -> Hangup:
    locked = conn.execute(_SQL["lock_call"], {"tenant_id": tenant_id, "call_id": call_id}).fetchone()
    if locked is None:
        return Hangup("not_found")
    # A statement of its own: only one that starts under the call's lock sees which attempt is the latest.
    latest = conn.execute(_SQL["lock_latest"], {"call_id": call_id}).fetchone()
    assert latest is not None, "a call has at least one attempt"
    attempt_id, state, switch = latest
    if locked[0]:
        return Hangup("already_ended", attempt_id=attempt_id)
    conn.execute(_SQL["want_cancel"], {"call_id": call_id})
    if state == State.QUEUED:
        end = End(cause="customer_cancel", at=now, requested_by=by)
        evidence = Evidence(attempt_id, f"cancel:{attempt_id}", Source.OPERATOR, State.ENDED, now, end)
        # No rule is asked: the policy never retries what was asked to end.
        apply_in(conn, [evidence], rules=RetryRules(), timers=NO_TIMERS, now=now)
        return Hangup("canceled", attempt_id=attempt_id)
    params = {
        "id": new_uuid7(),
        "call_id": call_id,
        "attempt_id": attempt_id,
        "switch": switch,
        "verb": "hangup",
        "by": by,
        "now": now,
    }
    command = conn.execute(_SQL["add_command"], params).fetchone()
    assert command is not None
    conn.execute(_SQL["log_request"], params)
    conn.execute(_SQL["notify"], {"payload": f"{switch or '-'} {attempt_id}"})
    return Hangup("requested", command[0], attempt_id)
