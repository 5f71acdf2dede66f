"""Work that many ask for at once, done in few strokes: what is asked for while a stroke is under way gathers for the next.

Nobody waits for company: who asks when there is room begins at once, alone. So one transaction carries as many as there are,
and no more latency than the transaction before it took.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import sleep
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


#: s; longer than any stroke can take, whose statements all have deadlines of their own.
PATIENCE_S = 30.0


class NotBegun(RuntimeError):
    """Its turn did not come in time: nothing was done."""


class BrokenOff(RuntimeError):
    """Whoever did the stroke was ended in the middle of it: whether the work was done is not known."""


class _Place(Generic[T, R]):
    """One item's. ``called`` is let go once: its result or error is there, or it is to do the next stroke, for ``batch``. A
    plain lock: an event takes three of them, and each request waits here several times.
    """

    __slots__ = ("batch", "called", "error", "item", "result")

    def __init__(self, item: T) -> None:
        self.item = item
        self.batch: list[_Place[T, R]] | None = None
        self.called = threading.Lock()
        self.called.acquire()
        self.result: R | None = None
        self.error: BaseException | None = None


class Together(Generic[T, R]):
    """``work`` takes items and returns as many results, in their order, or in place of one its error; at most ``most`` in a
    stroke, and at most ``strokes`` at once. For greenlets and for threads. ``look``: in a gevent process whoever begins lets
    the hub go round once before, so that those whose requests are there already, unread, come along.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R | Exception]],
        *,
        most: int,
        strokes: int = 1,
        look: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._work = work
        self._most = most
        self._look = look
        self._patience_s = patience_s
        self._room = strokes
        self._waiting: deque[_Place[T, R]] = deque()
        self._lock = threading.Lock()

    def do(self, item: T) -> R:
        """The item's result. Raises its error; what ``work`` raised, to all of the stroke; BrokenOff when that was ended or
        does not end; NotBegun when none began within ``patience_s``.
        """
        place: _Place[T, R] = _Place(item)
        with self._lock:
            if self._room > 0:
                self._room -= 1
                place.batch = [place]
            else:
                self._waiting.append(place)
        if place.batch is None:
            self._wait(place)
        if place.batch is not None:
            self._stroke(place.batch)
        if place.error is not None:
            raise place.error
        return place.result  # type: ignore[return-value]

    def _wait(self, place: _Place[T, R]) -> None:
        try:
            if not place.called.acquire(timeout=self._patience_s):
                if self._withdrawn(place):
                    raise NotBegun(f"no turn within {self._patience_s:g} s")
                if not place.called.acquire(timeout=self._patience_s):
                    raise BrokenOff(f"a common stroke does not end within {self._patience_s:g} s")
        except BaseException:  # ended while waiting: somebody else takes its turn
            with self._lock:
                if place in self._waiting:
                    self._waiting.remove(place)
                if place.batch is not None:
                    others = [one for one in place.batch if one is not place]
                    self._waiting.extendleft(reversed(others))
                    self._pass_on()
            raise

    def _withdrawn(self, place: _Place[T, R]) -> bool:
        with self._lock:
            waits = place in self._waiting
            if waits:
                self._waiting.remove(place)
        return waits

    def _stroke(self, batch: list[_Place[T, R]]) -> None:
        try:
            if self._look:
                sleep(0)
                with self._lock:
                    batch += [self._waiting.popleft() for _ in range(min(self._most - len(batch), len(self._waiting)))]
            results = self._work([place.item for place in batch])
            for place, result in zip(batch, results, strict=True):
                if isinstance(result, Exception):
                    place.error = result
                else:
                    place.result = result
        except BaseException as error:
            others = error if isinstance(error, Exception) else BrokenOff("ended in the middle of a common stroke")
            for place in batch[1:]:
                place.error = others
            raise
        finally:
            with self._lock:
                self._pass_on()
            for place in batch[1:]:
                place.batch = None
                place.called.release()

    def _pass_on(self) -> None:
        """The stroke's room goes to the next who waits, with as many as may go along."""
        if not self._waiting:
            self._room += 1
            return
        batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        batch[0].batch = batch
        batch[0].called.release()
