"""Tenants: the enterprises whose calls these are."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import errors

from calls.ids import new_uuid7
from store.pool import Database
from store.queries import load
from store.records import all_rows, one_row

_SQL = load("tenants")
SECRET_BYTES = 32


class NameTaken(ValueError):
    """Something of that name exists already."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """``webhook_secret`` are the raw bytes behind whsec_<base64>; ``weight`` is its share of a contested carrier."""

    id: UUID
    name: str
    webhook_url: str | None
    webhook_secret: bytes
    weight: int
    paused: bool
    created_at: datetime


def create(
    db: Database,
    *,
    name: str,
    webhook_url: str | None = None,
    webhook_secret: bytes | None = None,
    weight: int = 1,
    tenant_id: UUID | None = None,
) -> Tenant:
    """A new tenant; the secret (24 to 64 bytes) is made here unless given.

    Errors: :class:`NameTaken`; ``ValueError`` for a name, secret or weight outside its range.
    """
    params = {
        "id": tenant_id or new_uuid7(),
        "name": name,
        "webhook_url": webhook_url,
        "webhook_secret": webhook_secret or secrets.token_bytes(SECRET_BYTES),
        "weight": weight,
    }
    try:
        with db.connection() as conn:
            tenant = one_row(conn, Tenant, _SQL["create"], params)
    except errors.UniqueViolation as error:
        raise NameTaken(f"name: a tenant {name!r} exists already: choose another name") from error
    except errors.CheckViolation as error:
        raise ValueError(
            "tenant: name must be 1 to 63 lower-case letters, digits or '-', webhook_secret 24 to 64 bytes, weight 1 to 1000"
            f" (broken: {error.diag.constraint_name})"
        ) from error
    assert tenant is not None
    return tenant


def get(db: Database, tenant_id: UUID) -> Tenant | None:
    """The tenant, or None."""
    with db.connection() as conn:
        return one_row(conn, Tenant, _SQL["get"], {"id": tenant_id})


def get_by_name(db: Database, name: str) -> Tenant | None:
    """The tenant of that name, or None."""
    with db.connection() as conn:
        return one_row(conn, Tenant, _SQL["get_by_name"], {"name": name})


def list_tenants(db: Database) -> list[Tenant]:
    """All tenants by name."""
    with db.connection() as conn:
        return all_rows(conn, Tenant, _SQL["list"])


def set_paused(db: Database, tenant_id: UUID, paused: bool) -> bool:
    """Stop or allow new dials of the tenant, at once (the claim looks). False: no such tenant."""
    with db.connection() as conn:
        return conn.execute(_SQL["set_paused"], {"id": tenant_id, "paused": paused}).rowcount == 1


def set_webhook_url(db: Database, tenant_id: UUID, url: str | None) -> bool:
    """Where events of calls without an address of their own go from now on. False: no such tenant."""
    with db.connection() as conn:
        return conn.execute(_SQL["set_webhook_url"], {"id": tenant_id, "webhook_url": url}).rowcount == 1
