"""What an operator lends to agents, everybody's or one tenant's: pools (agent_pools.py) and trunks (agent_trunks.py).

Who gives one to a tenant and who chooses one for an agent take turns: the second sees what the first has done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from psycopg import errors

from store.pool import Conn, Database
from store.queries import Queries
from store.ranges import OUT_OF_RANGE, refused


class InUse(ValueError):
    """It cannot be removed, or given to one tenant, while agents of others have it."""


class NoTenant(ValueError):
    """It cannot be given to a tenant that there is not."""


@dataclass(frozen=True, slots=True)
class Lent:
    """``word``: pool, trunk. ``queries`` has giving, choosing, foreign, may_use and remove of its ``table``; ``ranges`` as
    :func:`store.ranges.refused` takes them.
    """

    word: str
    table: str
    queries: Queries
    ranges: Mapping[str, str]

    @contextmanager
    def giving(self, db: Database, name: str) -> Iterator[Conn]:
        """Around whatever is set of it: a transaction in which no agent gets it. ``ValueError`` naming what is wrong, also
        :class:`NoTenant`.
        """
        try:
            with db.connection() as conn:
                conn.execute(self.queries["giving"], {"name": name})
                yield conn
        except OUT_OF_RANGE as error:
            raise refused(f"{self.word} {name}", self.table, self.ranges, error) from error
        except errors.ForeignKeyViolation as error:
            if error.diag.constraint_name != f"{self.table}_tenant_id_fkey":
                raise
            raise NoTenant(f"{self.word} {name}: there is no such tenant") from error

    def require_nobody_else(self, conn: Conn, name: str, tenant_id: UUID | None) -> None:
        """Inside :meth:`giving`. :class:`InUse` where agents of others than its tenant have it."""
        if tenant_id is None:
            return
        other = conn.execute(self.queries["foreign"], {"name": name, "tenant_id": tenant_id}).fetchone()
        if other is not None:
            raise InUse(f"{self.word} {name}: agent {other[0]} of another tenant has it: archive that one first")

    def remove(self, db: Database, name: str) -> bool:
        """False: there was none. Errors: :class:`InUse`."""
        try:
            with db.connection() as conn:
                conn.execute(self.queries["giving"], {"name": name})  # whoever chooses it meanwhile sees it gone
                return conn.execute(self.queries["remove"], {"name": name}).rowcount == 1
        except errors.ForeignKeyViolation as error:
            raise InUse(f"{self.word} {name}: agents have it, or had it when they were archived: it stays") from error

    def may_use(self, conn: Conn, name: str, tenant_id: UUID) -> bool:
        """Whether agents of the tenant may have it. It stays so while the caller's transaction lasts."""
        params = {"name": name, "tenant_id": tenant_id}
        conn.execute(self.queries["choosing"], params)
        return conn.execute(self.queries["may_use"], params).fetchone() is not None
