"""Keys of those who run the platform. They open /v1/operator and nothing of a tenant's; no API makes them."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.errors import CheckViolation
from psycopg.rows import dict_row

from calls.access import Network
from calls.ids import new_uuid7
from store import key_text
from store.key_text import Admit, Given, anywhere
from store.pool import Database
from store.queries import load
from store.records import all_rows, one_row

_SQL = load("operator_keys")


@dataclass(frozen=True, slots=True)
class OperatorKey:
    """A key as it may be shown: never its secret. ``name``: whose or what for, as the audit ledger has it."""

    id: UUID
    prefix: str
    name: str
    allowed_ips: list[Network] | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime


def parse_key(plaintext: str) -> Given | None:
    """An operator's key as the client sends it; None when it cannot be one."""
    given = key_text.read(plaintext)
    return given if given is not None and given.kind == "operator" else None


def create(
    db: Database, *, name: str, allowed_ips: Sequence[Network] | None = None, expires_at: datetime | None = None
) -> tuple[OperatorKey, str]:
    """(key, plaintext). The plaintext is shown this once. Errors: ``ValueError`` naming the field."""
    given, plaintext = key_text.invent("operator")
    params = {
        "id": new_uuid7(),
        "prefix": given.prefix,
        "secret_hash": given.secret_hash,
        "name": name,
        "allowed_ips": None if allowed_ips is None else [str(one) for one in allowed_ips],
        "expires_at": expires_at,
    }
    try:
        with db.connection() as conn:
            key = one_row(conn, OperatorKey, _SQL["create"], params)
    except CheckViolation as error:
        raise ValueError(
            "operator key: name must be 1 to 63 lower-case letters, digits or '-', and there are at most 50 networks"
            f" (broken: {error.diag.constraint_name})"
        ) from error
    assert key is not None
    return key, plaintext


def authenticate(db: Database, given: Given, now: datetime, admit: Admit = anywhere) -> OperatorKey | None:
    """The live key; None for an unknown, wrong, expired or revoked one alike. ``admit``: see store/keys.py."""
    with db.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["find"], {"prefix": given.prefix, "now": now}).fetchone()
        if row is None or not hmac.compare_digest(bytes(row.pop("secret_hash")), given.secret_hash):
            return None
        admit(row["allowed_ips"])
        if row.pop("stale"):
            cursor.execute(_SQL["used"], {"prefix": given.prefix, "now": now})
        return OperatorKey(**row)


def list_keys(db: Database) -> list[OperatorKey]:
    """Every key, oldest first, those that are over too."""
    with db.connection() as conn:
        return all_rows(conn, OperatorKey, _SQL["list"])


def revoke(db: Database, prefix: str, now: datetime) -> bool:
    """End a key at once. False: no such live key."""
    with db.connection() as conn:
        return conn.execute(_SQL["revoke"], {"prefix": prefix, "now": now}).rowcount == 1
