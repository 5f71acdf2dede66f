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

from calls.ids import new_uuid7
from calls.retry import RetryRules
from store.change import apply_in
from store.facts import NO_TIMERS
from store.pool import Conn, Database
from store.queries import load
from store.wish import CANCELED, put_done, put_down

_SQL = load("hangup")

HangupKind = Literal["canceled", "requested", "already_ended", "not_found"]
#: Result of a command that nobody had to carry out: there was nothing to end.
ALREADY_ENDED = "already ended"
_KINDS: dict[str | None, HangupKind] = {CANCELED: "canceled", ALREADY_ENDED: "already_ended"}
#: As call_commands demands; what a channel says of its end is one of them too.
_WHO = frozenset({"customer", "agent", "operator", "platform"})


class OtherAction(ValueError):
    """The asker has given this name to another kind of action of the call: another name is needed."""


def same_verb(known: str, wanted: str) -> None:
    """Raises :class:`OtherAction` unless the action of that name is of the kind that is asked for."""
    if known != wanted:
        raise OtherAction(f"an action of this name was a {known}, not a {wanted}")


@dataclass(frozen=True, slots=True)
class Hangup:
    """``canceled``: it was never dialed and has ended; ``requested``: ``command_id`` waits for the controller.
    ``command_id`` None only where there is no such call.
    """

    kind: HangupKind
    command_id: UUID | None = None
    attempt_id: UUID | None = None


def request_hangup(
    db: Database, tenant_id: UUID, call_id: UUID, by: str, now: datetime, *, action: str | None = None
) -> Hangup:
    """End the call at whatever point it is. ``by``: customer, operator, agent or platform. Repeating it changes nothing.

    ``action``: what the asker calls it (1 to 255 characters); asked for by that name again, it is the same action, whatever
    has become of the call. Errors: ``ValueError`` for anybody else; :class:`OtherAction`.
    """
    if by not in _WHO:
        raise ValueError(f"by: {by!r} cannot ask for a hangup: one of {', '.join(sorted(_WHO))} can")
    return db.run(lambda conn: request_in(conn, tenant_id, call_id, by, now, action=action))


def request_in(conn: Conn, tenant_id: UUID, call_id: UUID, by: str, now: datetime, *, action: str | None = None) -> Hangup:
    """:func:`request_hangup` inside the caller's transaction."""
    locked = conn.execute(_SQL["lock_call"], {"tenant_id": tenant_id, "call_id": call_id}).fetchone()
    if locked is None:
        return Hangup("not_found")
    # A statement of its own: only one that starts under the call's lock sees which attempt is the latest.
    latest = conn.execute(_SQL["lock_latest"], {"call_id": call_id}).fetchone()
    assert latest is not None, "a call has at least one attempt"
    attempt_id, state, switch = latest
    params = {
        "id": new_uuid7(),
        "call_id": call_id,
        "attempt_id": attempt_id,
        "switch": switch,
        "verb": "hangup",
        "by": by,
        "now": now,
        "action": action,
    }
    if action is not None:
        known = conn.execute(_SQL["find_action"], params).fetchone()
        if known is not None:
            same_verb(known[3], "hangup")
            return Hangup(_KINDS.get(known[2], "requested"), known[0], known[1])
    if locked[0]:
        return Hangup("already_ended", put_done(conn, params, ALREADY_ENDED), attempt_id)
    wish = put_down(conn, params, attempt_id, state)
    if wish.end is None:
        return Hangup("requested", wish.command_id, attempt_id)
    # No rule is asked: the policy never retries what was asked to end.
    apply_in(conn, [wish.end], rules=RetryRules(), timers=NO_TIMERS, now=now)
    return Hangup("canceled", wish.command_id, attempt_id)
