"""API keys: ``tl_<prefix>_<secret>``. The prefix finds the row, only SHA-256 of the secret is kept.

The secret has 256 bits of entropy, so a slow hash would protect nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import dict_row

from calls.ids import new_uuid7
from store.pool import Database
from store.queries import load
from store.records import all_rows, one_row
from store.tenants import Tenant

_SQL = load("keys")
_KEY = re.compile(r"tl_([a-z0-9]{8,16})_([0-9a-f]{64})", re.ASCII)
PREFIX_CHARACTERS = 12
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it may be shown: never its secret."""

    id: UUID
    tenant_id: UUID
    prefix: str
    name: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime


def parse_key(plaintext: str) -> tuple[str, bytes] | None:
    """(prefix, SHA-256 of the secret) of a key as the client sends it; None when it cannot be one."""
    match = _KEY.fullmatch(plaintext)
    return (match[1], hashlib.sha256(match[2].encode()).digest()) if match else None


def create(db: Database, *, tenant_id: UUID, name: str = "", expires_at: datetime | None = None) -> tuple[ApiKey, str]:
    """(key, plaintext). The plaintext is shown this once and cannot be had again.

    Errors: ``ValueError`` when there is no such tenant.
    """
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(PREFIX_CHARACTERS))
    plaintext = f"tl_{prefix}_{secrets.token_hex(32)}"
    parsed = parse_key(plaintext)
    assert parsed is not None
    params = {
        "id": new_uuid7(),
        "tenant_id": tenant_id,
        "prefix": prefix,
        "secret_hash": parsed[1],
        "name": name,
        "expires_at": expires_at,
    }
    try:
        with db.connection() as conn:
            key = one_row(conn, ApiKey, _SQL["create"], params)
    except ForeignKeyViolation as error:
        raise ValueError(f"tenant_id: there is no tenant {tenant_id}: create it first") from error
    assert key is not None
    return key, plaintext


def authenticate(db: Database, prefix: str, secret_hash: bytes, now: datetime) -> Tenant | None:
    """The tenant whose live key this is; None for an unknown, wrong, expired or revoked key alike.

    ``secret_hash`` is compared in constant time. last_used_at is kept to the minute, so a busy key is not a hot row.
    """
    with db.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["find"], {"prefix": prefix, "now": now}).fetchone()
        if row is None or not hmac.compare_digest(bytes(row.pop("secret_hash")), secret_hash):
            return None
        if row.pop("stale"):
            cursor.execute(_SQL["used"], {"prefix": prefix, "now": now})
        return Tenant(**row)


def list_keys(db: Database, tenant_id: UUID) -> list[ApiKey]:
    """The tenant's keys, oldest first."""
    with db.connection() as conn:
        return all_rows(conn, ApiKey, _SQL["list"], {"tenant_id": tenant_id})


def revoke(db: Database, prefix: str, now: datetime) -> bool:
    """End a key at once. False: no such live key."""
    with db.connection() as conn:
        return conn.execute(_SQL["revoke"], {"prefix": prefix, "now": now}).rowcount == 1
