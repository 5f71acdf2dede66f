"""Pause and resume of a recording, asked for while a call is up; the controller of its switch carries them out in order.

A wish that comes before the recording has begun stays open and is carried out once it has: so a pause is never lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from calls.evidence import State
from calls.ids import new_uuid7
from store.hangup import ALREADY_ENDED, same_verb
from store.pool import Conn, Database
from store.queries import load

_SQL = load("recording_actions")
_HANGUP = load("hangup")

Verb = Literal["pause_recording", "resume_recording"]
VERBS: tuple[Verb, ...] = ("pause_recording", "resume_recording")
#: What came of it.
PAUSED, RESUMED = "paused", "resumed"
Kind = Literal["requested", "already_ended", "not_recorded", "not_dialed", "not_found"]


@dataclass(frozen=True, slots=True)
class Asked:
    """``command_id``: the action that can be asked about; None where there is none. ``not_recorded``: the call is not to be
    recorded at all; ``not_dialed``: it is waiting, so there is nothing to pause.
    """

    kind: Kind
    command_id: UUID | None = None


def request_recording(
    db: Database, tenant_id: UUID, call_id: UUID, verb: Verb, by: str, now: datetime, *, action: str | None = None
) -> Asked:
    """Ask for it. ``action``: the asker's own name for it; under the same name it is the same action.

    Errors: :class:`store.hangup.OtherAction` when that name was given to another kind of action.
    """
    return db.run(lambda conn: _request(conn, tenant_id, call_id, verb, by, now, action))


def _request(conn: Conn, tenant_id: UUID, call_id: UUID, verb: Verb, by: str, now: datetime, action: str | None) -> Asked:
    locked = conn.execute(_SQL["lock_call"], {"tenant_id": tenant_id, "call_id": call_id}).fetchone()
    if locked is None:
        return Asked("not_found")
    ended, recorded = locked
    latest = conn.execute(_HANGUP["lock_latest"], {"call_id": call_id}).fetchone()
    assert latest is not None, "a call has at least one attempt"
    attempt_id, state, switch = latest
    params = {
        "id": new_uuid7(),
        "call_id": call_id,
        "attempt_id": attempt_id,
        "switch": switch,
        "verb": verb,
        "by": by,
        "now": now,
        "action": action,
        "result": ALREADY_ENDED,
    }
    if action is not None:
        known = conn.execute(_HANGUP["find_action"], params).fetchone()
        if known is not None:
            same_verb(known[3], verb)
            return Asked("requested", known[0])
    if not recorded:
        return Asked("not_recorded")
    if ended:
        row = conn.execute(_HANGUP["add_done"], params).fetchone()
        assert row is not None
        return Asked("already_ended", row[0])
    if state in (State.QUEUED, State.ENDED):
        return Asked("not_dialed")
    conn.execute(_SQL["add"], params)
    conn.execute(_HANGUP["notify"], {"payload": f"{switch or '-'} {attempt_id}"})
    id_ = params["id"]
    assert isinstance(id_, UUID)
    return Asked("requested", id_)
