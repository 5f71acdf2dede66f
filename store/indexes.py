"""Indexes of large tables, built while others write: what a ``.concurrent.sql`` migration consists of.

Postgres builds such an index in no transaction. It stops nobody who reads or writes, and waits for the transactions that
were open before it. One that was cut short stays behind as INVALID: writers keep it up, nobody reads it. So :func:`build`
leaves alone what is there and valid, and drops and builds again what is there and is not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import psycopg

from store.queries import load

_SQL = load("indexes")
_COMMENT = re.compile(r"--[^\n]*")
_INDEX = re.compile(r"CREATE (?:UNIQUE )?INDEX CONCURRENTLY ([a-z_][a-z0-9_]*)\s+ON ([a-z_][a-z0-9_]*)\s.+", re.DOTALL)


class IndexFileError(ValueError):
    """The file says something else than that indexes be built; the text says what."""


class OtherIndexError(RuntimeError):
    """What has the index's name is of another table, or no index at all."""


@dataclass(frozen=True, slots=True)
class Index:
    """``sql``: the one statement that builds it."""

    name: str
    table: str
    sql: str


def read(text: str) -> list[Index]:
    """The statements of a ``.concurrent.sql`` file, in order. No semicolon nor ``--`` may stand in a literal there."""
    found: list[Index] = []
    for statement in _COMMENT.sub("", text).split(";"):
        if statement := statement.strip():
            match = _INDEX.fullmatch(statement)
            if match is None:
                raise IndexFileError(
                    f"{statement:.60}: only CREATE [UNIQUE] INDEX CONCURRENTLY <name> ON <table> ... may be here"
                )
            found.append(Index(match[1], match[2], statement))
    if not found:
        raise IndexFileError("names no index")
    return found


def build(conn: psycopg.Connection[Any], index: Index, wait_ms: int) -> None:
    """See that the index is there and valid. ``conn`` is in autocommit. No single wait for others is longer than
    ``wait_ms``; nobody who writes waits behind it. Errors: :class:`OtherIndexError`; ``LockNotAvailable`` and
    ``DeadlockDetected`` (give it another try); what the statement itself raises. An INVALID index may be left by these,
    which the next try drops.
    """
    conn.execute(_SQL["wait"], {"lock_timeout": f"{wait_ms}ms"})
    row = conn.execute(_SQL["state"], {"name": index.name}).fetchone()
    if row is not None:
        table, valid = row
        if table != index.table:
            raise OtherIndexError(f"{index.name} is there already and is no index of {index.table}: rename or drop it")
        if valid:
            return
        conn.execute(f"DROP INDEX CONCURRENTLY {index.name}".encode())
    conn.execute(index.sql.encode(), prepare=False)
