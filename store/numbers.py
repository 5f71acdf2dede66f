"""Numbers on which tenants are called: whose each is, and which agent takes its calls."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import errors

from store.pool import Database
from store.queries import load
from store.records import all_rows, one_row
from store.tenants import NameTaken

_SQL = load("numbers")


@dataclass(frozen=True, slots=True)
class Did:
    """``number``: E.164. ``carrier_id``: whose it is, where that cannot be told from the address its calls come from.
    ``pool``: its calls count in the scope ``agents:<pool>`` too. Not ``enabled``: its callers hear that there is no such
    number.
    """

    number: str
    tenant_id: UUID
    tenant_name: str
    agent_id: UUID
    agent_name: str
    carrier_id: UUID | None
    carrier_name: str | None
    pool: str | None
    enabled: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Callers sent away without a call being made of it. ``reason``: unknown_number, drained (the switch was), no_budget
    (nobody could count them).
    """

    switch: str
    reason: str
    count: int
    last_at: datetime
    last_number: str


def put(
    db: Database,
    *,
    number: str,
    tenant_id: UUID,
    agent_id: UUID,
    carrier_id: UUID | None = None,
    pool: str | None = None,
    enabled: bool = True,
) -> Did:
    """Give the tenant the number, or change what becomes of its calls.

    Errors: :class:`store.tenants.NameTaken` when another tenant has it; ``ValueError`` naming the field.
    """
    params = {
        "number": number,
        "tenant_id": tenant_id,
        "agent_id": agent_id,
        "carrier_id": carrier_id,
        "pool": pool,
        "enabled": enabled,
    }
    try:
        with db.connection() as conn:
            written = conn.execute(_SQL["put"], params).rowcount == 1
            found = one_row(conn, Did, _SQL["get"], params)
    except errors.ForeignKeyViolation as error:
        raise ValueError(f"carrier_id: there is no carrier {carrier_id}: create it first") from error
    except errors.CheckViolation as error:
        field = "pool" if error.diag.constraint_name == "numbers_pool_check" else "number"
        rule = "1 to 32 lower-case letters, digits or '-'" if field == "pool" else "E.164, such as +442079460000"
        raise ValueError(f"{field}: must be {rule}") from error
    if not written and found is not None and found.tenant_id != tenant_id:
        raise NameTaken(f"number: {number} belongs to tenant {found.tenant_name}: remove it there first")
    if not written or found is None:
        raise ValueError(
            f"agent_id: the tenant has no agent {agent_id} that can take calls: create it first; one whose texts need"
            " variables cannot, for a caller brings none"
        )
    return found


def list_numbers(db: Database, tenant_id: UUID | None = None) -> list[Did]:
    """The tenant's numbers, or (None) everybody's."""
    with db.connection() as conn:
        return all_rows(conn, Did, _SQL["list"], {"tenant_id": tenant_id})


def called_here(db: Database, numbers: Collection[str], tenant_id: UUID | None = None) -> frozenset[str]:
    """Those of the numbers whose calls the tenant's agents take, or (None) anybody's here. A call to one comes back."""
    with db.connection() as conn:
        rows = conn.execute(_SQL["called_here"], {"numbers": list(numbers), "tenant_id": tenant_id}).fetchall()
    return frozenset(row[0] for row in rows)


def remove(db: Database, number: str) -> bool:
    """It is nobody's any more; calls that are up go on. False: it was not."""
    with db.connection() as conn:
        return conn.execute(_SQL["remove"], {"number": number}).rowcount == 1


def list_refused(db: Database) -> list[Refused]:
    """Whom each switch sent away, by reason."""
    with db.connection() as conn:
        return all_rows(conn, Refused, _SQL["list_refused"])
