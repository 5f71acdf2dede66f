"""How much of a backlog a lane holds in Redis, and how much each lane is brought at a time. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from settings import Settings

#: s; a lane of fast carriers holds at least so much, whatever ``lane_window`` says: a few looks of the feeder.
FAST_S = 1.0


def window(settings: Settings, cps: float) -> int:
    """Attempts that a lane holds whose carriers take ``cps`` calls per second together: ``lane_window_s`` of work, within
    ``lane_window_min`` and ``lane_window`` (or FAST_S of work, if that is more).
    """
    most = max(settings.lane_window, math.ceil(cps * FAST_S))
    return max(settings.lane_window_min, min(math.ceil(cps * settings.lane_window_s), most))


def fitted(settings: Settings, windows: Mapping[str, int]) -> dict[str, int]:
    """The windows, made smaller together where all of them are more than ``laned_max``; none under ``lane_window_min``."""
    total = sum(windows.values())
    if total <= settings.laned_max:
        return dict(windows)
    part = settings.laned_max / total
    return {lane: max(min(size, settings.lane_window_min), int(size * part)) for lane, size in windows.items()}


def wants(held: Mapping[str, int], windows: Mapping[str, int], most: int) -> dict[str, int]:
    """What each lane that is not full is to be brought, at most ``most`` together; a lane that needs little gets all of it,
    the others share alike (at least one each).
    """
    short = {lane: size - held.get(lane, 0) for lane, size in windows.items() if held.get(lane, 0) < size}
    left, given = max(most, len(short)), {}
    for position, lane in enumerate(sorted(short, key=lambda name: (short[name], name))):
        given[lane] = min(short[lane], left // (len(short) - position))
        left -= given[lane]
    return given
