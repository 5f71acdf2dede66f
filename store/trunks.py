"""The SIP side of carriers, and the endpoints whose gateways are rendered. Limits and routes: store/carriers.py."""

from __future__ import annotations

from dataclasses import dataclass, fields
from uuid import UUID

from psycopg import errors

from calls.ids import new_uuid7
from calls.reject_texts import checked
from calls.trunk import CODECS, Trunk, gateway_prefix, literal_address
from store import invite_costs
from store.pool import Conn, Database
from store.queries import load
from store.ranges import OUT_OF_RANGE, refused
from store.records import all_rows, one_row, record

_SQL = load("trunks")
_CHANGES = frozenset(field.name for field in fields(Trunk)) - {"id", "name"}
_FORMATS = "plus, double_zero, digits or national"
_RANGES = {
    "auth": "ip or digest",
    "username": "1 to 64 letters, digits, '.', '_', '+', '@' or '-'",
    "realm": "1 to 128 letters, digits, '.', '_', '@' or '-'",
    "secret_env": "the name of an environment variable of the controllers that begins with TRUNKLINE_SECRET_ (A-Z, 0-9, _)",
    "from_user": "1 to 64 letters, digits, '.', '_', '+' or '-'",
    "from_domain": "a host name or an IPv4 address",
    "caller_header": "pai, ppi, rpid or none",
    "privacy": "off, none or id",
    "number_format": _FORMATS,
    "caller_format": _FORMATS,
    "country_code": "1 to 3 digits, the first not 0",
    "national_prefix": "0 to 3 digits",
    "international_prefix": "1 to 5 digits",
    "tech_prefix": "0 to 16 of 0-9 * #",
    "codecs": "PCMU, PCMA or both, in the order in which they are offered",
    "transport": "udp, tcp or tls",
    "ping_s": "5 to 3600",
    "ring_s": "5 to 120",
    "media_timeout_s": "10 to 3600",
    "invite_cost": "1 or 2",
    "reject_texts": "a list",
    "digest": "complete: username, secret_env (the name of the variable with the password) and invite_cost 2, for each"
    " call sends its INVITE twice",
    "national": "with country_code, the country whose numbers are written nationally",
    "withheld": "privacy id only with from_domain, in which the carrier alone reads the caller's number",
}


@dataclass(frozen=True, slots=True)
class RenderedEndpoint:
    """A literal ip:port of a carrier under a name. ``gateway``: the one that new dials take; ``address``: what is wanted."""

    id: UUID
    carrier_id: UUID
    name: str
    gateway: str
    address: str
    enabled: bool


def list_trunks(db: Database) -> list[Trunk]:
    """Every carrier by name."""
    with db.connection() as conn:
        return trunks_in(conn)


def trunks_in(conn: Conn) -> list[Trunk]:
    """The same, inside the caller's transaction."""
    return all_rows(conn, Trunk, _SQL["list_trunks"])


def get(db: Database, name: str) -> Trunk | None:
    """The carrier of that name."""
    return next((trunk for trunk in list_trunks(db) if trunk.name == name), None)


def update(db: Database, name: str, **changes: object) -> Trunk | None:
    """Change only what is named, of Trunk's fields but id and name. None: no such carrier.

    With ``auth`` digest and no ``invite_cost``, that becomes 2. It is never lowered by itself: the gateways that are dialed
    are challenged until others have been applied. What is of the call (formats, caller id, codecs, limits) acts within a
    second; what is of the gateway when it is applied (store/gateways.py).
    Errors: ``ValueError`` naming the field; ``TypeError`` for one that Trunk does not have.
    """
    if unknown := changes.keys() - _CHANGES:
        raise TypeError(f"a carrier has no {', '.join(sorted(unknown))}")
    if "reject_texts" in changes:
        changes["reject_texts"] = checked(changes["reject_texts"])
    if changes.get("auth") == "digest":
        changes.setdefault("invite_cost", 2)
    codecs = changes.get("codecs")
    if isinstance(codecs, list | tuple):
        if not CODECS.issuperset(codecs):
            raise ValueError(f"carrier {name!r}: codecs must be {_RANGES['codecs']}")
        if len(set(codecs)) < len(codecs):
            raise ValueError(f"carrier {name!r}: codecs: one is named twice")
    try:
        with db.connection() as conn:
            invite_costs.check(conn, name, changes)
            return one_row(conn, Trunk, _SQL["update_trunk"], {"name": name, "changes": record(changes)})
    except OUT_OF_RANGE as error:
        raise refused(f"carrier {name!r}", "carriers", _RANGES, error) from error


def put_endpoint(
    db: Database, *, carrier_id: UUID, carrier: str, name: str, address: str, enabled: bool = True
) -> RenderedEndpoint:
    """Create the carrier's endpoint of that name, or give it another address; dialed once it has been applied.

    Errors: ``ValueError`` naming the field.
    """
    literal_address(address)
    params = {
        "id": new_uuid7(),
        "carrier_id": carrier_id,
        "name": name,
        "prefix": gateway_prefix(carrier, name),
        "address": address,
        "enabled": enabled,
    }
    try:
        with db.connection() as conn:
            endpoint = one_row(conn, RenderedEndpoint, _SQL["put_endpoint"], params)
    except errors.ForeignKeyViolation as error:
        raise ValueError(f"carrier_id: there is no carrier {carrier_id}: create it first") from error
    except errors.UniqueViolation as error:
        raise ValueError(f"endpoint {name!r}: its gateway exists already: choose another name") from error
    except errors.CheckViolation as error:
        raise ValueError(
            f"endpoint: name {name!r} must be 1 to 16 lower-case letters, digits or '-', and address a literal ip:port"
        ) from error
    assert endpoint is not None
    return endpoint


def list_endpoints(db: Database) -> list[RenderedEndpoint]:
    """Every endpoint that is rendered, disabled ones too."""
    with db.connection() as conn:
        return endpoints_in(conn)


def endpoints_in(conn: Conn) -> list[RenderedEndpoint]:
    """The same, inside the caller's transaction."""
    return all_rows(conn, RenderedEndpoint, _SQL["list_endpoints"])


def remove_endpoint(db: Database, carrier: str, name: str) -> bool:
    """No new dial goes there; its gateways are killed when their calls are over. False: there is none."""
    with db.connection() as conn:
        params = {"carrier": carrier, "name": name}
        return conn.execute(_SQL["remove_endpoint"], params).fetchone() is not None
