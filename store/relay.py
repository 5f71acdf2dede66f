"""What the relay needs of an attempt: whose agent to connect, and what to tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from store.pool import Database
from store.queries import load
from store.records import clean, one_row

_SQL = load("relay")


@dataclass(frozen=True, slots=True)
class RelayCall:
    """An attempt with its agent. ``agent_kind``: websocket (``agent_url``), announcement (``agent_audio``, or
    ``agent_script``, and ``agent_menu``) or sip (``agent_number``);
    ``state`` is the attempt's, ``number`` counts the call's attempts from 1. ``recording``: start, notice, days; None: it is
    not to be recorded; ``recording_state``: how far that is. ``direction`` inbound: ``from_number`` called.
    """

    attempt_id: UUID
    call_id: UUID
    tenant_id: UUID
    number: int
    state: str
    switch: str | None
    to_number: str
    from_number: str
    agent_id: UUID
    agent_name: str
    agent_kind: str
    agent_url: str | None
    agent_audio: str | None
    agent_variables: dict[str, Any]
    metadata: dict[str, Any]
    client_reference: str | None
    max_duration_s: int
    recording: dict[str, Any] | None = None
    recording_state: str | None = None
    direction: str = "outbound"
    agent_script: list[dict[str, str]] | None = None
    agent_menu: dict[str, Any] | None = None
    agent_voice: str | None = None
    agent_number: str | None = None
    menu: str | None = None  # what the callee has chosen already
    transfer_of: UUID | None = None  # the call whose party is put through to this one's
    first_attempt: UUID | None = None  # of that call, if it is still in progress


def agent_for(db: Database, attempt_id: UUID) -> RelayCall | None:
    """The attempt's agent and facts; None when there is no such attempt."""
    with db.connection() as conn:
        return one_row(conn, RelayCall, _SQL["agent_for"], {"attempt_id": attempt_id})


def note(db: Database, attempt_id: UUID, kind: str, at: datetime, data: Mapping[str, object]) -> bool:
    """A fact the relay saw (agent connected, first agent audio ...) as an event of the call; once per kind and time.

    False: no such attempt, or noted already. It changes no state; the attempt keeps the time of ``relay.first_audio``,
    unless ``data`` holds ``resumed``.
    """
    params = {
        "attempt_id": attempt_id,
        "dedupe": clean(f"relay:{attempt_id}:{kind}:{at.isoformat()}"),
        "type": clean(kind),
        "at": at,
        "data": Jsonb(dict(data)),
    }
    with db.connection() as conn:
        return conn.execute(_SQL["note"], params).rowcount == 1
