"""What an accept reads does not grow with what the tenant has: as a tenant's own process, bound by row level security."""

from __future__ import annotations

from uuid import uuid4

from psycopg import sql

from store.accept_rows import Context
from store.batch_rows import write
from store.pool import Conn
from store.tenancy import open_tenant_database
from tests.store.conftest import T0, World, settings_for

#: Calls that are there, and calls that come; what each of these may read of `calls`, foreign keys included.
THERE, MORE, EACH = 600, 50, 8
_READ = sql.SQL(
    "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relname = 'calls'"
)

_BATCH = sql.SQL("INSERT INTO batches (id, tenant_id, accepted, refused, created_at) VALUES (%s, %s, 1, 0, %s)")


def _read(conn: Conn) -> int:
    row = conn.execute(_READ).fetchone()
    return 0 if row is None else int(row[0])


def test_attempts_that_enter_the_queue_are_counted_without_a_walk_through_all_calls(world: World) -> None:
    settings = settings_for(world.url, db_pool_size=2)
    with (
        open_tenant_database(settings, cooperative=False, wait_s=20) as bound,
        bound.of_tenant(world.tenant.id).connection() as conn,
    ):
        batch = uuid4()
        conn.execute(_BATCH, (batch, world.tenant.id, T0))
        write(conn, Context(None, T0, None), [world.new() for _ in range(THERE)], batch, T0)
        before = _read(conn)
        write(conn, Context(None, T0, None), [world.new() for _ in range(MORE)], batch, T0)
        assert _read(conn) - before <= MORE * EACH
