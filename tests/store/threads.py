"""Real threads that start together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import psycopg

T = TypeVar("T")
DEADLINE_S = 60.0


def together(*works: Callable[[], T]) -> list[T | Exception]:
    """Run the works at the same moment; their results, or what they raised, in order."""
    barrier = Barrier(len(works))

    def one(work: Callable[[], T]) -> T | Exception:
        barrier.wait(DEADLINE_S)
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - a result of the test, judged by it
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(one, works))


def results(found: Sequence[T | Exception]) -> list[T]:
    """The results; raises the first exception among them."""
    good: list[T] = []
    for item in found:
        if isinstance(item, Exception):
            raise item
        good.append(item)
    return good


def waits_for_lock(url: str) -> bool:
    """Whether somebody in that database waits for a lock."""
    with psycopg.connect(url, autocommit=True) as conn:
        sql = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return conn.execute(sql).fetchone() is not None


def wait_for(what: Callable[[], T], deadline_s: float = DEADLINE_S) -> T:
    """The first true value of ``what()``; AssertionError after the deadline."""
    until = time.monotonic() + deadline_s
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < until, f"waited {deadline_s} s in vain"
        time.sleep(0.01)
