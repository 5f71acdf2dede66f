"""What a check-up asks of Postgres: how the server is set up, and what its rows say about the rest of the house."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from store.pool import Database
from store.queries import load

_SQL = load("checkup")


@dataclass(frozen=True, slots=True)
class Server:
    """``version``: 150004 is 15.4. ``oldest_s``: s since the oldest transaction of others began. ``clock``: s since 1970."""

    version: int
    fsync: bool
    full_page_writes: bool
    synchronous_commit: bool
    max_connections: int
    connections: int
    oldest_s: float
    standby: bool
    clock: float


@dataclass(frozen=True, slots=True)
class AgentAddress:
    tenant: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class SwitchSeen:
    """``silent_s``: s since a controller last spoke for it; None: never."""

    name: str
    silent_s: float | None
    drained: bool


@dataclass(frozen=True, slots=True)
class Deaf:
    """Of a carrier's ``answered`` attempts, those that ended because no RTP came in."""

    name: str
    answered: int
    deaf: int


def server(db: Database) -> Server:
    with db.connection() as conn, conn.cursor(row_factory=class_row(Server)) as cursor:
        row = cursor.execute(_SQL["server"]).fetchone()
    assert row is not None
    return row


def agents(db: Database, most: int) -> list[AgentAddress]:
    with db.connection() as conn, conn.cursor(row_factory=class_row(AgentAddress)) as cursor:
        return cursor.execute(_SQL["agents"], {"most": most}).fetchall()


def speaking(db: Database) -> int:
    """Agents in use that have texts to be spoken."""
    with db.connection() as conn:
        row = conn.execute(_SQL["speaking"]).fetchone()
    return row[0] if row else 0


def switches(db: Database) -> list[SwitchSeen]:
    with db.connection() as conn, conn.cursor(row_factory=class_row(SwitchSeen)) as cursor:
        return cursor.execute(_SQL["switches"]).fetchall()


def deaf(db: Database, since: datetime) -> list[Deaf]:
    with db.connection() as conn, conn.cursor(row_factory=class_row(Deaf)) as cursor:
        return cursor.execute(_SQL["deaf"], {"since": since}).fetchall()
