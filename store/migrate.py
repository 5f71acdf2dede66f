"""Numbered SQL files, applied in order, each in its own transaction, but for indexes: ``migrate(database_url)``.

Three kinds, by name. ``0010_words.sql`` only adds (*pre*): processes that do not know it go on beside it, so it runs before
the new ones are started. ``0011_words.post.sql`` takes away (*post*): it runs when nobody is connected any more who does
not know it, which each process tells in its ``application_name`` (:func:`session_name`). ``0012_words.concurrent.sql``
builds indexes of large tables (store/indexes.py); it is *pre* too.

A migration never stops those who write, nor is one of them ended because of it: it waits for a lock no longer than LOCK_MS
and less than Postgres takes to look for a deadlock, so it is always the migration that gives way. Then it is rolled back as
a whole and tried again a little later, for TRY_S at most. What it has locked stays so until it is done: whatever reads or
rewrites a table that grows has no place in it. Indexes are built outside of a transaction, beside those who write: nobody
who writes waits for them, they wait for others, each time for the rest of TRY_S at most. Cut short, they are dropped and
built again by the next try.

Safe twice and by two at once: an advisory lock lets one process work while the other asks for it again and again (for
LOCK_WAIT_MS at most) and then finds nothing to do. The table schema_migrations keeps each file's SHA-256, so a file edited
after it was applied is refused instead of silently differing from the database.
"""

from __future__ import annotations

import hashlib
import logging
import random
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal

import psycopg
from psycopg import errors
from psycopg.rows import TupleRow

from store.indexes import Index, IndexFileError, OtherIndexError, build
from store.indexes import read as read_indexes
from store.queries import load

LOCK_WAIT_MS = 60_000
#: ms; a migration waits for a lock so long at most, and others behind it.
LOCK_MS = 500
#: s; after so long without all of its locks a migration is given up.
TRY_S = 120.0
#: s; first and longest rest between two tries.
REST_MIN_S, REST_MAX_S = 0.1, 2.0
#: Advisory lock number of migrations; any constant that nothing else uses.
LOCK_KEY = 0x7472_756E_6B6D_6967
_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+(\.post|\.concurrent)?\.sql$")
_SQL = load("migrate")
_Conn = psycopg.Connection[TupleRow]

#: ``pre``: what only adds. ``post``: what takes away. ``safe``: all that may run now.
Phase = Literal["safe", "pre", "post"]

log = logging.getLogger("trunkline.store")


class MigrationError(RuntimeError):
    """The files and the database do not fit; the text names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: ``name`` without .sql, its text, its SHA-256."""

    name: str
    sql: bytes
    checksum: bytes

    @property
    def number(self) -> int:
        return int(self.name[:4])

    @property
    def post(self) -> bool:
        """It takes away what older processes need."""
        return self.name.endswith(".post")

    @property
    def indexes(self) -> list[Index]:
        """What it builds outside of a transaction; empty: it is a transaction. Raises :class:`MigrationError`."""
        if not self.name.endswith(".concurrent"):
            return []
        try:
            return read_indexes(self.sql.decode())
        except IndexFileError as error:
            raise MigrationError(f"{self.name}.sql: {error}") from error


def read_migrations(directory: Traversable | None = None) -> list[Migration]:
    """The files of ``directory`` (store/migrations) in order of their numbers, each of which is used once."""
    directory = directory if directory is not None else files("store") / "migrations"
    found = sorted(entry.name for entry in directory.iterdir() if entry.name.endswith(".sql"))
    migrations: list[Migration] = []
    last = 0
    for name in found:
        match = _NAME.match(name)
        if match is None or int(match[1]) <= last:
            raise MigrationError(
                f"{name}: the next migration must be named {last + 1:04d}_<lower_case_words>[.post|.concurrent].sql"
            )
        last = int(match[1])
        sql = (directory / name).read_bytes()
        migrations.append(Migration(name.removesuffix(".sql"), sql, hashlib.sha256(sql).digest()))
    return migrations


@cache
def newest() -> int:
    """The number of the newest migration that this version knows."""
    return read_migrations()[-1].number


def session_name(process: str) -> str:
    """``process`` as an ``application_name`` that also tells which migrations the process knows: ``web@host m0009``."""
    return f"{process[:57]} m{newest():04d}"


def migrate(database_url: str, *, phase: Phase = "safe", migrations: Sequence[Migration] | None = None) -> list[str]:
    """Bring the database up to date as far as ``phase`` says; returns the names applied now, in order (empty: none).

    ``safe``: up to the first post migration that a connected process does not know; see :func:`pending` for what is left.
    Errors: :class:`MigrationError` (changed, missing or unknown file, a lock not free in time, ``pre`` that would have to
    come after a post migration, ``post`` with processes that do not know it), ``psycopg.Error`` (the SQL itself; that file
    is rolled back, those before it stay).
    """
    wanted = read_migrations() if migrations is None else migrations
    with _session(database_url) as conn:
        done: list[str] = []
        todo = _todo(conn, wanted)
        _refuse_order(todo, phase)
        for migration in todo:
            if phase == "post" and not migration.post:
                break
            if migration.post:
                older = () if phase == "pre" else _older(conn, migration)
                if phase == "post" and older:
                    raise MigrationError(
                        f"{migration.name}: {', '.join(older)} {'does' if len(older) == 1 else 'do'} not know it"
                        " and may need what it takes away: stop them first"
                    )
                if phase == "pre" or older:
                    break
            _apply(conn, migration)
            done.append(migration.name)
        return done


def pending(database_url: str, *, migrations: Sequence[Migration] | None = None) -> list[str]:
    """The names of what is still to be applied, in order. Errors as :func:`migrate`'s."""
    wanted = read_migrations() if migrations is None else migrations
    with _session(database_url) as conn:
        return [migration.name for migration in _todo(conn, wanted)]


@contextmanager
def _session(database_url: str) -> Iterator[_Conn]:
    """The only one that migrates. Closing the connection frees the lock, whatever happens."""
    with psycopg.connect(database_url, autocommit=True, connect_timeout=10, application_name="migrate") as conn:
        give_up = time.monotonic() + LOCK_WAIT_MS / 1000
        while conn.execute(_SQL["try_lock"], {"key": LOCK_KEY}).fetchone() != (True,):
            if time.monotonic() >= give_up:
                raise MigrationError(f"another migration has run for {LOCK_WAIT_MS // 1000} s: wait for it to end")
            time.sleep(REST_MIN_S)
        conn.execute(_SQL["wait"], {"lock_timeout": f"{LOCK_WAIT_MS}ms"})
        conn.execute(_SQL["create_table"])
        yield conn


def _todo(conn: _Conn, wanted: Sequence[Migration]) -> Sequence[Migration]:
    applied = {name: bytes(checksum) for name, checksum in conn.execute(_SQL["applied"])}
    _check(applied, wanted)
    return wanted[len(applied) :]


def _refuse_order(todo: Sequence[Migration], phase: Phase) -> None:
    posts = [migration for migration in todo if migration.post]
    if phase == "pre" and posts and not todo[-1].post:
        raise MigrationError(
            f"{posts[0].name} comes before {todo[-1].name} and takes away what an older version needs: stop the processes"
            " that do not know it and run 'trunkline migrate --post', or go by the version in between"
        )
    if phase == "post" and todo and not todo[0].post:
        raise MigrationError(f"{todo[0].name} comes first: run 'trunkline migrate --pre', then start the new processes")


def _older(conn: _Conn, migration: Migration) -> list[str]:
    """Processes that are connected to this database and do not know the migration."""
    return [str(row[0]) for row in conn.execute(_SQL["older"], {"number": migration.number}).fetchall()]


def _apply(conn: _Conn, migration: Migration) -> None:
    """Again and again until it has had every lock."""
    indexes = migration.indexes
    give_up, rest_s = time.monotonic() + TRY_S, REST_MIN_S
    while True:
        try:
            if indexes:
                for index in indexes:
                    build(conn, index, max(1, round((give_up - time.monotonic()) * 1000)))
                _record(conn, migration)
            else:
                _in_one_transaction(conn, migration)
            return
        except OtherIndexError as error:
            raise MigrationError(f"{migration.name}: {error}") from error
        except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
            if time.monotonic() >= give_up:
                raise MigrationError(
                    f"{migration.name}: not all of its locks were free at the same time within {TRY_S:g} s"
                    f" ({error.diag.message_primary}): run it again when less is going on, or end the transaction in its way"
                ) from error
            log.info("%s gave way to those who write; again in %.1f s", migration.name, rest_s)
        time.sleep(random.uniform(0.5, 1.0) * rest_s)
        rest_s = min(REST_MAX_S, rest_s * 2)


def _in_one_transaction(conn: _Conn, migration: Migration) -> None:
    with conn.transaction():
        conn.execute(_SQL["give_way"], {"most_ms": LOCK_MS})
        conn.execute(migration.sql, prepare=False)
        _record(conn, migration)


def _record(conn: _Conn, migration: Migration) -> None:
    conn.execute(_SQL["record"], {"name": migration.name, "checksum": migration.checksum})


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
