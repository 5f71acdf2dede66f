"""A warmed connection has asked all that a dial and an event ask, and nothing has changed."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from psycopg import Connection

from settings import Settings
from store.pool import Conn, Database, open_database
from store.warm import warm
from tests.store.conftest import World

#: What it must have had prepared, by a piece of each statement's text.
ASKED = (
    "set_config('plan_cache_mode', 'force_generic_plan', true)",
    "UPDATE attempts a SET state = 'dialing'",
    "FOR NO KEY UPDATE OF c",
    "INSERT INTO call_events",
    "UPDATE calls c SET",
)


def prepared(conn: Connection[tuple[object, ...]] | Conn) -> list[str]:
    return [" ".join(str(row[0]).split()) for row in conn.execute("SELECT statement FROM pg_prepared_statements").fetchall()]


def everything(conn: Conn) -> dict[str, list[str]]:
    tables = ("calls", "attempts", "call_events", "outbox", "call_commands", "contradictions", "queue_deltas")
    return {
        table: [row[0] for row in conn.execute(f"SELECT t::text FROM {table} t ORDER BY 1".encode())] for table in tables
    }


@pytest.mark.parametrize("warmed", [True, False])
def test_every_connection_is_warm_before_anybody_has_it(postgres_url: str, warmed: bool) -> None:
    settings = Settings.model_validate({"database_url": postgres_url, "db_pool_size": 3})
    with open_database(settings, "test", cooperative=False, wait_s=60, warm=warm if warmed else None) as db:
        db.fill()
        with ExitStack() as taken:
            for _ in range(3):
                known = prepared(taken.enter_context(db.connection()))
                missing = [text for text in ASKED if not any(text in statement for statement in known)]
                assert missing == ([] if warmed else list(ASKED))


def test_nothing_is_changed(world: World) -> None:
    world.dialing()
    with world.db.connection() as conn:
        before = everything(conn)
        warm(conn)
        assert everything(conn) == before
    assert len(before["attempts"]) >= 1


def test_a_server_that_refuses_costs_no_connection(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    with db.connection() as conn:
        conn.execute("SET search_path TO nowhere")
        conn.commit()
        warm(conn)
        assert conn.execute("SELECT 1").fetchone() == (1,)
        conn.execute("RESET search_path")
    assert "connection not warmed" in caplog.text
