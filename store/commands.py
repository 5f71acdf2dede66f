"""What the API, an agent or the watchdog wants of a live call; the controller beside its switch carries it out.

A command is a row; ``NOTIFY call_commands, '<switch> <attempt_id>'`` only wakes the controller sooner. Commands of an
attempt that ends are closed with it (result ``ended``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from calls.ids import new_uuid7
from store.pool import Database
from store.queries import load
from store.records import all_rows, clean

_SQL = load("commands")


@dataclass(frozen=True, slots=True)
class Command:
    """``verb``: hangup or probe; ``requested_by``: customer, operator, agent, platform or watchdog."""

    id: UUID
    call_id: UUID
    attempt_id: UUID
    switch: str | None
    verb: str
    args: dict[str, Any]
    requested_by: str
    created_at: datetime


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
    that the customer wants goes through :func:`store.calls.request_hangup`, which also ends what is still waiting.
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


def finish(db: Database, command_id: UUID, result: str, now: datetime) -> bool:
    """It was carried out (or could not be: ``result`` says). False: it was done already."""
    with db.connection() as conn:
        params = {"id": command_id, "result": clean(result), "now": now}
        return conn.execute(_SQL["finish"], params).rowcount == 1
