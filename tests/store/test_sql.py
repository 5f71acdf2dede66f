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
    # The claim shares its file's statements with store.attempts; what is lent is asked for in one place.
    others = {"attempts": "from store.claim import SQL", **dict.fromkeys(("agent_pools", "agent_trunks"), "class Lent:")}
    asks = (f'load("{file}")', *([others[file]] if file in others else []))
    code = "\n".join(text for path in STORE.glob("*.py") if any(ask in (text := path.read_text()) for ask in asks))
    for name in load(file):
        assert f'["{name}"]' in code or f'"{name}"' in code, f"{file}.sql: nobody asks {name}"


def prepared(conn: psycopg.Connection[tuple[str]], file: str, name: str, statement: bytes) -> str:
    """Prepare the statement as Postgres would run it; its EXECUTE with nothing but NULLs."""
    names: dict[str, int] = {}

    def place(match: re.Match[str]) -> str:
        return f"${names.setdefault(match[1], len(names) + 1)}"

    text = re.sub(r"%\((\w+)\)s", place, statement.decode()).replace("%%", "%")
    conn.execute(f"PREPARE q_{file}_{name} AS {text}".encode())
    return f"EXECUTE q_{file}_{name}" + (f"({', '.join(['NULL'] * len(names))})" if names else "")


def preparable(file: str) -> list[tuple[str, bytes]]:
    """LOCK, CREATE and VACUUM cannot be prepared; other tests run them."""
    return [item for item in load(file).items() if not re.search(rb"^(LOCK|CREATE|VACUUM) ", item[1], re.MULTILINE)]


@pytest.mark.parametrize("file", FILES)
def test_postgres_understands_every_query(file: str, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as conn:
        for name, statement in preparable(file):
            prepared(conn, file, name, statement)


@pytest.mark.parametrize("file", FILES)
def test_no_query_must_walk_a_table_that_grows(file: str, postgres_url: str) -> None:
    """Where an index can be used at all, a planner forbidden to walk does not walk."""
    with psycopg.connect(postgres_url) as conn:
        conn.execute("SET enable_seqscan = off")
        conn.execute("SET plan_cache_mode = force_generic_plan")
        for name, statement in preparable(file):
            plan = conn.execute(f"EXPLAIN {prepared(conn, file, name, statement)}".encode()).fetchall()
            walks = [
                line
                for (line,) in plan
                if re.search(r"Seq Scan on (calls|attempts|call_events|outbox|webhook_deliveries|idempot)", line)
            ]
            assert walks == [], f"{file}.sql: {name}"


def test_names_and_parts_must_exist() -> None:
    with pytest.raises(KeyError, match=r"store/sql/calls\.sql has no query named 'nonsense'"):
        load("calls")["nonsense"]
