"""Limits that are not a carrier's own: of its account and address, of a switch, of everything, of a tenant and what is its.

A scope is named by an id: ``account:<name>`` and ``ip:<address>`` (checked with the carrier), ``switch:<name>`` and
``global`` (checked with the switch), ``tenant:<uuid>``, ``campaign:<tenant hex>:<name>``, ``caller:<tenant hex>:<pool>`` and
``agents:<pool>`` (checked with the lane). A scope without a row has no limit. ``carrier:<uuid>`` has its numbers in
store/carriers.py.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, fields
from uuid import UUID

from store.pool import Conn, Database
from store.queries import load
from store.ranges import OUT_OF_RANGE, refused
from store.records import all_rows, one_row, record

_SQL = load("scopes")

FORMS = (
    "global, account:<name>, ip:<address>, switch:<name>, tenant:<uuid>, campaign:<tenant, 32 hex digits>:<name>,"
    " caller:<tenant, 32 hex digits>:<pool> or agents:<pool>"
)


@dataclass(frozen=True, slots=True)
class Scope:
    """``max_channels`` calls at the same time, ``cps`` INVITEs per second counted over ``window_ms``; None: no such limit.
    ``weight`` is a campaign's share of its tenant's turns; ``paused``: nothing new is dialed under it.
    """

    scope: str
    max_channels: int | None = None
    cps: float | None = None
    window_ms: int = 1000
    weight: int = 1
    paused: bool = False


_CHANGES = frozenset(field.name for field in fields(Scope)) - {"scope"}
RANGES = {
    "max_channels": "at least 0",
    "cps": "0 to 99999.999",
    "window_ms": "100 to 60000",
    "weight": "1 to 1000",
}
_ALL_RANGES = {"scope": FORMS, **RANGES}


def tenant_scope(tenant_id: UUID) -> str:
    """``tenant:<uuid>``."""
    return f"tenant:{tenant_id}"


def canonical(scope: str) -> str:
    """The one way to write the scope's id: lower-case where letters mean nothing, addresses in their shortest form.

    Errors: ``ValueError`` for what cannot be a scope's id.
    """
    kind, _, rest = scope.partition(":")
    if kind == "carrier":
        raise ValueError(f"scope: {scope!r}: a carrier's limits are set on the carrier: trunkline carriers set NAME")
    try:
        if kind == "ip":
            return f"ip:{ipaddress.ip_address(rest)}"
        if kind == "tenant":
            return f"tenant:{UUID(rest)}"
        if kind in ("campaign", "caller"):
            owner, _, name = rest.partition(":")
            return f"{kind}:{UUID(owner).hex}:{name}"
    except ValueError as error:
        raise ValueError(f"scope: {scope!r} is none: expected {FORMS}") from error
    return scope


def put(db: Database, scope: Scope) -> Scope:
    """Create the scope or replace all its numbers. Errors: ``ValueError`` naming what is wrong."""
    values = {field.name: getattr(scope, field.name) for field in fields(Scope)} | {"scope": canonical(scope.scope)}
    try:
        with db.connection() as conn:
            stored = one_row(conn, Scope, _SQL["put"], values)
    except OUT_OF_RANGE as error:
        raise refused(f"scope {scope.scope}", "scopes", _ALL_RANGES, error) from error
    assert stored is not None
    return stored


def update(db: Database, scope: str, **changes: object) -> Scope:
    """Change only what is named, of Scope's fields; a scope that has no row gets one. None clears a limit.

    Errors: ``ValueError`` naming what is wrong; ``TypeError`` for a field that Scope does not have.
    """
    unknown = changes.keys() - _CHANGES
    if unknown:
        raise TypeError(f"a scope has no {', '.join(sorted(unknown))}")
    scope = canonical(scope)
    try:
        with db.connection() as conn:
            return update_in(conn, scope, changes)
    except OUT_OF_RANGE as error:
        raise refused(f"scope {scope}", "scopes", _ALL_RANGES, error) from error


def update_in(conn: Conn, scope: str, changes: dict[str, object]) -> Scope:
    """:func:`update` inside the caller's transaction; ``scope`` is canonical, and errors are psycopg's own."""
    conn.execute(_SQL["ensure"], {"scope": scope})
    stored = one_row(conn, Scope, _SQL["update"], {"scope": scope, "changes": record(changes)})
    assert stored is not None
    return stored


def list_scopes(db: Database) -> list[Scope]:
    """Every scope that has a row, by id."""
    with db.connection() as conn:
        return all_rows(conn, Scope, _SQL["list"])


def get_scopes(db: Database, ids: Iterable[str]) -> dict[str, Scope]:
    """Those of ``ids`` that have a row."""
    with db.connection() as conn:
        return {scope.scope: scope for scope in all_rows(conn, Scope, _SQL["get"], {"scopes": list(ids)})}


def of_tenant(db: Database, tenant_id: UUID) -> list[Scope]:
    """The tenant's own scope and its campaigns', those that have a row."""
    params = {"tenant": tenant_scope(tenant_id), "campaigns": f"campaign:{tenant_id.hex}:%"}
    with db.connection() as conn:
        return all_rows(conn, Scope, _SQL["of_tenant"], params)


def remove(db: Database, scope: str) -> bool:
    """Take all limits off the scope. False: it had none."""
    with db.connection() as conn:
        return conn.execute(_SQL["remove"], {"scope": canonical(scope)}).rowcount == 1
