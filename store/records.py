"""Typed rows: how a SELECT becomes frozen dataclasses, and dataclasses become one JSON parameter.

A batch is written as one statement over ``jsonb_populate_recordset``: one parameter, one round trip, column types taken
from the table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

R = TypeVar("R")
Params = Mapping[str, object]

#: Longest text from outside that a column keeps.
TEXT_MAX = 500


def all_rows(conn: Connection[Any], row: type[R], sql: bytes, params: Params | None = None) -> list[R]:
    """Every row of the query as ``row``; column names must be its field names."""
    with conn.cursor(row_factory=class_row(row)) as cursor:
        return cursor.execute(sql, params).fetchall()


def one_row(conn: Connection[Any], row: type[R], sql: bytes, params: Params | None = None) -> R | None:
    """The first row of the query as ``row``, or None."""
    with conn.cursor(row_factory=class_row(row)) as cursor:
        return cursor.execute(sql, params).fetchone()


def recordset(rows: Sequence[Mapping[str, object]]) -> Jsonb:
    """Rows as the JSON parameter of jsonb_populate_recordset; datetimes, UUIDs and enums become text."""
    return Jsonb(rows, dumps=_dumps)


def record(row: Mapping[str, object]) -> Jsonb:
    """One row, or some of its columns, as the JSON parameter of jsonb_populate_record."""
    return Jsonb(row, dumps=_dumps)


def clean(text: str | None) -> str | None:
    """Text from outside as Postgres takes it: no NUL, no lone surrogates, at most TEXT_MAX characters.

    One such character in a carrier's reason phrase would otherwise make a whole batch of events impossible to store.
    """
    if text is None:
        return None
    if text.isascii() and "\x00" not in text:
        return text[:TEXT_MAX]
    return text[:TEXT_MAX].replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _dumps(rows: object) -> str:
    return json.dumps(rows, default=_plain, ensure_ascii=False, separators=(",", ":"))


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"a row cannot hold {type(value).__name__}")
