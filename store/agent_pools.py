"""Pools of the fleet: what is set of each. Which seats there are, and who has them, only Redis knows (budget/seats.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from uuid import UUID

from store.lent import Lent
from store.pool import Database
from store.queries import load
from store.records import all_rows, one_row, record

_SQL = load("agent_pools")


@dataclass(frozen=True, slots=True)
class AgentPool:
    """``tenant_id``: whose agents may have it, None: everybody's. ``inbound_reserved``: seats that calls of ours never take.
    ``dials_per_seat``: calls dialed for each free seat, of agents that take one at the answer.
    """

    name: str
    tenant_id: UUID | None = None
    inbound_reserved: int = 0
    dials_per_seat: float = 1.0


RANGES = {
    "name": "1 to 32 of a-z, 0-9 and -, not starting with -",
    "inbound_reserved": "at least 0",
    "dials_per_seat": "1 to 10",
}
POOLS = Lent("pool", "agent_pools", _SQL, RANGES)
_CHANGES = frozenset(field.name for field in fields(AgentPool)) - {"name"}


def list_pools(db: Database) -> list[AgentPool]:
    """Every pool, by name."""
    with db.connection() as conn:
        return all_rows(conn, AgentPool, _SQL["list"])


def get(db: Database, name: str) -> AgentPool | None:
    with db.connection() as conn:
        return one_row(conn, AgentPool, _SQL["get"], {"name": name})


def keys(db: Database, names: Sequence[str]) -> dict[str, str]:
    """By which tokens for the workers of each pool are signed; pools that there are not are left out. For the relay and the
    pools' keepers alone.
    """
    with db.connection() as conn:
        return dict(conn.execute(_SQL["keys"], {"names": list(names)}).fetchall())


def renew_key(db: Database, name: str) -> bool:
    """A new key for the pool: the relay signs by it from its next call on, keepers verify by it once they were told. False:
    there is no such pool.
    """
    with db.connection() as conn:
        return conn.execute(_SQL["renew_key"], {"name": name}).rowcount == 1


def update(db: Database, name: str, **changes: object) -> AgentPool:
    """Change only what is named; a pool that is not there is made. Errors: ``ValueError`` naming what is wrong, also
    :class:`store.lent.InUse` and :class:`store.lent.NoTenant`; ``TypeError`` for a field that a pool does not have.
    """
    unknown = changes.keys() - _CHANGES
    if unknown:
        raise TypeError(f"a pool has no {', '.join(sorted(unknown))}")

    with POOLS.giving(db, name) as conn:
        conn.execute(_SQL["ensure"], {"name": name})
        stored = one_row(conn, AgentPool, _SQL["update"], {"name": name, "changes": record(changes)})
        assert stored is not None
        POOLS.require_nobody_else(conn, name, stored.tenant_id)
        return stored


def remove(db: Database, name: str) -> bool:
    """False: there was none. Errors: :class:`store.lent.InUse`."""
    return POOLS.remove(db, name)
