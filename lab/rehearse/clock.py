"""Virtual time: what happens next happens now."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

#: us; where a rehearsal begins. Not 0: to the budget 0 means never.
BEGIN_US = 1_000_000_000_000
SECOND = 1_000_000

Act = Callable[[Any], None]


class Clock:
    """Acts in order of their time; those of one moment in the order in which they were asked for. Times in us."""

    def __init__(self) -> None:
        self.now = BEGIN_US
        self._acts: list[tuple[int, int, Act, Any]] = []
        self._asked = 0

    def at(self, when_us: int, act: Act, what: Any = None) -> None:
        """``act(what)`` at ``when_us``, or now if that has passed."""
        self._asked += 1
        heappush(self._acts, (max(when_us, self.now), self._asked, act, what))

    def after(self, us: int, act: Act, what: Any = None) -> None:
        """``act(what)`` in ``us``."""
        self.at(self.now + us, act, what)

    @property
    def next_us(self) -> int | None:
        """When the next act is; None when nothing will happen any more."""
        return self._acts[0][0] if self._acts else None

    def step(self) -> None:
        """The next act."""
        self.now, _, act, what = heappop(self._acts)
        act(what)

    @property
    def passed_s(self) -> float:
        """Virtual seconds since the beginning."""
        return (self.now - BEGIN_US) / SECOND
