"""What the API, an agent or the watchdog wants of a live call; the controller beside its switch carries it out.

A command is a row; ``NOTIFY call_commands, '<switch> <attempt_id>'`` only wakes the controller sooner. Commands of an
attempt that ends are closed with it (result ``ended``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from calls.ids import new_uuid7
from store.pool import Conn, Database
from store.queries import load
from store.queue import Overdue
from store.records import all_rows, clean

_SQL = load("commands")
#: The answer to a probe of an attempt that lives.
ALIVE = "alive"


@dataclass(frozen=True, slots=True)
class Command:
    """``verb``: hangup, pause_recording, resume_recording, dtmf, play, transfer, hold, resume (``requested_by`` customer,
    agent, operator or platform) or probe (``requested_by`` watchdog). ``age_s``: since it was asked, by the database's
    clock.
    """

    id: UUID
    call_id: UUID
    attempt_id: UUID
    switch: str | None
    verb: str
    args: dict[str, Any]
    requested_by: str
    created_at: datetime
    age_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Action:
    """What was asked of a call. ``action``: its asker's own name for it. ``done_at`` None: it is still to be carried out;
    ``result``: ``killed`` (the channel was hung up), ``ended`` (the call was over before it came to that), ``already ended``
    (when it was asked for), ``canceled`` (it waited, and was never dialed), ``paused``, ``resumed``, ``refused: ...``, or
    one of store.call_actions. ``begun_at``: the switch has the file that is to be played; the call is held.
    """

    id: UUID
    attempt_id: UUID
    verb: str
    requested_by: str
    action: str | None
    created_at: datetime
    begun_at: datetime | None
    done_at: datetime | None
    result: str | None
    leg_id: UUID | None = None  # transfer: the call to whom it is put through


def list_actions(db: Database, tenant_id: UUID, call_id: UUID, action: str | None = None) -> list[Action]:
    """What was asked of the tenant's call, oldest first. ``action``: only that one, by its own id or its asker's name."""
    params = {"tenant_id": tenant_id, "call_id": call_id, "action": action}
    with db.connection() as conn:
        return all_rows(conn, Action, _SQL["list_actions"], params)


def list_open(db: Database, switch: str) -> list[Command]:
    """Commands not done on that switch (or on none that is known), oldest first."""
    with db.connection() as conn:
        return all_rows(conn, Command, _SQL["list_open"], {"switch": switch})


def open_for_attempt(db: Database, attempt_id: UUID) -> list[Command]:
    """Commands not done of one attempt, oldest first."""
    with db.connection() as conn:
        return all_rows(conn, Command, _SQL["open_for_attempt"], {"attempt_id": attempt_id})


def add(
    db: Database,
    attempt_id: UUID,
    switch: str | None,
    verb: str,
    requested_by: str,
    args: Mapping[str, object] | None = None,
    *,
    now: datetime,
) -> UUID | None:
    """Ask something of a live attempt and wake its controller; None when the attempt has ended or never was.

    One open command per attempt and verb: asking again gives the same id. ``switch`` None: the attempt's own. A hangup
    that the customer wants goes through :func:`store.calls.request_hangup`, which also ends what is still waiting. Errors:
    ``psycopg.errors.CheckViolation`` when ``requested_by`` is none that :class:`Command` names for the verb.
    """
    params = {
        "id": new_uuid7(),
        "attempt_id": attempt_id,
        "switch": switch,
        "verb": verb,
        "by": requested_by,
        "args": Jsonb(dict(args or {})),
        "now": now,
    }

    def unit(conn: Any) -> UUID | None:
        conn.execute(_SQL["lock_call_of"], params)
        row = conn.execute(_SQL["add"], params).fetchone()
        if row is None:
            return None
        conn.execute(_SQL["notify"], {"payload": f"{row[1] or '-'} {attempt_id}"})
        command_id: UUID = row[0]
        return command_id

    return db.run(unit)


def ask(db: Database, row: Overdue, now: datetime, look_again: datetime) -> UUID | None:
    """The watchdog's question to the switch of an overdue attempt; the attempt's deadline moves to ``look_again``.

    ``args`` of the probe say what is believed: ``{"state": "ringing", "deadline_at": "<ISO 8601>"}``; whoever carries it
    out asks the switch first and does nothing to a channel that is elsewhere. None: the attempt is not so any more, or
    somebody else has just asked. A lost connection is raised, not retried.
    """
    params = {
        "id": new_uuid7(),
        "attempt_id": row.attempt_id,
        "state": row.state,
        "deadline_at": row.deadline_at,
        "probes": row.probes,
        "look_again": look_again,
        "args": Jsonb({"state": row.state, "deadline_at": row.deadline_at.isoformat()}),
        "now": now,
    }

    def unit(conn: Conn) -> UUID | None:
        conn.execute(_SQL["lock_call_of"], params)
        if conn.execute(_SQL["mark_asked"], params).rowcount == 0:
            return None
        asked = conn.execute(_SQL["ask"], params).fetchone()
        assert asked is not None, "an attempt under its call's lock does not vanish"
        conn.execute(_SQL["notify"], {"payload": f"{asked[1] or '-'} {row.attempt_id}"})
        command_id: UUID = asked[0]
        return command_id

    return db.run(unit, lost=False)


def finish(db: Database, command_id: UUID, result: str, now: datetime) -> bool:
    """It was carried out (or could not be: ``result`` says). False: it was done already.

    A probe with the result :data:`ALIVE` takes back that it was asked: it does not count as silence.
    """
    params = {"id": command_id, "result": clean(result), "now": now}
    with db.connection() as conn:
        if result == ALIVE:
            conn.execute(_SQL["alive"], params)
        return conn.execute(_SQL["finish"], params).rowcount == 1
