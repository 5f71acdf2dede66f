"""The delivery log: what became of each webhook at each endpoint, and telling it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from calls.ids import uuid7
from store import outbox
from store.pool import Database
from store.queries import load
from store.records import all_rows, one_row

_SQL = load("webhook_log")

#: Deliveries that one request may tell again.
RANGE_MOST = 10_000
Which = Literal["undelivered", "all"]
_STATUSES: dict[Which, list[str]] = {"undelivered": ["failed", "skipped"], "all": ["failed", "skipped", "delivered"]}


@dataclass(frozen=True, slots=True)
class LoggedDelivery:
    """One event at one endpoint (None: at the call's own address). ``attempts``: JSON objects as store.outbox.Tried gives
    them, first one first. ``url`` is where it goes now.
    """

    id: UUID
    event_id: UUID
    endpoint_id: UUID | None
    url: str | None
    call_id: UUID | None
    sequence: int | None
    type: str
    status: str
    tries: int
    replays: int
    next_at: datetime
    ended_at: datetime | None
    last_code: int | None
    last_error: str | None
    attempts: list[dict[str, Any]]
    created_at: datetime


def get(db: Database, tenant_id: UUID, delivery_id: UUID) -> LoggedDelivery | None:
    with db.connection() as conn:
        return one_row(conn, LoggedDelivery, _SQL["get"], {"tenant_id": tenant_id, "id": delivery_id})


def list_deliveries(
    db: Database,
    tenant_id: UUID,
    limit: int,
    *,
    endpoint_id: UUID | None = None,
    call_id: UUID | None = None,
    status: str | None = None,
    before: UUID | None = None,
) -> list[LoggedDelivery]:
    """Newest event first, those after ``before``."""
    name = "of_endpoint" if endpoint_id else "of_call" if call_id else "of_tenant"
    params = {
        "tenant_id": tenant_id,
        "endpoint_id": endpoint_id,
        "call_id": call_id,
        "status": status,
        "before": before,
        "limit": limit,
    }
    with db.connection() as conn:
        return all_rows(conn, LoggedDelivery, _SQL[name], params)


def has_body(db: Database, tenant_id: UUID, delivery_id: UUID) -> bool:
    """Whether what it tells of is kept; without it there is nothing to tell again."""
    with db.connection() as conn:
        row = conn.execute(_SQL["told_of"], {"tenant_id": tenant_id, "id": delivery_id}).fetchone()
    return row is not None and bool(row[0])


def replay(db: Database, tenant_id: UUID, delivery_id: UUID, now: datetime) -> bool:
    """Tell it again. False: there is none, it is under way, its endpoint is disabled or gone, or its event is."""
    with db.connection() as conn:
        done = conn.execute(_SQL["replay"], {"tenant_id": tenant_id, "id": delivery_id, "now": now}).rowcount == 1
        if done:
            outbox.notify(conn)
    return done


def replay_range(
    db: Database,
    tenant_id: UUID,
    endpoint_id: UUID,
    *,
    since: datetime,
    until: datetime,
    types: Sequence[str] | None,
    which: Which,
    now: datetime,
    limit: int = RANGE_MOST,
) -> tuple[int, datetime | None]:
    """Tell an endpoint again what happened from ``since`` to just before ``until``, oldest first, ``limit`` at most.

    How many there are, and from when on there are more (None: there are none). What is under way is left alone, so doing it
    twice does no harm.
    """
    params = {
        "tenant_id": tenant_id,
        "endpoint_id": endpoint_id,
        "since": since,
        "until": until,
        # Ids are of the event's millisecond.
        "first": uuid7(since - timedelta(milliseconds=1), bytes(10)),
        "last": uuid7(until + timedelta(milliseconds=1), bytes(10)),
        "statuses": _STATUSES[which],
        "types": None if types is None else list(types),
        "limit": limit,
        "now": now,
    }
    with db.connection() as conn:
        row = conn.execute(_SQL["replay_range"], params).fetchone()
        assert row is not None
        if row[0]:
            outbox.notify(conn)
    return row[0], row[1]
