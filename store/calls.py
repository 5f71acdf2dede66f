"""Calls: accepted in one transaction, read by their tenant, hung up at any moment of their life.

How they are accepted is in store/accepting.py, how they are hung up in store/hangup.py.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from store.accept import Accepted, NewCall, UnknownAgent, UnknownTenant
from store.accepting import Asked, accept_asked, accept_call
from store.backlog import QueueFull
from store.hangup import Hangup, request_hangup
from store.idempotency import IdempotencyInFlight, IdempotencyKey, IdempotencyMismatch
from store.pool import Database
from store.queries import load
from store.records import all_rows, one_row
from store.rows import Attempt, Call, CallEvent

__all__ = [
    "Accepted",
    "Asked",
    "Hangup",
    "IdempotencyInFlight",
    "IdempotencyKey",
    "IdempotencyMismatch",
    "NewCall",
    "QueueFull",
    "UnknownAgent",
    "UnknownTenant",
    "accept_asked",
    "accept_call",
    "forget_keys",
    "get_call",
    "is_test",
    "list_attempts",
    "list_events",
    "request_hangup",
]

_SQL = load("calls")


def get_call(db: Database, tenant_id: UUID, call_id: UUID) -> Call | None:
    """The tenant's call; None also when it is another tenant's."""
    with db.connection() as conn:
        return one_row(conn, Call, _SQL["get"], {"tenant_id": tenant_id, "id": call_id})


def list_events(db: Database, tenant_id: UUID, call_id: UUID) -> list[CallEvent]:
    """Everything seen or decided of the call, as recorded; empty for another tenant's call."""
    with db.connection() as conn:
        return all_rows(conn, CallEvent, _SQL["list_events"], {"tenant_id": tenant_id, "id": call_id})


def list_attempts(db: Database, tenant_id: UUID, call_id: UUID) -> list[Attempt]:
    """The call's dials by number; empty for another tenant's call."""
    with db.connection() as conn:
        return all_rows(conn, Attempt, _SQL["list_attempts"], {"tenant_id": tenant_id, "id": call_id})


def is_test(db: Database, tenant_id: UUID, call_id: UUID) -> bool:
    """Whether it is a call of the tenant's that was placed with a test key."""
    with db.connection() as conn:
        row = conn.execute(_SQL["is_test"], {"tenant_id": tenant_id, "id": call_id}).fetchone()
    return row is not None and row[0] is True


def forget_keys(db: Database, before: datetime, limit: int) -> int:
    """Delete idempotency keys older than ``before``, the oldest first, at most ``limit``; returns how many."""
    with db.connection() as conn:
        return conn.execute(_SQL["forget_keys"], {"before": before, "limit": limit}).rowcount
