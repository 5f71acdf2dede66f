"""Numbered SQL files, applied in order, each in its own transaction: ``migrate(database_url)``.

Safe twice and by two at once: an advisory lock lets one process work while the other waits (at most LOCK_WAIT_MS) and
then finds nothing to do. The table schema_migrations keeps each file's SHA-256, so a file edited after it was
applied is refused instead of silently differing from the database.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

import psycopg

from store.queries import load

LOCK_WAIT_MS = 60_000
#: Advisory lock number of migrations; any constant that nothing else uses.
LOCK_KEY = 0x7472_756E_6B6D_6967
_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_SQL = load("migrate")


class MigrationError(RuntimeError):
    """The files and the database do not fit; the text names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: ``name`` without .sql, its text, its SHA-256."""

    name: str
    sql: bytes
    checksum: bytes


def read_migrations(directory: Traversable | None = None) -> list[Migration]:
    """The files of ``directory`` (store/migrations) in order; numbers run 0001, 0002 ... without a gap."""
    directory = directory if directory is not None else files("store") / "migrations"
    found = sorted(entry.name for entry in directory.iterdir() if entry.name.endswith(".sql"))
    migrations: list[Migration] = []
    for number, name in enumerate(found, 1):
        match = _NAME.match(name)
        if match is None or int(match[1]) != number:
            raise MigrationError(f"{name}: the next migration must be named {number:04d}_<lower_case_words>.sql")
        sql = (directory / name).read_bytes()
        migrations.append(Migration(name.removesuffix(".sql"), sql, hashlib.sha256(sql).digest()))
    return migrations


def migrate(database_url: str, *, migrations: Sequence[Migration] | None = None) -> list[str]:
    """Bring the database up to date; returns the names applied now, in order (empty: nothing to do).

    Errors: :class:`MigrationError` (changed, missing or unknown file, lock not free in time), ``psycopg.Error`` (the SQL
    itself; that file is rolled back, those before it stay).
    """
    wanted = read_migrations() if migrations is None else migrations
    with psycopg.connect(database_url, autocommit=True, connect_timeout=10, application_name="migrate") as conn:
        conn.execute(_SQL["wait"], {"lock_timeout": f"{LOCK_WAIT_MS}ms"})
        try:
            conn.execute(_SQL["lock"], {"key": LOCK_KEY})
        except psycopg.errors.LockNotAvailable as error:
            raise MigrationError(f"another migration has run for {LOCK_WAIT_MS // 1000} s: wait for it to end") from error
        # Closing the connection frees the lock, whatever happens.
        conn.execute(_SQL["create_table"])
        applied: dict[str, bytes] = {name: bytes(checksum) for name, checksum in conn.execute(_SQL["applied"])}
        _check(applied, wanted)
        done: list[str] = []
        for migration in wanted[len(applied) :]:
            with conn.transaction():
                conn.execute(migration.sql, prepare=False)
                conn.execute(_SQL["record"], {"name": migration.name, "checksum": migration.checksum})
            done.append(migration.name)
        return done


def _check(applied: dict[str, bytes], wanted: Sequence[Migration]) -> None:
    known = {migration.name for migration in wanted}
    for name in applied:
        if name not in known:
            raise MigrationError(f"the database has {name}, this version has not: run the newer version of Trunkline")
    for position, migration in enumerate(wanted):
        checksum = applied.get(migration.name)
        if checksum is None:
            if position < len(applied):
                raise MigrationError(f"{migration.name} was added before files already applied: give it the next number")
        elif checksum != migration.checksum:
            raise MigrationError(
                f"{migration.name}.sql was changed after it was applied: restore it and put the change into a new file"
            )
