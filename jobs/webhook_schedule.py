"""When a delivery that failed is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

#: s; wait before the 1st, 2nd, 3rd ... try: some seconds for a hiccup, then about three days for a weekend.
SCHEDULE_S = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: s; least and longest wait of one that was claimed and not tried, because its receiver was busy with others.
TURN_S = (5, 300)
#: A wait is spread over this share of itself to either side, so that a receiver coming back is not hit at once.
SPREAD = 0.2


def next_wait(
    tries: int, random: float, schedule_s: Sequence[float] = SCHEDULE_S, retry_after_s: float | None = None
) -> timedelta | None:
    """The wait after ``tries`` failed tries (1 or more), or None: give up. ``random`` in [0, 1) places it in its spread.

    ``retry_after_s``: what the receiver asked for; it is waited for so long at least.
    """
    if tries < 1:
        raise ValueError("tries: 1 or more, as one has just failed")
    if tries >= len(schedule_s):
        return None
    wait = schedule_s[tries] * (1 + SPREAD * (2 * random - 1))
    if retry_after_s is not None:
        wait = max(wait, retry_after_s * (1 + SPREAD * random))  # never earlier than it asked
    return timedelta(seconds=wait)


def turn_wait(waited: timedelta, random: float) -> timedelta:
    """The wait of a delivery that was not tried: as long again as it has waited since it was written, within TURN_S.

    So what is new comes soon when the receiver is well again, and a dead one's long backlog is not looked at all the time.
    """
    least, most = TURN_S
    return timedelta(seconds=min(max(waited.total_seconds(), least), most) * (1 + SPREAD * (2 * random - 1)))
