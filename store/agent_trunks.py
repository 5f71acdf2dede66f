"""Trunks by name, for agents of kind ``sip``: each is a route that no number leads to, and who may be reached by it.

A trunk is an operator's: a tenant that could name any carrier, and what is dialed there, could dial past every rule.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

from store import carriers
from store.lent import Lent
from store.pool import Database
from store.queries import load
from store.records import all_rows, one_row

_SQL = load("agent_trunks")
RANGES = {"name": "1 to 32 of a-z, 0-9 and -, not starting with -"}
TRUNKS = Lent("trunk", "agent_trunks", _SQL, RANGES)


@dataclass(frozen=True, slots=True)
class AgentTrunk:
    """``tenant_id``: whose agents may have it, None: everybody's. ``carriers``: names of those that lead there."""

    name: str
    tenant_id: UUID | None = None
    carriers: tuple[str, ...] | list[str] = ()


def list_trunks(db: Database) -> list[AgentTrunk]:
    """Every one, by name."""
    with db.connection() as conn:
        return all_rows(conn, AgentTrunk, _SQL["list"])


def put(db: Database, name: str, *, carrier_id: UUID, tenant_id: UUID | None = None) -> AgentTrunk:
    """Make it, or let it lead to another carrier, or give it to another tenant. Errors: ``ValueError`` naming what is wrong,
    also :class:`store.lent.InUse` and :class:`store.lent.NoTenant`.
    """
    if any(route.name == name and route.prefix != nobodys(name) for route in carriers.list_routes(db)):
        raise ValueError(f"trunk {name}: there is a route of that name, which numbers lead to: choose another name")
    carriers.put_route(db, name=name, prefixes=[nobodys(name)], carriers=[carrier_id])  # it leads nobody there by itself
    with TRUNKS.giving(db, name) as conn:
        conn.execute(_SQL["put"], {"name": name, "tenant_id": tenant_id})
        TRUNKS.require_nobody_else(conn, name, tenant_id)
        made = one_row(conn, AgentTrunk, _SQL["get"], {"name": name})
    assert made is not None
    return made


def remove(db: Database, name: str) -> bool:
    """False: there was none. Its route stays: calls that wait may be in its lane. Errors: :class:`store.lent.InUse`."""
    return TRUNKS.remove(db, name)


def nobodys(name: str) -> str:
    """A prefix that no number has, for no country code begins with 0; another one for each name."""
    return f"0{int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % 10**14:014d}"
