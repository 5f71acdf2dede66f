"""What an operator asks first: who is in service, who leads, whether anything is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from store.pool import Database
from store.queries import load
from store.records import all_rows

_SQL = load("overview")


@dataclass(frozen=True, slots=True)
class Switch:
    """A switch that a controller has spoken for, last at ``seen_at``, ``ago`` by the database's clock. ``drained_at``: since
    then nothing is dialed on it, and ``calls`` are still up there.
    """

    name: str
    seen_at: datetime | None
    ago: timedelta | None
    drained_at: datetime | None
    calls: int


@dataclass(frozen=True, slots=True)
class PausedAgent:
    """``waiting``: calls that are held for it and would be dialed, at most :data:`COUNTED`."""

    agent_id: UUID
    name: str
    tenant: str
    waiting: int


#: Calls held for one agent that are counted.
COUNTED = 10_000


def switches(db: Database) -> list[Switch]:
    """Every switch there ever was, by name."""
    with db.connection() as conn:
        return all_rows(conn, Switch, _SQL["switches"])


def paused_agents(db: Database) -> list[PausedAgent]:
    """Every agent that is paused, by tenant and name."""
    with db.connection() as conn:
        return all_rows(conn, PausedAgent, _SQL["paused_agents"], {"counted": COUNTED})


def leads(db: Database, name: str) -> bool:
    """Whether any process leads ``name`` (store/leader.py) just now."""
    with db.connection() as conn:
        row = conn.execute(_SQL["leads"], {"name": name}).fetchone()
    assert row is not None
    return bool(row[0])


def due(db: Database) -> tuple[bool, float | None]:
    """Whether anything that is queued is due, and in how many seconds the next that is not will be; None: there is none."""
    with db.connection() as conn:
        row = conn.execute(_SQL["due"]).fetchone()
    assert row is not None
    return bool(row[0]), row[1]
