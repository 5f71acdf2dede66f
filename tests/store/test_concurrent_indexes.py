"""Indexes that a migration builds beside those who write: nobody is stopped, nothing half-built stays. On real Postgres."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest

from store import calls
from store import migrate as module
from store.migrate import Migration, MigrationError, migrate, read_migrations
from tests.store.conftest import World, at
from tests.store.threads import results, together
from trunkline import guests
from trunkline.children import wait_until
from trunkline.servers import Server

#: s; of a wait that no healthy machine needs.
PATIENCE_S = 30.0
ROWS = 2000
TABLE = (
    "0001_table",
    f"CREATE TABLE one (n integer, m integer); INSERT INTO one SELECT n, 0 FROM generate_series(1, {ROWS}) n",
)
INDEX = ("0002_index.concurrent", "CREATE UNIQUE INDEX CONCURRENTLY one_n ON one (n);")


def made(*files: tuple[str, str]) -> list[Migration]:
    first = read_migrations()[0]
    return [replace(first, name=name, sql=sql.encode(), checksum=name.encode()) for name, sql in files]


FILES = made(TABLE, INDEX)


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    """A database with a table of some rows, without its index."""
    url = guests.create_database(postgres.url, "indexes")
    migrate(url, migrations=FILES[:1])
    yield url
    guests.drop_database(postgres.url, url)


def valid(url: str, name: str = "one_n") -> bool | None:
    """Whether the index may be used; None: there is none."""
    with psycopg.connect(url, autocommit=True) as conn:
        row = conn.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [name]).fetchone()
    return None if row is None else row[0]


def waiting(url: str, what: str = "CREATE UNIQUE INDEX CONCURRENTLY%") -> bool:
    """A migration is in the middle of that statement, waiting for others."""
    with psycopg.connect(url, autocommit=True) as conn:
        sql = """SELECT 1 FROM pg_stat_activity WHERE application_name = 'migrate' AND datname = current_database()
                 AND wait_event_type = 'Lock' AND query LIKE %s"""
        return conn.execute(sql, [what]).fetchone() is not None


@contextmanager
def migrating(url: str, times: int = 1) -> Iterator[list[list[str]]]:
    """So many migrators at once; their answers, when the block is over."""
    done: list[list[str]] = []
    threads = [threading.Thread(target=lambda: done.append(migrate(url, migrations=FILES))) for _ in range(times)]
    for thread in threads:
        thread.start()
    yield done
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_others_write_while_it_is_built(url: str) -> None:
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as writer:
        writer.execute(f"SET statement_timeout = '{int(PATIENCE_S)}s'")
        holder.execute("INSERT INTO one VALUES (0, 0)")  # and goes on for longer than any migration may be waited for
        with migrating(url) as done:
            wait_until("the build to wait for the holder", lambda: waiting(url), timeout_s=PATIENCE_S)
            for n in range(ROWS + 1, ROWS + 21):
                writer.execute("INSERT INTO one VALUES (%s, 0)", [n])
                writer.execute("UPDATE one SET m = m + 1 WHERE n = 1")
            assert not done
            assert waiting(url)
            holder.execute("UPDATE one SET m = -1 WHERE n = 2")
            holder.commit()
    assert done == [["0002_index.concurrent"]]
    assert valid(url)
    with psycopg.connect(url) as conn:
        conn.execute("SET enable_seqscan = off")
        assert conn.execute("SELECT m FROM one WHERE n = 1").fetchone() == (20,)
        assert conn.execute(f"SELECT count(*) FROM one WHERE n > {ROWS} OR n = 0").fetchone() == (21,)


def test_another_migrator_at_the_same_time_does_not_stop_it(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """It holds no snapshot for whose end the build would wait, while the build has the lock for which it waits."""
    caplog.set_level("INFO", "trunkline.store")
    with psycopg.connect(url) as holder:
        holder.execute("INSERT INTO one VALUES (0, 0)")
        with migrating(url, times=3) as done:
            wait_until("the build to wait for the holder", lambda: waiting(url), timeout_s=PATIENCE_S)
            holder.commit()
    assert sorted(done) == [[], [], ["0002_index.concurrent"]]
    assert valid(url)
    assert "gave way" not in caplog.text


def test_what_was_cut_short_is_built_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRY_S", 0.2)
    with psycopg.connect(url) as holder:
        holder.execute("INSERT INTO one VALUES (0, 0)")
        # Its wait is bounded, and what it was waiting for is said.
        with pytest.raises(MigrationError, match=r"0002_index\.concurrent: not all of its locks were free"):
            migrate(url, migrations=FILES)
        assert valid(url) is False
        holder.commit()
    monkeypatch.undo()
    assert migrate(url, migrations=FILES) == ["0002_index.concurrent"]
    assert valid(url)
    assert migrate(url, migrations=FILES) == []


def test_what_the_rows_forbid_is_an_error_until_they_are_put_right(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("INSERT INTO one VALUES (1, 0)")
        for _ in range(2):
            with pytest.raises(psycopg.errors.UniqueViolation):
                migrate(url, migrations=FILES)
            assert valid(url) is False
        conn.execute("DELETE FROM one WHERE n = 1")
    assert migrate(url, migrations=FILES) == ["0002_index.concurrent"]
    assert valid(url)


def test_what_is_there_and_valid_is_only_recorded(url: str) -> None:
    """As after a crash between the build and its record, or where somebody has built it by hand."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE UNIQUE INDEX one_n ON one (n)")
        before = conn.execute("SELECT 'one_n'::regclass::oid").fetchone()
        assert migrate(url, migrations=FILES) == ["0002_index.concurrent"]
        assert conn.execute("SELECT 'one_n'::regclass::oid").fetchone() == before


def test_anothers_name_is_not_taken(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE one_n (n integer)")
        with pytest.raises(MigrationError, match="one_n is there already and is no index of one"):
            migrate(url, migrations=FILES)
        conn.execute("DROP TABLE one_n; CREATE TABLE two (n integer); CREATE INDEX one_n ON two (n)")
        with pytest.raises(MigrationError, match="one_n is there already and is no index of one"):
            migrate(url, migrations=FILES)
        assert conn.execute("SELECT 'one_n'::regclass::text").fetchone() == ("one_n",)


def test_ours_are_there_and_valid(world: World) -> None:
    ours = [index.name for migration in read_migrations() for index in migration.indexes]
    assert ours == [
        "calls_number", "call_commands_action", "call_commands_call", "calls_batch", "calls_to", "calls_reference",
        "calls_agent_live",
    ]  # fmt: skip
    assert all(valid(world.url, name) for name in ours)


def test_two_requests_for_one_action_are_one_also_before_its_index_is_there(world: World) -> None:
    """They come one after the other by the locks of the call and of its attempt."""
    files = {index.name: index.sql for migration in read_migrations() for index in migration.indexes}
    live, over = world.dialing(), world.accept()
    calls.request_hangup(world.db, world.tenant.id, over.call.id, "customer", at(5))
    world.execute("DROP INDEX call_commands_action")
    try:
        for one in (live, over):
            ask = lambda id_=one.call.id: calls.request_hangup(  # noqa: E731
                world.db, world.tenant.id, id_, "customer", at(6), action="same"
            )
            assert len({found.command_id for found in results(together(*[ask] * 6))}) == 1
            sql = "SELECT count(*) FROM call_commands WHERE call_id = %s AND action = 'same'"
            assert world.rows(sql, one.call.id) == [(1,)]
    finally:
        world.execute(files["call_commands_action"])
