"""What the enterprise is still to hear: one row per webhook, gapless ``sequence`` per call, delivered by leases.

A dispatcher claims due rows (others skip them), delivers, and says how it went. One that dies leaves its rows to the
next after ``lease_s``; the webhook-id (``Delivery.id``) is the same on every try.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from calls.ids import new_uuid7
from store.pool import Database
from store.queries import load
from store.records import all_rows, clean
from store.rows import Call

_SQL = load("outbox")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook to send now: ``body`` to ``url``, signed with ``webhook_secret`` (raw bytes); ``tries`` with this one."""

    id: UUID
    tenant_id: UUID
    call_id: UUID
    sequence: int
    type: str
    body: dict[str, Any]
    url: str
    tries: int
    created_at: datetime
    webhook_secret: bytes


def outbox_row(call: Call, kind: str, body: dict[str, Any], url: str, now: datetime) -> dict[str, object]:
    """One webhook as a row of the outbox; ``call.sequence`` is its sequence. Writes nothing."""
    return {
        "id": new_uuid7(),
        "tenant_id": call.tenant_id,
        "call_id": call.id,
        "sequence": call.sequence,
        "type": kind,
        "body": body,
        "url": url,
        "next_at": now,
        "created_at": now,
    }


def claim_due(db: Database, now: datetime, limit: int, lease_s: float) -> list[Delivery]:
    """Webhooks due at ``now``, oldest due first, at most ``limit``; nobody else gets them for ``lease_s`` seconds."""
    params = {"now": now, "limit": limit, "until": now + timedelta(seconds=lease_s)}
    with db.connection() as conn:
        return all_rows(conn, Delivery, _SQL["claim_due"], params)


def delivered(db: Database, delivery_id: UUID, code: int, now: datetime) -> None:
    """The receiver took it (``code`` is its 2xx)."""
    with db.connection() as conn:
        conn.execute(_SQL["delivered"], {"id": delivery_id, "code": code, "now": now})


def retry_later(db: Database, delivery_id: UUID, next_at: datetime, code: int | None, error: str) -> None:
    """It failed; try again at ``next_at``. ``code`` None: no answer at all."""
    with db.connection() as conn:
        params = {"id": delivery_id, "next_at": next_at, "code": code, "error": clean(error)}
        conn.execute(_SQL["retry_later"], params)


def hand_back(db: Database, delivery_id: UUID, next_at: datetime, reason: str) -> None:
    """It was claimed and not tried: not before ``next_at`` again, and no try was used up."""
    with db.connection() as conn:
        conn.execute(_SQL["hand_back"], {"id": delivery_id, "next_at": next_at, "reason": clean(reason)})


def give_up(db: Database, delivery_id: UUID, code: int | None, error: str, now: datetime) -> None:
    """It failed for good; the row stays as the record of it."""
    with db.connection() as conn:
        conn.execute(_SQL["give_up"], {"id": delivery_id, "code": code, "error": clean(error), "now": now})


def backlog(db: Database) -> int:
    """Webhooks neither delivered nor given up."""
    with db.connection() as conn:
        row = conn.execute(_SQL["backlog"]).fetchone()
    return int(row[0]) if row else 0
