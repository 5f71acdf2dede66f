"""The clock on the wall of a time zone: what it shows, and how long it runs as time does. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
#: No zone changes its offset and takes it back within so short a time.
_LOOK = timedelta(hours=6)


def shown(where: ZoneInfo, at: datetime) -> tuple[datetime, timedelta]:
    """What the clock there shows at ``at``, without a zone, and how far it is ahead of UTC."""
    local = at.astimezone(where)
    offset = local.utcoffset()
    assert offset is not None, "a zone always has an offset"
    return local.replace(tzinfo=None), offset


def stretch(where: ZoneInfo, at: datetime, wall: datetime, offset: timedelta, limit: datetime) -> datetime:
    """The end of the stretch from ``at`` on in which the local date and the offset stay as they are: later than ``at``, and
    ``limit`` at the latest, which is later too.
    """
    midnight = at + (datetime.combine(wall.date(), datetime.min.time()) + DAY - wall)
    here, end = at, min(midnight, limit)
    while here < end:
        later = min(here + _LOOK, end)
        if shown(where, later)[1] != offset:
            return _jump(where, here, later, offset)
        here = later
    return end


def _jump(where: ZoneInfo, before: datetime, after: datetime, offset: timedelta) -> datetime:
    """The first moment in (before, after] at which the offset is another than ``offset``."""
    while after - before > TICK:
        middle = before + (after - before) / 2
        if shown(where, middle)[1] == offset:
            before = middle
        else:
            after = middle
    return after
