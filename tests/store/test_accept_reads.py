"""What an accept or a hangup reads of what the tenant has, as its own process, bound by row level security."""

from __future__ import annotations

from uuid import uuid4

import pytest
from psycopg import sql

from store import calls
from store.accept_rows import Context
from store.batch_rows import write
from store.pool import Conn, Database
from store.tenancy import open_tenant_database
from tests.store.conftest import T0, World, settings_for

#: Calls that are there, and calls that come; what each of these may read of `calls`, foreign keys included.
THERE, MORE, EACH = 600, 50, 8
#: Hangups, or accepts, until every plan is kept (psycopg prepares at the sixth, Postgres keeps one after five more); calls
#: that are there afterwards; and what one may read of `calls` and `attempts`.
HANGUPS, GROWN = 14, 3000
READ = 3 * GROWN
_READ = sql.SQL(
    "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relname = 'calls'"
)

#: What the session has read and not told yet is told at the end of this transaction (Postgres 15 and newer).
_TELL = sql.SQL("SELECT pg_stat_force_next_flush()")
_READ_BY = "sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint"
_TOLD = f"SELECT {_READ_BY} FROM pg_stat_user_tables WHERE relname IN ('calls', 'attempts')"
_BATCH = sql.SQL("INSERT INTO batches (id, tenant_id, accepted, refused, created_at) VALUES (%s, %s, 1, 0, %s)")


def _read(conn: Conn) -> int:
    row = conn.execute(_READ).fetchone()
    return 0 if row is None else int(row[0])


@pytest.mark.parametrize("analyzed", [False, True])
def test_attempts_that_enter_the_queue_are_counted_without_a_walk_through_all_calls(world: World, *, analyzed: bool) -> None:
    """``analyzed``: the table is known to be empty, and has a page or three when the statements are planned."""
    if analyzed:
        _analyze_empty(world)
    settings = settings_for(world.url, db_pool_size=2)
    with (
        open_tenant_database(settings, cooperative=False, wait_s=60) as bound,
        bound.of_tenant(world.tenant.id).connection() as conn,
    ):
        batch = uuid4()
        conn.execute(_BATCH, (batch, world.tenant.id, T0))
        write(conn, Context(None, T0, None), [world.new() for _ in range(THERE)], batch, T0)
        before = _read(conn)
        write(conn, Context(None, T0, None), [world.new() for _ in range(MORE)], batch, T0)
        assert _read(conn) - before <= MORE * EACH


def test_an_accept_reads_no_more_when_there_are_many_calls(world: World) -> None:
    """Of a process whose plans were made while there were none, and the table was known to be empty."""
    _analyze_empty(world)
    tenant = world.tenant.id
    with open_tenant_database(settings_for(world.url, db_pool_size=1), cooperative=False, wait_s=60) as bound:
        ours = bound.of_tenant(tenant)

        def accept() -> None:
            calls.accept_call(ours, world.new(), idempotency=None, now=T0)

        for _ in range(HANGUPS):
            accept()
        with ours.connection() as conn:
            batch = uuid4()
            conn.execute(_BATCH, (batch, tenant, T0))
            write(conn, Context(None, T0, None), [world.new() for _ in range(THERE)], batch, T0)
        before = _told(world, ours)
        accept()
        assert _told(world, ours) - before <= THERE // 10


def _analyze_empty(world: World) -> None:
    """From now on it has as few pages as it has, for whoever plans a statement, and not the ten of a new table."""
    world.execute("TRUNCATE calls, queue_counts, queue_deltas CASCADE")
    world.execute("ANALYZE calls")


def test_a_hangup_walks_through_all_calls_once_at_most(world: World) -> None:
    """Its statements were planned and kept while the tables were small, and nothing has been analyzed since: then that is
    what finding a row costs, as long as none of them walks for each row that another one walked past.
    """
    waiting = [world.accept().call.id for _ in range(HANGUPS + 1)]
    tenant = world.tenant.id
    with open_tenant_database(settings_for(world.url, db_pool_size=1), cooperative=False, wait_s=60) as bound:
        ours = bound.of_tenant(tenant)
        for call_id in waiting[:HANGUPS]:
            assert calls.request_hangup(ours, tenant, call_id, "customer", T0).kind == "canceled"
        with ours.connection() as conn:
            batch = uuid4()
            conn.execute(_BATCH, (batch, tenant, T0))
            write(conn, Context(None, T0, None), [world.new() for _ in range(GROWN)], batch, T0)
        before = _told(world, ours)
        assert calls.request_hangup(ours, tenant, waiting[-1], "customer", T0).kind == "canceled"
        assert _told(world, ours) - before <= READ


def _told(world: World, ours: Database) -> int:
    with ours.connection() as conn:
        conn.execute(_TELL)
    ((read,),) = world.rows(_TOLD)
    return int(read)
