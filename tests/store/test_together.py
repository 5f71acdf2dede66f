"""What is asked for while a stroke is under way is done in the next one, together; nobody is forgotten, whoever dies."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from store.together import BrokenOff, NotBegun, Together
from tests.store.threads import wait_for

LIMIT_S = 30.0


class Desk:
    """Work that begins when it is let, and remembers who went together. ``bad`` fails alone, ``worse`` takes all along."""

    def __init__(self) -> None:
        self.strokes: list[list[str]] = []
        self.begin = threading.Semaphore(0)

    def work(self, items: Sequence[str]) -> list[str | Exception]:
        self.strokes.append(list(items))
        assert self.begin.acquire(timeout=LIMIT_S)
        if "worse" in items:
            raise ValueError("worse")
        if "end" in items:
            raise SystemExit
        return [ValueError(item) if item == "bad" else item.upper() for item in items]


def asked(together: Together[str, str], pool: ThreadPoolExecutor, *items: str) -> list[Future[str]]:
    """Each item asked for in a thread, one after the other."""
    futures = []
    for item in items:
        before = len(together._waiting)
        futures.append(pool.submit(together.do, item))
        wait_for(lambda wanted=before + 1: len(together._waiting) >= wanted)  # type: ignore[misc]
    return futures


@pytest.fixture
def pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(10)


def test_the_first_goes_alone_and_the_others_together(pool: ThreadPoolExecutor) -> None:
    desk = Desk()
    together = Together(desk.work, most=3)
    first = pool.submit(together.do, "a")
    wait_for(lambda: bool(desk.strokes))
    others = asked(together, pool, "b", "c", "d", "e")
    desk.begin.release(3)
    assert [one.result(LIMIT_S) for one in (first, *others)] == ["A", "B", "C", "D", "E"]
    assert desk.strokes == [["a"], ["b", "c", "d"], ["e"]]
    desk.begin.release()
    assert pool.submit(together.do, "f").result(LIMIT_S) == "F"


def test_ones_own_error_is_ones_own_and_a_strokes_is_everybodys(pool: ThreadPoolExecutor) -> None:
    desk = Desk()
    together = Together(desk.work, most=3)
    first = pool.submit(together.do, "a")
    wait_for(lambda: bool(desk.strokes))
    b, bad, c, d, worse = asked(together, pool, "b", "bad", "c", "d", "worse")
    desk.begin.release(3)
    assert [one.result(LIMIT_S) for one in (first, b, c)] == ["A", "B", "C"]
    for failed in (bad, d, worse):
        with pytest.raises(ValueError, match=r"bad|worse"):
            failed.result(LIMIT_S)


def test_nobody_waits_for_ever(pool: ThreadPoolExecutor) -> None:
    desk = Desk()
    together = Together(desk.work, most=2, patience_s=0.05)
    first = pool.submit(together.do, "a")
    wait_for(lambda: bool(desk.strokes))
    with pytest.raises(NotBegun):
        together.do("b")
    desk.begin.release(2)
    assert first.result(LIMIT_S) == "A"
    assert together.do("c") == "C"
    assert desk.strokes == [["a"], ["c"]], "who went away is not served"


def test_who_is_ended_in_a_stroke_leaves_the_others_in_no_doubt_and_the_desk_open(pool: ThreadPoolExecutor) -> None:
    desk = Desk()
    together = Together(desk.work, most=2)
    first = pool.submit(together.do, "a")
    wait_for(lambda: bool(desk.strokes))
    end, with_it, later = asked(together, pool, "end", "b", "c")
    desk.begin.release(3)
    assert first.result(LIMIT_S) == "A"
    with pytest.raises(SystemExit):
        end.result(LIMIT_S)
    with pytest.raises(BrokenOff):
        with_it.result(LIMIT_S)
    assert later.result(LIMIT_S) == "C"
    desk.begin.release()
    assert pool.submit(together.do, "d").result(LIMIT_S) == "D"


def test_strokes_at_once_are_as_many_as_said(pool: ThreadPoolExecutor) -> None:
    desk = Desk()
    together = Together(desk.work, most=5, strokes=2)
    two = [pool.submit(together.do, one) for one in "ab"]
    wait_for(lambda: len(desk.strokes) == 2)
    third, fourth = asked(together, pool, "c", "d")
    assert len(desk.strokes) == 2
    desk.begin.release(4)
    assert [one.result(LIMIT_S) for one in (*two, third, fourth)] == ["A", "B", "C", "D"]


def test_whoever_looks_first_takes_along_who_is_there_already() -> None:
    """Three greenlets that the hub has not let run yet: the first looks, and goes with all of them."""
    program = """
from gevent import monkey
monkey.patch_all()
import gevent
from store.together import Together

def strokes(look):
    seen = []
    together = Together(lambda items: seen.append(list(items)) or items, most=2, look=look)
    gevent.joinall([gevent.spawn(together.do, item) for item in "abc"], raise_error=True)
    return seen

print(strokes(True), strokes(False))
"""
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60).stdout
    assert told.strip() == "[['a', 'b'], ['c']] [['a'], ['b'], ['c']]"
