"""What the relay needs of an attempt: whose agent to connect, and what to tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from store.pool import Conn, Database
from store.queries import load
from store.records import clean, one_row
from store.telling import lock_call, tell

_SQL = load("relay")


@dataclass(frozen=True, slots=True)
class RelayCall:
    """An attempt with its agent. ``agent_kind``: websocket (``agent_url``, ``agent_protocol``), announcement
    (``agent_audio`` or ``agent_script``, and ``agent_menu``), sip (``agent_number``) or fleet (``agent_pool``,
    ``agent_seat_policy``); ``state`` is the attempt's, ``number`` counts the call's attempts from 1. ``recording``: start,
    notice, days; None: it is not to be recorded; ``recording_state``: how far that is. ``direction`` inbound:
    ``from_number`` called.
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
    agent_protocol: str = "trunkline"
    agent_fallback: dict[str, Any] | None = None  # action, and what belongs to it; None: hangup
    agent_secret: str | None = field(default=None, repr=False)
    token_key: bytes = field(default=b"", repr=False)  # signs its tenant's call tokens; none: it gets no token
    agent_script: list[dict[str, str]] | None = None
    agent_menu: dict[str, Any] | None = None
    agent_voice: str | None = None
    agent_number: str | None = None
    menu: str | None = None  # what the callee has chosen already
    transfer_of: UUID | None = None  # the call whose party is put through to this one's
    first_attempt: UUID | None = None  # of that call, if it is still in progress
    agent_pool: str | None = None
    agent_seat_policy: str | None = None
    agent_greeting: dict[str, str] | None = None  # a part that is heard at the answer
    agent_sample_rate: int = 8000  # on its socket
    held: dict[str, Any] | None = None  # the hold that lasts (store/holds.py)
    agent_pool_key: str | None = field(default=None, repr=False)  # by which its workers know the relay


def agent_for(db: Database, attempt_id: UUID) -> RelayCall | None:
    """The attempt's agent and facts; None when there is no such attempt."""
    with db.connection() as conn:
        return one_row(conn, RelayCall, _SQL["agent_for"], {"attempt_id": attempt_id})


def note(db: Database, attempt_id: UUID, kind: str, at: datetime, data: Mapping[str, object]) -> bool:
    """A fact the relay saw (agent connected, first agent audio ...) as an event of the call; once per kind and time.

    False: no such attempt, or noted already. It changes no state. But the first ``relay.first_audio``, unless ``data`` holds
    ``resumed``, is when the callee began to hear the agent: the attempt keeps its time, ``call.agent_connected`` is told if
    the call goes on.
    """
    params = {
        "attempt_id": attempt_id,
        "dedupe": clean(f"relay:{attempt_id}:{kind}:{at.isoformat()}"),
        "type": clean(kind),
        "at": at,
        "data": Jsonb(dict(data)),
    }

    def unit(conn: Conn) -> bool:
        # The call first, as all do that give out a sequence. A note that changes nothing needs no lock.
        locked = lock_call(conn, attempt_id) if first else None
        noted = conn.execute(_SQL["note"], params).rowcount == 1
        heard = locked is not None and conn.execute(_SQL["heard"], params).rowcount == 1
        if locked is not None and heard and not locked.call.ended:  # nothing of the kind comes after the end
            tell(conn, "call.agent_connected", locked, attempt_id, at)
        return noted

    first = kind == "relay.first_audio" and "resumed" not in data
    return db.run(unit)
