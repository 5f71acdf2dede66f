"""Carriers, their endpoints, and the routes that lead to them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, fields
from uuid import UUID

from psycopg import errors

from calls.ids import new_uuid7
from calls.test_numbers import NO_NUMBER, TEST_ROUTE
from store import invite_costs
from store.pool import Conn, Database
from store.queries import load
from store.ranges import OUT_OF_RANGE, refused
from store.records import all_rows, one_row, record, recordset

_SQL = load("carriers")


@dataclass(frozen=True, slots=True)
class CarrierLimits:
    """What a carrier allows. ``cps`` INVITEs per second, counted over ``window_ms``; ``jitter_ms``/``linger_ms`` None: the
    setting; ``invite_cost`` 2 where each call sends its INVITE twice (digest authentication). ``account``, ``source_ip``: it
    also counts by those, and their scopes (store/scopes.py) have the numbers. ``urgent_share``: of its slots, what one
    tenant's urgent calls may take ahead of others (0 to 1); ``bulk_floor``: what bulk calls always get (0 to 0.5).
    ``counts_inbound``: calls that it places to us take its channels too; ``inbound_reserved`` of them no call of ours takes.
    ``lab``: it is the laboratory's, for calls of test keys alone, and stays so.
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
    account: str | None
    source_ip: str | None
    urgent_share: float
    bulk_floor: float
    counts_inbound: bool = True
    inbound_reserved: int = 0
    lab: bool = False


_CHANGES = frozenset(field.name for field in fields(CarrierLimits)) - {"id", "name", "lab"}
_RANGES = {
    "name": "1 to 32 lower-case letters, digits, '_' or '-'",
    "max_channels": "at least 0",
    "cps": "0 to 99999.999",
    "window_ms": "100 to 60000",
    "jitter_ms": "at least 0",
    "linger_ms": "at least 0",
    "invite_cost": "1 or 2",
    "pdd_s": "1 to 120",
    "digest": "left at invite_cost 2: with digest each call sends its INVITE twice, and the carrier counts both",
    "account": "1 to 63 letters, digits, '.', '_' or '-'",
    "urgent_share": "0 to 1",
    "bulk_floor": "0 to 0.5",
    "inbound_reserved": "at least 0",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A literal ip:port of a carrier and the one gateway that leads there. ``name``: of an endpoint whose gateway is
    rendered (store/trunks.py); None: its gateway is written by hand on every switch. ``loaded``: some switch has it, or
    it is written by hand.
    """

    id: UUID
    carrier_id: UUID
    gateway: str
    address: str
    enabled: bool
    name: str | None = None
    loaded: bool = True


@dataclass(frozen=True, slots=True)
class Serving:
    """A carrier of a route: lower ``tier`` first, then by ``weight``. ``price`` per minute in the operator's currency, None:
    not known.
    """

    carrier_id: UUID
    tier: int = 1
    weight: int = 1
    price: float | None = None


RouteCarrier = Serving


@dataclass(frozen=True, slots=True)
class Route:
    """An E.164 prefix (digits, '' = all) and its carriers in order of preference."""

    name: str
    prefix: str
    serving: tuple[Serving, ...]

    @property
    def carriers(self) -> tuple[UUID, ...]:
        """The ids of those that serve it, in the same order."""
        return tuple(serving.carrier_id for serving in self.serving)


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
    account: str | None = None,
    source_ip: str | None = None,
    urgent_share: float = 0.3,
    bulk_floor: float = 0.1,
    counts_inbound: bool = True,
    inbound_reserved: int = 0,
    lab: bool = False,
) -> CarrierLimits:
    """Create the carrier of that name, or give it these numbers and no others. Errors: ``ValueError`` naming the field."""
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
        "account": account,
        "source_ip": _address(source_ip),
        "urgent_share": urgent_share,
        "bulk_floor": bulk_floor,
        "counts_inbound": counts_inbound,
        "inbound_reserved": inbound_reserved,
        "lab": lab,
    }
    try:
        with db.connection() as conn:
            invite_costs.check(conn, name, params)
            carrier = one_row(conn, CarrierLimits, _SQL["put_carrier"], params)
    except OUT_OF_RANGE as error:
        raise refused(f"carrier {name!r}", "carriers", _RANGES, error) from error
    if carrier is None:
        other = "no carrier of the laboratory" if lab else "the laboratory's"
        raise ValueError(f"carrier {name!r}: there is one of this name, and it is {other}: choose another name")
    return carrier


def update(db: Database, name: str, **changes: object) -> CarrierLimits | None:
    """Change only what is named, of CarrierLimits' fields but id and name. None: no such carrier.

    Errors: ``ValueError`` naming the field; ``TypeError`` for one that CarrierLimits does not have.
    """
    unknown = changes.keys() - _CHANGES
    if unknown:
        raise TypeError(f"a carrier has no {', '.join(sorted(unknown))}")
    if "source_ip" in changes:
        changes["source_ip"] = _address(changes["source_ip"])
    try:
        with db.connection() as conn:
            invite_costs.check(conn, name, changes)
            return one_row(conn, CarrierLimits, _SQL["update_carrier"], {"name": name, "changes": record(changes)})
    except OUT_OF_RANGE as error:
        raise refused(f"carrier {name!r}", "carriers", _RANGES, error) from error


def _address(source_ip: object) -> str | None:
    """In its shortest form, so that the same address is the same scope."""
    if source_ip is None:
        return None
    try:
        return str(ipaddress.ip_address(str(source_ip)))
    except ValueError as error:
        raise ValueError(f"source_ip: {source_ip!r} is no literal IPv4 or IPv6 address") from error


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


def put_route(db: Database, *, name: str, prefixes: Sequence[str], carriers: Sequence[Serving | UUID]) -> list[Route]:
    """Make ``name`` lead the prefixes to the carriers; replaces all that the route was. Returns it, by prefix.

    A lane belongs to a route's name, so all prefixes of a name have the same carriers. A plain UUID is tier 1, weight 1.
    Errors: ``ValueError`` naming the field (a prefix of another route, an unknown carrier, an empty list).
    """
    if isinstance(prefixes, str):
        raise ValueError("prefixes: give a list of prefixes, such as ['49'], or [''] for every number")
    if not prefixes or not carriers:
        raise ValueError(f"route {name!r}: at least one prefix and one carrier are needed")
    entries = [entry if isinstance(entry, Serving) else Serving(entry) for entry in carriers]
    rows: list[dict[str, object]] = [
        {
            "id": new_uuid7(),
            "name": name,
            "prefix": prefix,
            "carrier_id": entry.carrier_id,
            "tier": entry.tier,
            "weight": entry.weight,
            "price": entry.price,
        }
        for prefix in prefixes
        for entry in entries
    ]
    try:
        with db.connection() as conn:
            conn.execute(_SQL["lock_routes"])
            _require_one_kind(conn, name, prefixes, [entry.carrier_id for entry in entries])
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
    except (errors.CheckViolation, errors.NumericValueOutOfRange) as error:
        raise ValueError(
            "route: name must be 1 to 32 lower-case letters, digits or '-', prefixes 0 to 15 digits without '+',"
            " tier and weight at least 1, price at least 0 and below 100000"
            f" (broken: {error.diag.constraint_name or error.diag.message_primary})"
        ) from error


def _require_one_kind(conn: Conn, name: str, prefixes: Sequence[str], ids: Sequence[UUID]) -> None:
    """The test route leads to the laboratory, which no number does, and no other route leads there."""
    labs = [str(row[0]) for row in conn.execute(_SQL["lab_names"], {"ids": list(ids)})]
    if name != TEST_ROUTE:
        if labs:
            raise ValueError(
                f"carriers: {labs[0]!r} is the laboratory's, which takes calls of test keys alone: only the route"
                f" {TEST_ROUTE!r} leads there (trunkline lab setup)"
            )
        return
    if len(labs) < len(set(ids)):
        raise ValueError(
            f"route {TEST_ROUTE!r}: the name is kept for calls of test keys, which go to carriers of the laboratory alone:"
            " choose another name"
        )
    if list(prefixes) != [NO_NUMBER]:
        raise ValueError(f"prefixes: no number leads to the route {TEST_ROUTE!r}: give {NO_NUMBER!r} alone")


def remove_route(db: Database, name: str) -> bool:
    """The route leads nowhere any more; what waits for it waits until it is put again. False: no such route."""
    with db.connection() as conn:
        conn.execute(_SQL["lock_routes"])
        return conn.execute(_SQL["delete_route"], {"name": name}).rowcount > 0


def list_limits(db: Database) -> list[CarrierLimits]:
    """Every carrier by name, paused ones too."""
    with db.connection() as conn:
        return all_rows(conn, CarrierLimits, _SQL["list_limits"])


def list_endpoints(db: Database, *, lab: bool | None = None) -> list[Endpoint]:
    """Every endpoint by gateway, disabled ones too. ``lab``: those of the laboratory's carriers, or (False) all others."""
    with db.connection() as conn:
        return all_rows(conn, Endpoint, _SQL["list_endpoints"], {"lab": lab})


def list_routes(db: Database) -> list[Route]:
    """Every route by name and prefix."""
    with db.connection() as conn:
        return _routes(conn)


def _routes(conn: Conn) -> list[Route]:
    found: dict[tuple[str, str], list[Serving]] = {}
    for name, prefix, *serving in conn.execute(_SQL["list_routes"]):
        found.setdefault((name, prefix), []).append(Serving(*serving))
    return [Route(name, prefix, tuple(serving)) for (name, prefix), serving in found.items()]


def route_for(db: Database, e164: str) -> str | None:
    """The name of the route with the longest prefix of ``+digits``; None when the number leads nowhere."""
    digits = e164.removeprefix("+")
    prefixes = [digits[:length] for length in range(len(digits) + 1)]
    with db.connection() as conn:
        row = conn.execute(_SQL["route_for"], {"prefixes": prefixes}).fetchone()
    return None if row is None else str(row[0])


def routes_by_prefix(db: Database) -> dict[str, str]:
    """By prefix (digits) the name of the route that :func:`route_for` would take for the numbers of which none is longer."""
    with db.connection() as conn:
        return {str(row[0]): str(row[1]) for row in conn.execute(_SQL["routes_by_prefix"])}


def set_paused(db: Database, carrier_id: UUID, paused: bool) -> bool:
    """Stop or allow new dials through the carrier, at once (the claim looks). False: no such carrier."""
    with db.connection() as conn:
        return conn.execute(_SQL["set_paused"], {"id": carrier_id, "paused": paused}).rowcount == 1
