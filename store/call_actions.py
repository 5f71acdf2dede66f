"""Keys pressed and files played to whoever is on the line, and holds, asked for while a call is in progress.

The controller of the call's switch (of holds the relay: store/holds.py) carries them out in the order they were asked in.
They are of no use later: what could not be carried out within :data:`FRESH_S` is refused, whatever held it up. Of a file the
end is heard too, by the relay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from calls.evidence import State
from calls.ids import new_uuid7
from store import holds
from store.hangup import OtherAction, same_verb
from store.pool import Conn, Database
from store.queries import load
from store.records import clean

_SQL = load("call_actions")
_HANGUP = load("hangup")

Verb = Literal["dtmf", "play", "hold", "resume"]
#: What controllers carry out.
VERBS: tuple[Verb, ...] = ("dtmf", "play")
#: What came of it. CUT_SHORT: the call ended first. TOO_LATE: nobody could carry it out in time.
SENT, PLAYED, CUT_SHORT, NOT_PLAYED, TOO_LATE = "sent", "played", "cut short", "not played", "too late"
#: s; by then a controller that took over has found it, and whoever asked still means it.
FRESH_S = 10.0
#: Of one call, asked for and not carried out.
WAITING = 16
#: Before the action's id in what the switch tells of a file that was asked for: the relay knows that it is none of its own.
TAG = "action-"

Kind = Literal[
    "requested", "not_in_progress", "announcement", "not_a_conversation", "on_hold", "not_on_hold", "too_many", "not_found"
]


@dataclass(frozen=True, slots=True)
class Asked:
    """``command_id``: the action that can be asked about. ``status``: where the call is that is not in progress;
    ``announcement``: its agent is one, whose end is the end of the call, so nothing can be played behind it;
    ``not_a_conversation``: no agent talks that could be held off.
    """

    kind: Kind
    command_id: UUID | None = None
    status: str | None = None
    known: bool = False  # it was asked for before


def request_action(
    db: Database,
    tenant_id: UUID,
    call_id: UUID,
    verb: Verb,
    args: Mapping[str, Any],
    by: str,
    now: datetime,
    *,
    action: str | None = None,
) -> Asked:
    """Ask for it. ``args``: of dtmf ``digits`` and perhaps ``tone_ms``, of play ``audio``, of hold perhaps ``audio``,
    already validated. ``action``: the asker's own name for it; under the same name it is the same action, whatever has
    become of the call.

    Errors: :class:`store.hangup.OtherAction` when that name was given to another action.
    """
    id_ = new_uuid7()
    return db.run(lambda conn: _request(conn, tenant_id, call_id, id_, verb, dict(args), by, now, action))


def _request(
    conn: Conn,
    tenant_id: UUID,
    call_id: UUID,
    id_: UUID,
    verb: Verb,
    args: dict[str, Any],
    by: str,
    now: datetime,
    action: str | None,
) -> Asked:
    locked = conn.execute(_SQL["lock_call"], {"tenant_id": tenant_id, "call_id": call_id}).fetchone()
    if locked is None:
        return Asked("not_found")
    ended, agent_kind, status = locked
    known = conn.execute(_SQL["find_action"], {"call_id": call_id, "id": id_, "action": action}).fetchone()
    if known is not None:
        same_verb(known[1], verb)
        if known[2] != args:
            raise OtherAction(f"an action of this name was another {verb}")
        return Asked("requested", known[0], known=True)
    latest = conn.execute(_HANGUP["lock_latest"], {"call_id": call_id}).fetchone()
    assert latest is not None, "a call has at least one attempt"
    attempt_id, state, switch = latest
    if ended or state != State.IN_PROGRESS:
        return Asked("not_in_progress", status=status)
    if verb == "play" and agent_kind == "announcement":
        return Asked("announcement")
    if verb != "dtmf" and (why := holds.forbidden(conn, call_id, attempt_id, verb, agent_kind)) is not None:
        return Asked(why)
    params = {
        "id": id_,
        "call_id": call_id,
        "attempt_id": attempt_id,
        "switch": switch,
        "whose": "action" if verb in VERBS else "hold",
        "verb": verb,
        "args": Jsonb(args),
        "by": by,
        "now": now,
        "action": action,
        "most": WAITING,
    }
    row = conn.execute(_SQL["add"], params).fetchone()
    if row is None:
        return Asked("too_many")
    if verb in VERBS:
        conn.execute(_HANGUP["notify"], {"payload": f"{switch or '-'} {attempt_id}"})
    return Asked("requested", row[0])


def begun(db: Database, command_id: UUID, now: datetime) -> None:
    """The switch has the file and plays it in its turn, or the call is held; what comes of it is heard later."""
    with db.connection() as conn:
        conn.execute(_SQL["begun"], {"id": command_id, "now": now})


def played(db: Database, attempt_id: UUID, command_id: UUID, result: str, now: datetime) -> None:
    """What came of a file that was to be played to the attempt; heard twice: nothing more."""
    with db.connection() as conn:
        params = {"id": command_id, "attempt_id": attempt_id, "result": clean(result), "now": now}
        conn.execute(_SQL["played"], params)
