"""What an agent asks of us in a call: whether its token may be taken, and what it is to work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from store.pool import Database
from store.queries import load
from store.records import one_row

_SQL = load("runtime")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose attempt it is. ``ended_at`` None: it has not ended."""

    tenant_id: UUID
    call_token_key: bytes = field(repr=False)
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class RuntimeCall:
    """A call as its agent works with it. ``runtime``: the agent's own settings, as they are now."""

    call_id: UUID
    attempt_id: UUID
    number: int
    state: str
    direction: str
    to_number: str
    from_number: str
    answered_at: datetime | None
    max_duration_s: int
    client_reference: str | None
    metadata: dict[str, Any]
    agent_variables: dict[str, Any]
    recipient: Any
    test: bool
    agent_id: UUID
    agent_name: str
    agent_kind: str
    runtime: dict[str, Any]

    @property
    def variables(self) -> dict[str, Any]:
        """The agent's own, those of the call before them."""
        own = self.runtime.get("variables")
        return {**(own if isinstance(own, dict) else {}), **self.agent_variables}


def owner(system: Database, call_id: UUID, attempt_id: UUID) -> Owner | None:
    """Whose attempt of that call it is, asked of the system's database; None: there is no such attempt of that call."""
    with system.connection() as conn:
        return one_row(conn, Owner, _SQL["whose"], {"call_id": call_id, "attempt_id": attempt_id})


def config(db: Database, tenant_id: UUID, call_id: UUID, attempt_id: UUID, agent_id: UUID) -> RuntimeCall | None:
    """What that agent is to work with; None also for another tenant's call, and where the call is not (and will not be, by a
    transfer under way) that agent's.
    """
    params = {"tenant_id": tenant_id, "call_id": call_id, "attempt_id": attempt_id, "agent_id": agent_id}
    with db.connection() as conn:
        return one_row(conn, RuntimeCall, _SQL["config"], params)
