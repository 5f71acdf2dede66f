"""API keys of tenants: made, found, rotated, revoked. How they are written: store/key_text.py.

A purpose has one name, and at most two keys of it are in force: the one in use and the one that is to follow it.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import dict_row

from calls.access import SCOPES, TEST_SCOPES, Mode, Network
from calls.ids import new_uuid7
from store import key_text
from store.key_text import Admit, Given, anywhere
from store.pool import Conn, Database
from store.queries import load
from store.records import all_rows, one_row
from store.tenants import Tenant

_SQL = load("keys")
_KEY_COLUMNS = "key_"


class KeyNameTaken(ValueError):
    """A key of that name is in force: it is rotated, not made again."""


class TooManyKeys(ValueError):
    """The tenant has as many keys in force as it may."""


class NotInForce(ValueError):
    """The key is revoked or expired."""


class TwoInForce(ValueError):
    """The key and the one that follows it are both in force."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it may be shown: never its secret. ``allowed_ips`` None: from anywhere. ``line``: the first key of those that
    follow each other by rotation."""

    id: UUID
    tenant_id: UUID
    prefix: str
    name: str
    scopes: list[str]
    mode: Mode
    allowed_ips: list[Network] | None
    line: UUID
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime

    def is_active(self, now: datetime) -> bool:
        """In force at ``now``."""
        return (self.revoked_at is None or self.revoked_at > now) and (self.expires_at is None or self.expires_at > now)


@dataclass(frozen=True, slots=True)
class KeyInUse:
    """What a request needs to know of the key that it came with."""

    id: UUID
    prefix: str
    name: str
    scopes: frozenset[str]
    mode: Mode
    allowed_ips: list[Network] | None
    expires_at: datetime | None


def parse_key(plaintext: str) -> Given | None:
    """A tenant's key as the client sends it; None when it cannot be one."""
    given = key_text.read(plaintext)
    return given if given is not None and given.kind != "operator" else None


def create(
    db: Database,
    *,
    tenant_id: UUID,
    name: str = "",
    scopes: Collection[str] | None = None,
    allowed_ips: Sequence[Network] | None = None,
    expires_at: datetime | None = None,
    mode: Mode = "live",
    now: datetime | None = None,
    most: int | None = None,
) -> tuple[ApiKey, str]:
    """(key, plaintext). The plaintext is shown this once and cannot be had again. ``most`` keys may then be in force.
    ``scopes`` None: all that a key of the mode may have.

    Errors: :class:`KeyNameTaken`, :class:`TooManyKeys`; ``ValueError`` when there is no such tenant, or for a scope that
    such a key may not have.
    """
    known = TEST_SCOPES if mode == "test" else SCOPES
    scopes = known if scopes is None else scopes
    unknown = sorted(set(scopes) - set(known))
    if unknown or not scopes:
        raise ValueError(f"scopes: {', '.join(unknown) or 'none'}: a {mode} key has some of {', '.join(known)}")
    with db.connection() as conn:
        _room(conn, tenant_id, name, now, most)
        return _insert(conn, tenant_id, name, scopes, allowed_ips, expires_at, mode, None, now)


def _room(conn: Conn, tenant_id: UUID, name: str, now: datetime | None, most: int | None) -> None:
    if not name and most is None:
        return
    conn.execute(_SQL["lock_tenant"], {"tenant_id": tenant_id})
    active, named, _ = _active(conn, tenant_id, now, name=name)
    if name and named:
        raise KeyNameTaken(f"name: a key {name!r} is in force: rotate it, revoke it, or choose another name")
    if most is not None and active >= most:
        raise TooManyKeys(f"{active} keys are in force, and {most} may be: revoke one that is not used")


def _active(
    conn: Conn, tenant_id: UUID, now: datetime | None, *, name: str = "", line: UUID | None = None
) -> tuple[int, int, int]:
    params = {"tenant_id": tenant_id, "now": now, "name": name, "line": line}
    row = conn.execute(_SQL["active"], params).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])


def _insert(
    conn: Conn,
    tenant_id: UUID,
    name: str,
    scopes: Collection[str],
    allowed_ips: Sequence[Network] | None,
    expires_at: datetime | None,
    mode: Mode,
    line: UUID | None,
    now: datetime | None,
) -> tuple[ApiKey, str]:
    given, plaintext = key_text.invent(mode)
    params = {
        "id": new_uuid7(),
        "tenant_id": tenant_id,
        "prefix": given.prefix,
        "secret_hash": given.secret_hash,
        "name": name,
        "scopes": sorted(set(scopes)),
        "mode": mode,
        "allowed_ips": None if allowed_ips is None else [str(one) for one in allowed_ips],
        "line": line,
        "expires_at": expires_at,
        "now": now,
    }
    try:
        key = one_row(conn, ApiKey, _SQL["create"], params)
    except ForeignKeyViolation as error:
        raise ValueError(f"tenant_id: there is no tenant {tenant_id}: create it first") from error
    assert key is not None
    return key, plaintext


def rotate(
    db: Database,
    *,
    tenant_id: UUID,
    key_id: UUID,
    now: datetime,
    old_expires_at: datetime | None = None,
    until: datetime | None = None,
) -> tuple[ApiKey, ApiKey, str] | None:
    """(old, new, plaintext of the new one): a second key that may do the same, for as long. None: no such key of the tenant.

    ``old_expires_at``: when the old one ends at the latest; None: it stays as it is. ``until``: when the new one does, for
    whoever asks for it may no longer; None: there is no such end.
    Errors: :class:`NotInForce`, :class:`TwoInForce`.
    """
    with db.connection() as conn:
        conn.execute(_SQL["lock_tenant"], {"tenant_id": tenant_id})
        old = one_row(conn, ApiKey, _SQL["get"], {"tenant_id": tenant_id, "id": key_id})
        if old is None:
            return None
        if not old.is_active(now):
            raise NotInForce("this key is revoked or expired: create another one")
        if _active(conn, tenant_id, now, line=old.line)[2] > 1:
            raise TwoInForce("this key and the one that follows it are both in force: revoke one of them first")
        lifetime: timedelta | None = None if old.expires_at is None else old.expires_at - old.created_at
        ends = [end for end in (None if lifetime is None else now + lifetime, until) if end is not None]
        expires_at = min(ends, default=None)
        new, plaintext = _insert(conn, tenant_id, old.name, old.scopes, old.allowed_ips, expires_at, old.mode, old.line, now)
        if old_expires_at is not None:
            params = {"tenant_id": tenant_id, "id": old.id, "expires_at": old_expires_at}
            old = one_row(conn, ApiKey, _SQL["shorten"], params)
            assert old is not None
        return old, new, plaintext


def authenticate(db: Database, given: Given, now: datetime, admit: Admit = anywhere) -> tuple[Tenant, KeyInUse] | None:
    """Whose live key this is, and what it may do; None for an unknown, wrong, expired or revoked key alike.

    ``admit`` is given the networks of a key that is good, and raises where it may not be used: that is no use of it. The
    secret's hash is compared in constant time. last_used_at is kept to the minute, so a busy key is not a hot row.
    """
    with db.look() as conn, conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["find"], {"prefix": given.prefix, "mode": given.kind, "now": now}).fetchone()
        if row is None or not hmac.compare_digest(bytes(row.pop("secret_hash")), given.secret_hash):
            return None
        admit(row["key_allowed_ips"])
        if row.pop("stale"):
            cursor.execute(_SQL["used"], {"prefix": given.prefix, "now": now})
        key = {name.removeprefix(_KEY_COLUMNS): row.pop(name) for name in list(row) if name.startswith(_KEY_COLUMNS)}
        return Tenant(**row), KeyInUse(**{**key, "scopes": frozenset(key["scopes"])})


def get(db: Database, tenant_id: UUID, key_id: UUID) -> ApiKey | None:
    """The tenant's key; None also when it is another tenant's."""
    with db.connection() as conn:
        return one_row(conn, ApiKey, _SQL["get"], {"tenant_id": tenant_id, "id": key_id})


def list_keys(db: Database, tenant_id: UUID) -> list[ApiKey]:
    """The tenant's keys, oldest first, those that are over too."""
    with db.connection() as conn:
        return all_rows(conn, ApiKey, _SQL["list"], {"tenant_id": tenant_id})


def page(db: Database, tenant_id: UUID, limit: int, before: UUID | None) -> list[ApiKey]:
    """At most ``limit`` of them, newest first, from before that one on."""
    with db.connection() as conn:
        return all_rows(conn, ApiKey, _SQL["page"], {"tenant_id": tenant_id, "before": before, "limit": limit})


def revoke(db: Database, prefix: str, now: datetime) -> bool:
    """End a key at once. False: no such live key."""
    with db.connection() as conn:
        return conn.execute(_SQL["revoke"], {"prefix": prefix, "now": now}).rowcount == 1


def revoke_own(db: Database, tenant_id: UUID, key_id: UUID, now: datetime) -> ApiKey | None:
    """End the tenant's key at once; one that is revoked stays so. None: no such key of the tenant."""
    with db.connection() as conn:
        return one_row(conn, ApiKey, _SQL["revoke_own"], {"tenant_id": tenant_id, "id": key_id, "now": now})
