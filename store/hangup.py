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
#: Results of a command that nobody had to carry out.
CANCELED, ALREADY_ENDED = "canceled", "already ended"
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
        return Hangup("already_ended", _done(conn, params, ALREADY_ENDED), attempt_id)
    conn.execute(_SQL["want_cancel"], {"call_id": call_id})
    if state == State.QUEUED:
        end = End(cause="customer_cancel", at=now, requested_by=by)
        evidence = Evidence(attempt_id, f"cancel:{attempt_id}", Source.OPERATOR, State.ENDED, now, end)
        # Before the end, which is committed as it is applied: the wish and what came of it are one transaction.
        command_id = _done(conn, params, CANCELED)
        # No rule is asked: the policy never retries what was asked to end.
        apply_in(conn, [evidence], rules=RetryRules(), timers=NO_TIMERS, now=now)
        return Hangup("canceled", command_id, attempt_id)
    command = conn.execute(_SQL["add_command"], params).fetchone()
    assert command is not None
    conn.execute(_SQL["log_request"], params)
    conn.execute(_SQL["notify"], {"payload": f"{switch or '-'} {attempt_id}"})
    return Hangup("requested", command[0], attempt_id)


def _done(conn: Conn, params: dict[str, object], result: str) -> UUID:
    """The wish on record as carried out, so that it can be read like any other."""
    row = conn.execute(_SQL["add_done"], {**params, "result": result}).fetchone()
    assert row is not None
    command_id: UUID = row[0]
    return command_id
