"""Migrations beside live processes: what adds before, what takes away after; nobody who writes is stopped or ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from store import migrate as module
from store.migrate import Migration, MigrationError, migrate, pending, read_migrations, session_name
from store.pool import open_database
from tests.store.conftest import settings_for
from tests.store.threads import results, together
from trunkline import guests
from trunkline.children import wait_until
from trunkline.servers import Server

#: s; of a wait that no healthy machine needs.
PATIENCE_S = 30.0


@pytest.fixture
def empty(postgres: Server) -> Iterator[str]:
    url = guests.create_database(postgres.url, "empty")
    yield url
    guests.drop_database(postgres.url, url)


def made(*files: tuple[str, str]) -> list[Migration]:
    first = read_migrations()[0]
    return [replace(first, name=name, sql=sql.encode(), checksum=name.encode()) for name, sql in files]


TABLES = ("0001_tables", "CREATE TABLE one (n integer); CREATE TABLE two (n integer)")
POST = ("0002_less.post", "ALTER TABLE one DROP COLUMN n")
PRE = ("0003_more", "ALTER TABLE two ADD COLUMN m integer")


def old_process(url: str, knows: int) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url, autocommit=True, application_name=f"web@host m{knows:04d}")


def test_what_takes_away_waits_until_the_older_processes_are_gone(empty: str) -> None:
    files = made(TABLES, POST)
    with old_process(empty, 1):
        assert migrate(empty, migrations=files) == ["0001_tables"]
        assert migrate(empty, phase="pre", migrations=files) == []
        with pytest.raises(MigrationError, match=r"0002_less\.post: web@host does not know it"):
            migrate(empty, phase="post", migrations=files)
        assert pending(empty, migrations=files) == ["0002_less.post"]
    with old_process(empty, 2), psycopg.connect(empty, application_name="psql"):
        assert migrate(empty, phase="post", migrations=files) == ["0002_less.post"]
    assert pending(empty, migrations=files) == []


def test_a_process_without_a_number_is_older_than_any(empty: str) -> None:
    with psycopg.connect(empty, application_name="controller-fs1@host"):
        assert migrate(empty, migrations=made(TABLES, POST)) == ["0001_tables"]


def test_without_older_processes_one_command_does_all(empty: str) -> None:
    assert migrate(empty, migrations=made(TABLES, POST, PRE)) == ["0001_tables", "0002_less.post", "0003_more"]


def test_phases_are_not_skipped(empty: str) -> None:
    migrate(empty, migrations=made(TABLES))
    with pytest.raises(MigrationError, match=r"0002_less\.post comes before 0003_more"):
        migrate(empty, phase="pre", migrations=made(TABLES, POST, PRE))
    with pytest.raises(MigrationError, match=r"0002_add comes first: run 'trunkline migrate --pre'"):
        migrate(empty, phase="post", migrations=made(TABLES, ("0002_add", "SELECT 1"), ("0003_less.post", "SELECT 1")))


def test_a_process_tells_which_migrations_it_knows(postgres_url: str) -> None:
    database = open_database(settings_for(postgres_url, db_pool_size=1), "web", cooperative=False, wait_s=60)
    try:
        with database.connection() as conn:
            row = conn.execute("SELECT current_setting('application_name')").fetchone()
    finally:
        database.close()
    assert row is not None
    assert row[0].startswith("web@")
    assert row[0].endswith(f" m{read_migrations()[-1].number:04d}")
    assert len(session_name("x" * 200)) == 63


def waiting_for_a_lock(url: str) -> bool:
    with psycopg.connect(url, autocommit=True) as conn:
        sql = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'migrate' AND wait_event_type = 'Lock'"
        return conn.execute(sql).fetchone() is not None


def test_it_gives_way_to_those_who_write_and_comes_again(empty: str) -> None:
    migrate(empty, migrations=made(TABLES))
    alter = made(TABLES, ("0002_more", "ALTER TABLE one ADD COLUMN m integer"))
    with psycopg.connect(empty) as holder, psycopg.connect(empty, autocommit=True) as other:
        holder.execute("INSERT INTO one VALUES (1)")  # and goes on for longer than the migration may wait
        done: list[list[str]] = []
        migrating = threading.Thread(target=lambda: done.append(migrate(empty, migrations=alter)))
        migrating.start()
        wait_until("the migration to wait", lambda: waiting_for_a_lock(empty), timeout_s=PATIENCE_S)
        # Behind the migration in the line for the lock: it would wait for as long as the holder goes on.
        other.execute(f"SET statement_timeout = '{int(PATIENCE_S)}s'")
        other.execute("INSERT INTO one VALUES (2)")
        assert not done
        holder.commit()
        migrating.join(PATIENCE_S)
    assert done == [["0002_more"]]


def test_it_is_given_up_in_the_end_with_a_word_on_why(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRY_S", 0.0)
    migrate(empty, migrations=made(TABLES))
    with psycopg.connect(empty) as holder:
        holder.execute("INSERT INTO one VALUES (1)")
        with pytest.raises(MigrationError, match="0002_more: not all of its locks were free"):
            migrate(empty, migrations=made(TABLES, ("0002_more", "ALTER TABLE one ADD COLUMN m integer")))
    assert migrate(empty, migrations=made(TABLES, ("0002_more", "SELECT 1"))) == ["0002_more"]


def test_the_backlogs_migration_ends_no_live_writer(empty: str) -> None:
    """It takes attempts and then calls, a claim takes the call and then the attempt: one of the two has to give way."""
    files = read_migrations()
    migrate(empty, migrations=files[:3])
    with psycopg.connect(empty) as writer:
        # As any claim in the middle of its statement: the call's table is taken, the attempts' not yet.
        writer.execute("UPDATE calls SET status_at = now()")
        done: list[list[str]] = []
        migrating = threading.Thread(target=lambda: done.append(migrate(empty, migrations=files[:4])))
        migrating.start()
        wait_until("the migration to wait", lambda: waiting_for_a_lock(empty), timeout_s=PATIENCE_S)
        writer.execute("UPDATE attempts SET probes = 0")  # not DeadlockDetected
        writer.commit()
        migrating.join(PATIENCE_S)
    assert done == [["0004_backlog"]]


def test_it_gets_its_locks_under_steady_writing(empty: str) -> None:
    """Writers in either order, one transaction after the other: none is ended, and the migration comes through."""
    migrate(empty, migrations=made(TABLES))
    files = made(TABLES, ("0002_more", "ALTER TABLE two ADD COLUMN m integer; ALTER TABLE one ADD COLUMN m integer"))
    over = threading.Event()
    writing = threading.Barrier(4)

    def write(first: str, second: str) -> int:
        written = 0
        with psycopg.connect(empty) as conn:
            while not over.is_set():
                conn.execute(f"INSERT INTO {first} (n) VALUES (1)".encode())
                time.sleep(0.001)
                conn.execute(f"INSERT INTO {second} (n) VALUES (1)".encode())
                conn.commit()
                time.sleep(0.004)  # of four writers some are always at it, but not each of them in the middle
                written += 1
                if written == 1:
                    writing.wait(PATIENCE_S)
        return written

    def change() -> int:
        try:
            writing.wait(PATIENCE_S)
            return len(migrate(empty, migrations=files))
        finally:
            over.set()

    # The writers lock in one order, as ours do; the migration in the other.
    *_, applied = results(together(*[lambda: write("one", "two")] * 3, change))
    assert applied == 1
