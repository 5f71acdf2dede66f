"""Migrations: twice, by two at once, and never over a changed file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from store import migrate as module
from store.indexes import Index
from store.migrate import Migration, MigrationError, migrate, read_migrations
from tests.store.threads import results, together
from trunkline import guests
from trunkline.servers import Server


@pytest.fixture
def empty(postgres: Server) -> Iterator[str]:
    url = guests.create_database(postgres.url, "empty")
    yield url
    guests.drop_database(postgres.url, url)


def made(*sqls: str) -> list[Migration]:
    return [
        replace(read_migrations()[0], name=f"{number:04d}_made", sql=sql.encode(), checksum=bytes([number]) * 32)
        for number, sql in enumerate(sqls, 1)
    ]


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as conn:
        rows = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {row[0] for row in rows}


def test_second_time_does_nothing(empty: str) -> None:
    names = [migration.name for migration in read_migrations()]
    assert names[0] == "0001_initial"
    assert migrate(empty) == names
    before = tables(empty)
    assert migrate(empty) == []
    assert tables(empty) == before
    assert {"calls", "attempts", "outbox", "schema_migrations"} <= before


def test_two_at_once_apply_each_file_once(empty: str) -> None:
    # Without the lock both would insert, and both would create the table.
    slow = made("SELECT pg_sleep(0.3); CREATE TABLE one (n integer)", "INSERT INTO one VALUES (1)")
    done = results(together(*(lambda: migrate(empty, migrations=slow) for _ in range(4))))
    assert sorted(map(len, done)) == [0, 0, 0, 2]
    with psycopg.connect(empty) as conn:
        assert conn.execute("SELECT count(*) FROM one").fetchone() == (1,)


def test_waits_only_so_long_for_another(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_WAIT_MS", 100)
    with psycopg.connect(empty, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [module.LOCK_KEY])
        with pytest.raises(MigrationError, match="another migration"):
            migrate(empty)
    assert migrate(empty)


def test_a_changed_file_is_refused(empty: str) -> None:
    files = made("CREATE TABLE one (n integer)")
    migrate(empty, migrations=files)
    changed = [replace(files[0], checksum=b"x" * 32)]
    with pytest.raises(MigrationError, match=r"0001_made.sql was changed after it was applied"):
        migrate(empty, migrations=changed)


def test_a_newer_database_is_refused(empty: str) -> None:
    files = made("CREATE TABLE one (n integer)", "CREATE TABLE two (n integer)")
    migrate(empty, migrations=files)
    with pytest.raises(MigrationError, match="run the newer version"):
        migrate(empty, migrations=files[:1])


def test_a_failing_file_leaves_no_half(empty: str) -> None:
    files = made("CREATE TABLE one (n integer)", "CREATE TABLE two (n integer); SELECT 1/0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty, migrations=files)
    assert "one" in tables(empty)
    assert "two" not in tables(empty)
    assert migrate(empty, migrations=made("CREATE TABLE one (n integer)", "CREATE TABLE two (n integer)")) == ["0002_made"]


def test_a_file_of_indexes_holds_nothing_else(tmp_path: Path) -> None:
    def index(sql: str) -> list[Index]:
        return replace(read_migrations()[0], name="0001_made.concurrent", sql=sql.encode()).indexes

    assert index(
        "-- Why; and how.\nCREATE INDEX CONCURRENTLY a ON one (n);\nCREATE UNIQUE INDEX CONCURRENTLY b ON one (m)"
    ) == [
        Index("a", "one", "CREATE INDEX CONCURRENTLY a ON one (n)"),
        Index("b", "one", "CREATE UNIQUE INDEX CONCURRENTLY b ON one (m)"),
    ]
    for wrong in ("CREATE INDEX a ON one (n)", "CREATE INDEX CONCURRENTLY a ON one (n); DROP TABLE one", "-- nothing", ""):
        with pytest.raises(MigrationError, match=r"0001_made\.concurrent\.sql: "):
            index(wrong)


def test_no_transaction_of_ours_builds_an_index_over_a_table_that_grows() -> None:
    """Those before 0008 were applied when they were small; what reads a table under its lock has no place in a later one.
    (Of agents a tenant has a few.)
    """
    for migration in read_migrations():
        if migration.number >= 8 and not migration.indexes:
            new = set(re.findall(rb"CREATE TABLE (\w+)", migration.sql))  # nothing is in it yet
            assert set(re.findall(rb"CREATE (?:UNIQUE )?INDEX \w+ ON (\w+)", migration.sql)) <= new | {b"agents"}


def test_no_rule_is_held_against_all_of_a_table_that_grows() -> None:
    """A CHECK that comes later is NOT VALID, or its ALTER TABLE reads every row under the strongest lock."""
    growing = rb"calls|attempts|call_events|call_commands|outbox|recordings|call_results|webhook_deliveries|audit_entries"
    seen = 0
    for migration in read_migrations():
        if migration.number >= 8:
            sql = re.sub(rb"--[^\n]*", b"", migration.sql)
            for table, deeds in re.findall(rb"ALTER TABLE (" + growing + rb")\b([^;]*)", sql):
                checks = len(re.findall(rb"\bCHECK\s*[(]", deeds))
                assert checks == deeds.count(b"NOT VALID"), f"{migration.name}: {table.decode()}"
                seen += checks
    assert seen > 5


def test_each_number_is_used_once(tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("SELECT 1")
    (tmp_path / "0003_third.post.sql").write_text("SELECT 1")
    assert [(one.name, one.number, one.post) for one in read_migrations(tmp_path)] == [
        ("0001_first", 1, False), ("0003_third.post", 3, True),
    ]  # fmt: skip
    (tmp_path / "0003_too.sql").write_text("SELECT 1")
    with pytest.raises(MigrationError, match=r"0003_too\.sql: the next migration must be named 0004_"):
        read_migrations(tmp_path)
