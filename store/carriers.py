"""Carriers, their endpoints, and the routes that lead to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import errors

from calls.ids import new_uuid7
from store.pool import Conn, Database
from store.queries import load
from store.records import all_rows, one_row, recordset

_SQL = load("carriers")


@dataclass(frozen=True, slots=True)
class CarrierLimits:
    """What a carrier allows. ``cps`` INVITEs per ``window_ms``/1000 s; ``jitter_ms``/``linger_ms`` None: the setting;
    ``invite_cost`` 2 where each call sends its INVITE twice (digest authentication).
    """

    id: UUID
    name: str
    max_channels: int
    cps: float
    window_ms: int
    jitter_ms: int | None
    linger_ms: int | None
    invite_cost: int
    paused: bool
    pdd_s: int | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A literal ip:port of a carrier and the one gateway that leads there."""

    id: UUID
    carrier_id: UUID
    gateway: str
    address: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class Route:
    """An E.164 prefix (digits, '' = all) and its carriers in order of preference."""

    name: str
    prefix: str
    carriers: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class RouteCarrier:
    """A carrier of a route: lower ``tier`` first, then higher ``weight``."""

    carrier_id: UUID
    tier: int = 1
    weight: int = 1


def put_carrier(
    db: Database,
    *,
    name: str,
    max_channels: int,
    cps: float,
    window_ms: int = 1000,
    jitter_ms: int | None = None,
    linger_ms: int | None = None,
    invite_cost: int = 1,
    pdd_s: int | None = None,
    paused: bool = False,
) -> CarrierLimits:
    """Create or change the carrier of that name. Errors: ``ValueError`` naming the broken rule."""
    params = {
        "id": new_uuid7(),
        "name": name,
        "max_channels": max_channels,
        "cps": cps,
        "window_ms": window_ms,
        "jitter_ms": jitter_ms,
        "linger_ms": linger_ms,
        "invite_cost": invite_cost,
        "pdd_s": pdd_s,
        "paused": paused,
    }
    try:
        with db.connection() as conn:
            carrier = one_row(conn, CarrierLimits, _SQL["put_carrier"], params)
    except (errors.CheckViolation, errors.NumericValueOutOfRange) as error:
        raise ValueError(f"carrier {name!r}: a value is out of its range: {error.diag.message_primary}") from error
    assert carrier is not None
    return carrier


def put_endpoint(db: Database, *, carrier_id: UUID, gateway: str, address: str, enabled: bool = True) -> Endpoint:
    """Create or change the endpoint behind that gateway. Errors: ``ValueError`` naming the field."""
    params = {
        "id": new_uuid7(),
        "carrier_id": carrier_id,
        "gateway": gateway,
        "address": address,
        "enabled": enabled,
    }
    try:
        with db.connection() as conn:
            endpoint = one_row(conn, Endpoint, _SQL["put_endpoint"], params)
    except errors.ForeignKeyViolation as error:
        raise ValueError(f"carrier_id: there is no carrier {carrier_id}: create it first") from error
    except errors.CheckViolation as error:
        raise ValueError(
            f"endpoint: gateway {gateway!r} must be letters, digits, '_' or '-', address {address!r} a literal ip:port"
        ) from error
    assert endpoint is not None
    return endpoint


def put_route(db: Database, *, name: str, prefixes: Sequence[str], carriers: Sequence[RouteCarrier | UUID]) -> list[Route]:
    """Make ``name`` lead the prefixes to the carriers; replaces all that the route was. Returns it, by prefix.

    A lane belongs to a route's name, so all prefixes of a name have the same carriers. A plain UUID is tier 1, weight 1.
    Errors: ``ValueError`` naming the field (a prefix of another route, an unknown carrier, an empty list).
    """
    if isinstance(prefixes, str):
        raise ValueError("prefixes: give a list of prefixes, such as ['49'], or [''] for every number")
    if not prefixes or not carriers:
        raise ValueError(f"route {name!r}: at least one prefix and one carrier are needed")
    entries = [entry if isinstance(entry, RouteCarrier) else RouteCarrier(entry) for entry in carriers]
    rows: list[dict[str, object]] = [
        {
            "id": new_uuid7(),
            "name": name,
            "prefix": prefix,
            "carrier_id": entry.carrier_id,
            "tier": entry.tier,
            "weight": entry.weight,
        }
        for prefix in prefixes
        for entry in entries
    ]
    try:
        with db.connection() as conn:
            conn.execute(_SQL["lock_routes"])
            conn.execute(_SQL["delete_route"], {"name": name})
            taken = conn.execute(_SQL["prefix_owner"], {"prefixes": list(prefixes)}).fetchone()
            if taken is not None:
                raise ValueError(f"prefixes: {taken[0]!r} belongs to route {taken[1]!r}: take it out there first")
            conn.execute(_SQL["insert_route"], {"rows": recordset(rows)})
            return [route for route in _routes(conn) if route.name == name]
    except errors.ForeignKeyViolation as error:
        raise ValueError(f"carriers: {error.diag.message_detail}: create it first") from error
    except errors.UniqueViolation as error:
        raise ValueError(f"route {name!r}: a prefix or carrier is named twice") from error
    except errors.CheckViolation as error:
        raise ValueError(
            "route: name must be 1 to 32 lower-case letters, digits or '-', prefixes 0 to 15 digits without '+',"
            f" tier and weight at least 1 (broken: {error.diag.constraint_name})"
        ) from error


def list_limits(db: Database) -> list[CarrierLimits]:
    """Every carrier by name, paused ones too."""
    with db.connection() as conn:
        return all_rows(conn, CarrierLimits, _SQL["list_limits"])


def list_endpoints(db: Database) -> list[Endpoint]:
    """Every endpoint by gateway, disabled ones too."""
    with db.connection() as conn:
        return all_rows(conn, Endpoint, _SQL["list_endpoints"])


def list_routes(db: Database) -> list[Route]:
    """Every route by name and prefix."""
    with db.connection() as conn:
        return _routes(conn)


def _routes(conn: Conn) -> list[Route]:
    return [Route(name, prefix, tuple(ids)) for name, prefix, ids in conn.execute(_SQL["list_routes"])]


def route_for(db: Database, e164: str) -> str | None:
    """The name of the route with the longest prefix of ``+digits``; None when the number leads nowhere."""
    digits = e164.removeprefix("+")
    prefixes = [digits[:length] for length in range(len(digits) + 1)]
    with db.connection() as conn:
        row = conn.execute(_SQL["route_for"], {"prefixes": prefixes}).fetchone()
    return None if row is None else str(row[0])


def set_paused(db: Database, carrier_id: UUID, paused: bool) -> bool:
    """Stop or allow new dials through the carrier, at once (the claim looks). False: no such carrier."""
    with db.connection() as conn:
        return conn.execute(_SQL["set_paused"], {"id": carrier_id, "paused": paused}).rowcount == 1
