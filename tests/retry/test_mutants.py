"""Would the tests notice? Each planted bug has to be caught by a promise or an assertion, never by a crash."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.retry.lives import Broken, drive
from tests.retry.mutants import MUTANTS, TURN, Mutant, Stored
from tests.retry.plant import in_code
from tests.store import test_call_retries
from tests.store.conftest import World, db, world

__all__ = ["db", "world"]

#: Lives of which one at least must break a promise; most bugs show in the first few.
LIVES = 1500
#: Without a bug, where nothing ends it.
SOUND = 300
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if not isinstance(m, Stored)], ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_caught(mutant: Mutant) -> None:
    with mutant.planted():
        if mutant.caught is None:
            with pytest.raises(Broken):
                drive(LIVES)
        else:
            with pytest.raises((AssertionError, pytest.fail.Exception)):  # the latter: pytest.raises of the test itself
                mutant.caught()


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if isinstance(m, Stored)], ids=lambda mutant: mutant.name)
def test_a_bug_planted_in_the_store_is_caught(world: World, mutant: Stored) -> None:
    assert mutant.notices is not None
    mutant.notices(world)
    with mutant.planted(), pytest.raises((AssertionError, pytest.fail.Exception)):
        mutant.notices(world)


def test_a_look_at_a_number_without_its_turn_is_caught(world: World) -> None:
    notices = test_call_retries.test_a_claim_waits_for_another_of_the_same_number
    notices(world)
    with psycopg.connect(world.url, autocommit=True) as conn:
        row = conn.execute("SELECT pg_get_functiondef('number_rang'::regproc)").fetchone()
        assert row is not None
        assert row[0].count(TURN) == 1
        conn.execute(row[0].replace(TURN, "").encode())
        try:
            with pytest.raises(AssertionError):
                notices(world)
        finally:
            conn.execute(row[0].encode())


def test_without_a_bug_nothing_is_caught() -> None:
    """Neither by the lives of the same seeds nor by the named tests."""
    drive(SOUND)
    for mutant in MUTANTS:
        if mutant.caught is not None:
            mutant.caught()


def test_a_bug_that_cannot_be_planted_is_told() -> None:
    with pytest.raises(ValueError, match="holds its text 0 times"), in_code("calls.retry", "no such text", ""):
        pass


def test_an_attempt_comes_into_being_in_two_places() -> None:
    """The first with its call; every other where a decision is demanded."""
    made = {
        (path.relative_to(ROOT).as_posix(), text)
        for folder in ("budget", "calls", "controller", "jobs", "store", "trunkline", "web")
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix in (".py", ".sql")
        for text in ("INSERT INTO attempts", "queued_attempt(", "insert_attempts", "_write_attempt(")
        if text in path.read_text("utf-8")
    }
    assert made == {
        ("store/sql/change.sql", "INSERT INTO attempts"),
        ("store/sql/change.sql", "insert_attempts"),
        ("store/change.py", "insert_attempts"),  # writes CallWork.retry
        ("store/work.py", "_write_attempt("),  # the only one that sets it
        ("store/work.py", "queued_attempt("),
        ("store/accept_rows.py", "queued_attempt("),  # the first of each call, with the call
        ("store/accept_rows.py", "insert_attempts"),
        ("store/sql/accept.sql", "insert_attempts"),
        ("store/sql/accept.sql", "INSERT INTO attempts"),
        ("store/rows.py", "queued_attempt("),
        ("store/inbound.py", "queued_attempt("),  # a caller's: with its call, and nobody is dialed for it
        ("store/sql/inbound.sql", "INSERT INTO attempts"),
    }
    assert (ROOT / "store/work.py").read_text("utf-8").count("self.retry = ") == 1
