"""Tenants: the enterprises whose calls these are."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import errors

from calls.ids import new_uuid7
from store import scopes
from store.pool import Database
from store.queries import load
from store.ranges import OUT_OF_RANGE, refused
from store.records import all_rows, one_row, record

_SQL = load("tenants")
SECRET_BYTES = 32


class NameTaken(ValueError):
    """Something of that name exists already."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """``webhook_secret`` are the raw bytes behind whsec_<base64>; ``weight`` is its share of a contested carrier.
    ``max_queued`` calls and ``requests_per_s`` to the API, None: the setting. Calls created at or before
    ``canceled_before`` are not dialed any more. ``recording``: of calls that do not say, off, answer or after_notice;
    ``recording_allowed``: what a call may ask for at most, none, after_notice or any; ``recording_notice``: a file of the
    announcement directory, None: the agent gives the notice; ``recording_days`` None: the setting.
    ``held_until``: one of its caps is used up until then (store/caps.py).
    """

    id: UUID
    name: str
    webhook_url: str | None
    webhook_secret: bytes
    weight: int
    paused: bool
    max_queued: int | None
    requests_per_s: float | None
    canceled_before: datetime | None
    created_at: datetime
    recording: str = "off"
    recording_allowed: str = "any"
    recording_notice: str | None = None
    recording_days: int | None = None
    held_until: datetime | None = None


_RECORDING = frozenset({"recording", "recording_allowed", "recording_notice", "recording_days"})
_CHANGES = frozenset({"weight", "webhook_url", "max_queued", "requests_per_s", "paused"}) | _RECORDING
#: What belongs to the tenant's scope.
_SCOPE_CHANGES = frozenset({"max_channels", "cps", "window_ms"})
_RANGES = {
    "weight": "1 to 1000",
    "max_queued": "at least 0",
    "requests_per_s": "more than 0 and at most 99999.999",
    "recording": "off, answer or after_notice",
    "recording_allowed": "none, after_notice or any",
    "recording_notice": "the name of a .wav file in the announcement directory, without a path",
    "recording_days": "1 to 36500",
    **{field: scopes.RANGES[field] for field in sorted(_SCOPE_CHANGES)},
}


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


def update(db: Database, name: str, **changes: object) -> Tenant | None:
    """Change only what is named: weight, webhook_url, max_queued, requests_per_s, paused, recording (and what begins
    with it), and of the tenant's scope max_channels, cps, window_ms; all of it or nothing. None: no such tenant.

    Errors: ``ValueError`` naming the field; ``TypeError`` for anything else to change.
    """
    unknown = changes.keys() - _CHANGES - _SCOPE_CHANGES
    if unknown:
        raise TypeError(f"a tenant has no {', '.join(sorted(unknown))}")
    own = {field: value for field, value in changes.items() if field in _CHANGES}
    scope = {field: value for field, value in changes.items() if field in _SCOPE_CHANGES}
    try:
        with db.connection() as conn:
            tenant = one_row(conn, Tenant, _SQL["update"], {"name": name, "changes": record(own)})
            if tenant is not None and scope:
                scopes.update_in(conn, scopes.tenant_scope(tenant.id), scope)
            return tenant
    except OUT_OF_RANGE as error:
        table = "scopes" if error.diag.table_name == "scopes" else "tenants"
        raise refused(f"tenant {name!r}", table, _RANGES, error) from error


def cancel_queued(db: Database, tenant_id: UUID, now: datetime) -> datetime | None:
    """Cancel every call of the tenant that is queued, by one mark; returns it. None: no such tenant.

    From then on no claim of a call created at or before the mark succeeds, so it is quick for any number of calls; they are
    ended one after the other later. A call that is being dialed or talked on goes on, and is not dialed again.
    """
    with db.connection() as conn:
        row = conn.execute(_SQL["cancel_queued"], {"id": tenant_id, "now": now}).fetchone()
    return None if row is None else row[0]


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
