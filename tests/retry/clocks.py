"""Wall clocks as a person reads them: the judge of windows and days, made without the rules' own arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from random import Random
from zoneinfo import ZoneInfo, available_timezones

from calls.windows import DAYS, MIDNIGHT, Window, clock

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
FROM, UNTIL = datetime(2025, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
ZONES = sorted(available_timezones() - {"localtime", "Factory", "posixrules"})
#: Clocks that change in ways of their own: by half an hour, at midnight, on the eve, across 14 hours, not at all.
ODD = (
    "Australia/Lord_Howe", "America/Havana", "Asia/Beirut", "Africa/Cairo", "Africa/Casablanca", "America/St_Johns",
    "America/Nuuk", "Atlantic/Azores", "Pacific/Chatham", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu",
    "Europe/Dublin", "America/Santiago", "America/Asuncion", "UTC",
)  # fmt: skip


@cache
def changes(name: str) -> tuple[datetime, ...]:
    """The moments, to the minute, from which the zone's clock is ahead or behind by something else."""
    zone, found, at = ZoneInfo(name), [], FROM
    while at < UNTIL:
        after = at + DAY
        if at.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            low, high = at, after
            while high - low > MINUTE:
                middle = low + (high - low) // 2
                middle = middle.replace(second=0, microsecond=0)
                if middle <= low:
                    break
                if middle.astimezone(zone).utcoffset() == at.astimezone(zone).utcoffset():
                    low = middle
                else:
                    high = middle
            found.append(high)
        at = after
    return tuple(found)


def a_moment(draw: Random, name: str) -> datetime:
    """Any; rather often within a day and a half of a change of that clock."""
    jumps = changes(name)
    if jumps and draw.random() < 0.7:
        return draw.choice(jumps) + timedelta(seconds=draw.randint(-130_000, 130_000))
    return FROM + timedelta(seconds=draw.randint(0, int((UNTIL - FROM).total_seconds())))


def a_window(draw: Random, name: str, *, least: int = 1) -> Window:
    """Of at least so many minutes; its edges are rather often in the small hours, where clocks change."""
    begin = draw.choice((draw.randint(0, MIDNIGHT - least), draw.randint(0, 240), 0))
    end = draw.choice((MIDNIGHT, draw.randint(begin + least, MIDNIGHT), min(MIDNIGHT, begin + least + draw.randint(0, 120))))
    days = frozenset(draw.sample(range(7), draw.choice((1, 2, 5, 7, 7))))
    return Window(ZoneInfo(name), days, begin, end)


def shows(window: Window, at: datetime) -> bool:
    """Whether the clock there, as it is read, is in the window."""
    local = at.astimezone(window.zone)
    read = f"{local:%H:%M}"
    open_ = clock(window.from_minute) <= read < clock(window.to_minute)
    return open_ and f"{local:%a}".lower() in {DAYS[day] for day in window.days}


def rings(at: datetime, need: timedelta) -> Iterator[datetime]:
    """Moments of the ring that matter: no clock of these years enters or leaves a minute within a minute of UTC."""
    yield at
    here = at.replace(second=0, microsecond=0) + MINUTE
    while here < at + need:
        yield here
        here += MINUTE
    yield at + need - timedelta(microseconds=1)


def inside(window: Window | None, at: datetime, need: timedelta) -> bool:
    """Whether a phone that may ring from ``at`` on for ``need`` rings in the window only."""
    return window is None or all(shows(window, moment) for moment in rings(at, need))


def day_of(zone: ZoneInfo, at: datetime) -> date:
    return at.astimezone(zone).date()
