"""Webhooks that concern no call: a test, that an endpoint was disabled, and numbers that are not called any more. They are
deliveries with a body of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from calls.ids import endpoint_ref, new_uuid7, suppression_ref
from calls.webhook_events import TEST
from store.pool import Conn
from store.queries import load
from store.snapshot import stamp

_SQL = load("webhook_notice")
_OUTBOX = load("outbox")
DISABLED = "webhook_endpoint.disabled"
SUPPRESSED = "suppression.created"
#: Numbers in one webhook, so that it stays small.
TOGETHER = 100


def tell_disabled(conn: Conn, endpoint_id: UUID, now: datetime) -> None:
    """Tell the account's other endpoints, in the caller's transaction."""
    row = conn.execute(_SQL["disabled"], {"id": endpoint_id}).fetchone()
    if row is None:
        return
    tenant_id, url, reason, failing_since = row
    data = {
        "endpoint_id": endpoint_ref(endpoint_id),
        "url": url,
        "disabled_at": stamp(now),
        "disabled_reason": reason,
        "failing_since": stamp(failing_since),
    }
    params = {
        "tenant_id": tenant_id,
        "id": endpoint_id,
        "event_id": new_uuid7(),
        "type": DISABLED,
        "body": Jsonb(_body(DISABLED, now, data)),
        "now": now,
    }
    conn.execute(_SQL["tell_others"], params)


def tell_suppressed(
    conn: Conn, tenant_id: UUID, entries: Sequence[tuple[UUID, str]], origin: str, source: str, now: datetime
) -> None:
    """Tell the account's endpoints of its new entries (id and number of each), in the caller's transaction."""
    for start in range(0, len(entries), TOGETHER):
        some = [{"id": suppression_ref(id_), "number": number} for id_, number in entries[start : start + TOGETHER]]
        data = {"origin": origin, "source": source, "created_at": stamp(now), "suppressions": some}
        params = {
            "tenant_id": tenant_id,
            "id": None,
            "event_id": new_uuid7(),
            "type": SUPPRESSED,
            "body": Jsonb(_body(SUPPRESSED, now, data)),
            "now": now,
        }
        conn.execute(_SQL["tell_others"], params)
    conn.execute(_OUTBOX["notify"])


def send_test(conn: Conn, tenant_id: UUID, endpoint_id: UUID, now: datetime) -> UUID:
    """Write a test for one endpoint, in the caller's transaction; the delivery's id."""
    params = {
        "tenant_id": tenant_id,
        "id": endpoint_id,
        "event_id": new_uuid7(),
        "type": TEST,
        "body": Jsonb(_body(TEST, now, {"endpoint_id": endpoint_ref(endpoint_id), "message": "Your endpoint is heard."})),
        "now": now,
    }
    row = conn.execute(_SQL["test"], params).fetchone()
    assert row is not None
    found: UUID = row[0]
    return found


def _body(kind: str, now: datetime, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "timestamp": stamp(now), "api_version": "v1", "data": data}
