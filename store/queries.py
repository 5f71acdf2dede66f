"""Named queries: SQL lives in store/sql/*.sql, Python calls it by name.

A file holds blocks that begin with ``-- name: verb`` (a statement) or ``-- part: word`` (a piece that statements and other
parts take in as ``{word}``, such as the column list of a typed row). parts.sql is known to every file. Parameters are
psycopg's ``%(name)s``; a literal percent sign is written twice.
Errors: an unknown name or part raises KeyError with the file's name, at import time where that is possible.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files

_HEAD = re.compile(r"^-- (name|part): (\w+)[ \t]*$", re.MULTILINE)
_USE = re.compile(r"\{(\w+)\}")
SHARED = "parts"


class Queries(Mapping[str, bytes]):
    """The statements of one file; bytes, because psycopg takes only literals or bytes as SQL."""

    def __init__(self, file: str, statements: Mapping[str, bytes]) -> None:
        self.file = file
        self._statements = statements

    def __getitem__(self, name: str) -> bytes:
        try:
            return self._statements[name]
        except KeyError:
            raise KeyError(f"store/sql/{self.file}.sql has no query named {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)

    def __len__(self) -> int:
        return len(self._statements)


def _blocks(file: str) -> tuple[dict[str, str], dict[str, str]]:
    text = (files("store") / "sql" / f"{file}.sql").read_text("utf-8")
    heads = list(_HEAD.finditer(text))
    found: dict[str, dict[str, str]] = {"name": {}, "part": {}}
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        kind, name = head.groups()
        if name in found[kind]:
            raise KeyError(f"store/sql/{file}.sql names {name!r} twice")
        found[kind][name] = text[head.end() : following.start() if following else None].strip().rstrip(";")
    return found["name"], found["part"]


def load(file: str) -> Queries:
    """The named queries of store/sql/<file>.sql, parts filled in."""
    names, own = _blocks(file)
    parts = own if file == SHARED else {**_blocks(SHARED)[1], **own}
    return Queries(file, {name: _filled(file, parts, sql).encode() for name, sql in names.items()})


def shared_parts() -> dict[str, str]:
    """The parts that every file knows, those inside them filled in."""
    parts = _blocks(SHARED)[1]
    return {name: _filled(SHARED, parts, text) for name, text in parts.items()}


def _filled(file: str, parts: Mapping[str, str], sql: str) -> str:
    def fill(match: re.Match[str]) -> str:
        if match[1] not in parts:
            raise KeyError(f"store/sql/{file}.sql uses the unknown part {match[0]}")
        return _USE.sub(fill, parts[match[1]])

    return _USE.sub(fill, sql)
