"""Every named query is used, and Postgres understands it."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from store.queries import SHARED, load

STORE = Path(__file__).parents[2] / "store"
FILES = sorted(path.stem for path in (STORE / "sql").glob("*.sql") if path.stem != SHARED)


@pytest.mark.parametrize("file", FILES)
def test_every_query_is_used(file: str) -> None:
    code = "\n".join(path.read_text() for path in STORE.glob("*.py") if f'load("{file}")' in path.read_text())
    for name in load(file):
        assert f'["{name}"]' in code or f'"{name}"' in code, f"{file}.sql: nobody asks {name}"


@pytest.mark.parametrize("file", FILES)
def test_postgres_understands_every_query(file: str, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as conn:
        for name, statement in load(file).items():
            if name == "lock_routes":
                continue  # LOCK cannot be prepared; put_route runs it
            names: dict[str, int] = {}

            def place(match: re.Match[str], names: dict[str, int] = names) -> str:
                return f"${names.setdefault(match[1], len(names) + 1)}"

            text = re.sub(r"%\((\w+)\)s", place, statement.decode()).replace("%%", "%")
            if not text.startswith("CREATE"):
                conn.execute(f"PREPARE q_{file}_{name} AS {text}".encode())


def test_names_and_parts_must_exist() -> None:
    with pytest.raises(KeyError, match=r"store/sql/calls\.sql has no query named 'nonsense'"):
        load("calls")["nonsense"]
