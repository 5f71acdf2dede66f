"""How a long request lets the others have their turn.

One process serves all, one piece of Python at a time. Whoever works for long pauses every few hundred microseconds; and
while other requests are under way it rests for longer than it works, so that they are answered nearly as if it were not
there.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from flask import Flask, g, request

T = TypeVar("T")

#: While others are under way: so many times what was worked since the last pause, and s at most.
SHARE, LONGEST_S = 3.0, 0.02

#: Reports of switches: while calls are dialed one is nearly always under way, and they have their turn all the same.
UNHURRIED = "/internal/cdr"

#: Batches; while others never end, after so many the collector goes through all of it once.
COLLECT_EVERY = 8

_under_way = 0
_uncollected = 0
_ended = 0  # since the collector was last free to work


def register(app: Flask) -> None:
    """Count the requests that are under way in this process; of those for which nobody sits and waits, none."""

    def begin() -> None:
        global _under_way
        if request.path.startswith(UNHURRIED):
            return
        _under_way += 1
        g.under_way = True

    def end(_: BaseException | None) -> None:
        global _under_way
        if g.pop("under_way", False):
            _under_way -= 1

    app.before_request(begin)
    app.teardown_request(end)


@contextmanager
def uncollected() -> Iterator[None]:
    """Around work that makes very many objects and keeps them until its end: the collector of cycles would walk them all,
    again and again, and stop everybody for hundreds of milliseconds. What is made inside must be free when the block ends.
    """
    global _uncollected, _ended
    _uncollected += 1
    gc.disable()
    try:
        yield
    finally:
        _uncollected -= 1
        _ended += 1
        if not _uncollected:
            gc.enable()
            _ended = 0
        elif _ended >= COLLECT_EVERY:
            _ended = 0
            gc.collect()


@contextmanager
def waiting() -> Iterator[None]:
    """Around what a request only waits for, such as an event that may not come: nobody rests for its sake meanwhile."""
    global _under_way
    if not g.get("under_way", False):
        yield
        return
    _under_way -= 1
    try:
        yield
    finally:
        _under_way += 1


def breather() -> Callable[[], None]:
    """Of one request: to be called every few hundred microseconds of its work."""
    worked_from = time.monotonic()

    def breathe() -> None:
        nonlocal worked_from
        # Alone, it only lets the hub look whether somebody has come.
        time.sleep(min(LONGEST_S, SHARE * (time.monotonic() - worked_from)) if _under_way > 1 else 0)
        worked_from = time.monotonic()

    return breathe


def breathing(rows: Sequence[T], breathe: Callable[[], None], every: int) -> Iterator[T]:
    """``rows``, with a pause after each ``every`` of them."""
    for position, row in enumerate(rows):
        if position % every == every - 1:
            breathe()
        yield row
