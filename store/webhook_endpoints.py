"""Where an enterprise hears of its calls: addresses with event types and secrets, and terminals that listen.

One of them may be the account's own: it is ``tenants.webhook_url`` (``trunkline create-tenant``), signed with the tenant's
secret, as are the addresses that calls name themselves. Secrets are raw bytes; ``whsec_`` is what the outside sees.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from calls.ids import new_uuid7
from store import outbox
from store.pool import Conn, Database
from store.queries import load
from store.records import all_rows, one_row, record, recordset
from store.webhook_notice import send_test

_SQL = load("webhook_endpoints")

SECRET_BYTES = 32
#: s; a listener that has not asked for so long is gone.
LISTEN_S = 120
#: Listeners of a tenant, and events that are given to one at once.
LISTENERS, FETCHED = 5, 20


class TooManyEndpoints(Exception):
    """The tenant has as many as it may have; nothing was made."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``account``: the account's own. ``failing_since``: nothing but failures since then. ``old_until``: until then a second
    signature is made with the secret before; past or None: there is one.
    """

    id: UUID
    account: bool
    url: str
    events: list[str]
    description: str | None
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    created_at: datetime
    old_until: datetime | None


def create(
    db: Database, tenant_id: UUID, *, url: str, events: Sequence[str], description: str | None, most: int, now: datetime
) -> tuple[Endpoint, bytes]:
    """A new endpoint and its secret. Raises :class:`TooManyEndpoints` where the tenant has ``most``."""
    made, secret = _insert(db, tenant_id, url=url, events=events, description=description, most=most, now=now, until=None)
    endpoint = get(db, tenant_id, made)
    assert endpoint is not None
    return endpoint, secret


def get(db: Database, tenant_id: UUID, endpoint_id: UUID) -> Endpoint | None:
    with db.connection() as conn:
        return one_row(conn, Endpoint, _SQL["get"], {"tenant_id": tenant_id, "id": endpoint_id})


def list_endpoints(db: Database, tenant_id: UUID, limit: int, before: UUID | None = None) -> list[Endpoint]:
    """Newest first, those after ``before``; listeners are not among them."""
    with db.connection() as conn:
        return all_rows(conn, Endpoint, _SQL["list"], {"tenant_id": tenant_id, "limit": limit, "before": before})


def update(
    db: Database, tenant_id: UUID, endpoint_id: UUID, changes: Mapping[str, Any], now: datetime, enabled: bool | None = None
) -> Endpoint | None:
    """Change what is named of url, events, description; ``enabled`` None: as it is. None: there is no such one."""
    params = {
        "tenant_id": tenant_id,
        "id": endpoint_id,
        "changes": record(dict(changes)),
        "enabled": enabled,
        "now": now,
        "url": changes.get("url"),
    }
    with db.connection() as conn:
        if "url" in changes:
            conn.execute(_SQL["set_account_url"], params)
        if conn.execute(_SQL["update"], params).fetchone() is None:
            return None
        return one_row(conn, Endpoint, _SQL["get"], params)


def delete(db: Database, tenant_id: UUID, endpoint_id: UUID, now: datetime, *, listener: bool = False) -> bool:
    """It is told of nothing any more; what still waited is passed over. False: there is no such one."""
    params = {"tenant_id": tenant_id, "id": endpoint_id, "now": now, "url": None, "listener": listener}
    with db.connection() as conn:
        if conn.execute(_SQL["set_account_url"], params).rowcount:
            return True
        if not conn.execute(_SQL["delete"], params).rowcount:
            return False
        if listener:
            conn.execute(_SQL["pass_over"], {"listeners": [endpoint_id], "now": now})
        _unmark(conn, [tenant_id])
    return True


def rotate(db: Database, tenant_id: UUID, endpoint_id: UUID, overlap: timedelta, now: datetime) -> bytes | None:
    """A new secret; the one before signs beside it for ``overlap``, any older one no more. None: no such endpoint."""
    secret = secrets.token_bytes(SECRET_BYTES)
    params = {"tenant_id": tenant_id, "id": endpoint_id, "secret": secret, "until": now + overlap}
    with db.connection() as conn:
        endpoint = one_row(conn, Endpoint, _SQL["get"], params)
        if endpoint is None:
            return None
        conn.execute(_SQL["rotate_account" if endpoint.account else "rotate"], params)
    return secret


def rotate_account(db: Database, tenant_id: UUID, overlap: timedelta, now: datetime) -> bytes:
    """The same for the secret of the account's own endpoint and of the addresses that calls name."""
    secret = secrets.token_bytes(SECRET_BYTES)
    with db.connection() as conn:
        conn.execute(_SQL["rotate_account"], {"tenant_id": tenant_id, "secret": secret, "until": now + overlap})
    return secret


def test(db: Database, tenant_id: UUID, endpoint_id: UUID, now: datetime) -> UUID | None:
    """Send it a test; the delivery's id, None: no such endpoint, or it is disabled."""
    with db.connection() as conn:
        endpoint = one_row(conn, Endpoint, _SQL["get"], {"tenant_id": tenant_id, "id": endpoint_id})
        if endpoint is None or endpoint.disabled_at is not None:
            return None
        delivery_id = send_test(conn, tenant_id, endpoint_id, now)
        outbox.notify(conn)
    return delivery_id


@dataclass(frozen=True, slots=True)
class Fetched:
    """One event for a listener."""

    id: UUID
    event_id: UUID
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of a fetched event on the listener's machine; ``code`` None: nobody answered."""

    id: UUID
    code: int | None
    error: str | None


def listen(db: Database, tenant_id: UUID, events: Sequence[str], now: datetime) -> tuple[UUID, bytes]:
    """A new listener and its secret: from now on events wait for it too. Raises :class:`TooManyEndpoints`."""
    until = now + timedelta(seconds=LISTEN_S)
    close_listeners(db, now)
    return _insert(db, tenant_id, url=None, events=events, description=None, most=LISTENERS, now=now, until=until)


def hear(
    db: Database, tenant_id: UUID, listener_id: UUID, heard: Iterable[Heard], now: datetime, *, goes_on: bool = True
) -> tuple[bytes, list[Fetched]] | None:
    """What waits for the listener, FETCHED at most, and its secret; ``heard``: what came of those it had before;
    ``goes_on``: it has asked again just now, and listens for LISTEN_S more.

    None: there is no such listener, or it has been silent for too long.
    """
    params = {"tenant_id": tenant_id, "id": listener_id, "now": now, "until": now + timedelta(seconds=LISTEN_S)}
    acks = [{"id": one.id, "code": one.code, "error": one.error} for one in heard]
    with db.connection() as conn:
        row = conn.execute(_SQL["hear" if goes_on else "look"], params).fetchone()
        if row is None:
            return None
        if acks:
            conn.execute(_SQL["heard"], {**params, "heard": recordset(acks)})
        return row[0], all_rows(conn, Fetched, _SQL["waiting"], {"id": listener_id, "limit": FETCHED})


def close_listeners(db: Database, now: datetime) -> int:
    """Those that have not asked for LISTEN_S are gone; how many."""
    with db.connection() as conn:
        gone = conn.execute(_SQL["close_listeners"], {"now": now}).fetchall()
        if gone:
            conn.execute(_SQL["pass_over"], {"listeners": [row[1] for row in gone], "now": now})
            _unmark(conn, [row[0] for row in gone])
    return len(gone)


def _unmark(conn: Conn, tenants: Sequence[UUID]) -> None:
    """Those of them that have no endpoints any more get no events written. No pipeline: the lock comes first."""
    params = {"tenants": list(tenants)}
    conn.execute(_SQL["lock"], params)
    conn.execute(_SQL["unmark"], params)


def _insert(
    db: Database,
    tenant_id: UUID,
    *,
    url: str | None,
    events: Sequence[str],
    description: str | None,
    most: int,
    now: datetime,
    until: datetime | None,
) -> tuple[UUID, bytes]:
    secret = secrets.token_bytes(SECRET_BYTES)
    params = {
        "id": new_uuid7(),
        "tenant_id": tenant_id,
        "url": url,
        "events": list(events),
        "description": description,
        "secret": secret,
        "now": now,
        "listens_until": until,
        "most": most,
    }
    with db.connection() as conn:
        conn.execute(_SQL["mark"], params)
        row = conn.execute(_SQL["create"], params).fetchone()
        if row is None:
            _unmark(conn, [tenant_id])
            raise TooManyEndpoints(f"there are {most} already")
    return row[0], secret
