"""Trunks by name, for agents of kind ``sip``: each is a route that no number leads to, and who may be reached by it.

A trunk is an operator's: a tenant that could name any carrier, and what is dialed there, could dial past every rule.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

from psycopg import errors

from store import carriers
from store.pool import Conn, Database
from store.queries import load
from store.ranges import OUT_OF_RANGE, refused
from store.records import all_rows, one_row

_SQL = load("agent_trunks")
RANGES = {"name": "1 to 32 of a-z, 0-9 and -, not starting with -"}


@dataclass(frozen=True, slots=True)
class AgentTrunk:
    """``tenant_id``: whose agents may have it, None: everybody's. ``carriers``: names of those that lead there."""

    name: str
    tenant_id: UUID | None = None
    carriers: tuple[str, ...] | list[str] = ()


class TrunkInUse(ValueError):
    """It cannot be removed, or given to one tenant, while agents of others have it."""


def list_trunks(db: Database) -> list[AgentTrunk]:
    """Every one, by name."""
    with db.connection() as conn:
        return all_rows(conn, AgentTrunk, _SQL["list"])


def put(db: Database, name: str, *, carrier_id: UUID, tenant_id: UUID | None = None) -> AgentTrunk:
    """Make it, or let it lead to another carrier, or give it to another tenant. Errors: ``ValueError`` naming what is wrong,
    also :class:`TrunkInUse`.
    """
    if any(route.name == name and route.prefix != nobodys(name) for route in carriers.list_routes(db)):
        raise ValueError(f"trunk {name}: there is a route of that name, which numbers lead to: choose another name")
    carriers.put_route(db, name=name, prefixes=[nobodys(name)], carriers=[carrier_id])  # it leads nobody there by itself
    try:
        with db.connection() as conn:
            conn.execute(_SQL["giving"], {"name": name})
            conn.execute(_SQL["put"], {"name": name, "tenant_id": tenant_id})
            if tenant_id is not None:
                other = conn.execute(_SQL["foreign"], {"name": name, "tenant_id": tenant_id}).fetchone()
                if other is not None:
                    raise TrunkInUse(f"trunk {name}: agent {other[0]} of another tenant has it: archive that one first")
            made = one_row(conn, AgentTrunk, _SQL["get"], {"name": name})
    except OUT_OF_RANGE as error:
        raise refused(f"trunk {name}", "agent_trunks", RANGES, error) from error
    except errors.ForeignKeyViolation as error:
        raise ValueError(f"trunk {name}: there is no tenant {tenant_id}") from error
    assert made is not None
    return made


def remove(db: Database, name: str) -> bool:
    """False: there was none. Its route stays: calls that wait may be in its lane. Errors: :class:`TrunkInUse`."""
    try:
        with db.connection() as conn:
            return conn.execute(_SQL["remove"], {"name": name}).rowcount == 1
    except errors.ForeignKeyViolation as error:
        raise TrunkInUse(f"trunk {name}: agents have it, or had it when they were archived: it stays") from error


def may_use(conn: Conn, trunk: str, tenant_id: UUID) -> bool:
    """Whether agents of the tenant may be reached by it. It stays so while the caller's transaction lasts."""
    params = {"name": trunk, "tenant_id": tenant_id}
    conn.execute(_SQL["choosing"], params)
    return conn.execute(_SQL["may_use"], params).fetchone() is not None


def nobodys(name: str) -> str:
    """A prefix that no number has, for no country code begins with 0; another one for each name."""
    return f"0{int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % 10**14:014d}"
