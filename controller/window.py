"""How many dials this process takes on at once: as many as it gets out in time, learned from those it did not.

A permit that is taken and not used in time burns a slot for everybody. A process that is short of CPU, or whose Postgres
answers slowly, must therefore ask for less, not fail faster. Additive increase, multiplicative decrease, as TCP does.
"""

from __future__ import annotations

#: Of the window that remain after a dial came too late.
DECREASE = 0.7
#: s; a single stall burns many dials together and counts once.
DECREASE_EVERY_S = 0.1


class DialWindow:
    """``size`` is the most dials to have under way; between 1 and ``most``."""

    def __init__(self, most: int, start: int = 16) -> None:
        self._most = float(most)
        self._size = float(min(start, most))
        self._decreased_at = float("-inf")

    @property
    def size(self) -> int:
        return int(self._size)

    def in_time(self) -> None:
        """A dial was written in its slot: about one more per window's worth of those."""
        self._size = min(self._most, self._size + 1.0 / self._size)

    def late(self, now: float) -> None:
        """A dial missed its slot at ``now`` (monotonic seconds)."""
        if now - self._decreased_at >= DECREASE_EVERY_S:
            self._decreased_at = now
            self._size = max(1.0, self._size * DECREASE)
