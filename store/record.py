"""The parts of a call's record that are nobody else's: its events in short."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from store.pool import Database
from store.queries import load
from store.records import all_rows

_SQL = load("record")


@dataclass(frozen=True, slots=True)
class EventCount:
    """Events of one type from one source: how many, and between which times."""

    type: str
    source: str
    count: int
    first_at: datetime
    last_at: datetime


def event_counts(db: Database, tenant_id: UUID, call_id: UUID) -> list[EventCount]:
    """Of the tenant's call, in the order in which each type became known; empty for another tenant's."""
    with db.connection() as conn:
        return all_rows(conn, EventCount, _SQL["event_counts"], {"tenant_id": tenant_id, "call_id": call_id})
