"""When a delivery that failed is tried again."""

from __future__ import annotations

from datetime import timedelta

#: s; wait before the 1st, 2nd, 3rd ... try: some seconds for a hiccup, then about three days for a weekend.
SCHEDULE_S = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: A wait is spread over this share of itself to either side, so that a receiver coming back is not hit at once.
SPREAD = 0.2


def next_wait(tries: int, random: float) -> timedelta | None:
    """The wait after ``tries`` failed tries (1 or more), or None: give up. ``random`` in [0, 1) places it in its spread."""
    if tries < 1:
        raise ValueError("tries: 1 or more, as one has just failed")
    if tries >= len(SCHEDULE_S):
        return None
    return timedelta(seconds=SCHEDULE_S[tries] * (1 + SPREAD * (2 * random - 1)))
