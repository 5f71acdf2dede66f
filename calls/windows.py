"""When somebody may be called: by the wall clock where the phone is. Pure; every moment is an argument.

A :class:`Window` says on which days, from which minute up to which (half-open), on the clock of which IANA time zone. A
dial fits if the whole time in which the phone may ring lies inside: from the dial to dial + PDD + ring time. What counts
is what that clock shows: an hour that it skips in spring has no moments, one that it shows twice in autumn has them twice.
:class:`AnyOf` and :class:`AllOf` put windows together. :class:`Limits` adds the caps per day: no dial on a local day of
which the dials that may have rung are used up.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal, Protocol
from zoneinfo import ZoneInfo, available_timezones

from calls.wall_clock import DAY, TICK, shown, stretch

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MIDNIGHT = 24 * 60
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
#: Files beside the zones that are none: what they say depends on the machine, or is nothing.
_NO_ZONES = frozenset({"localtime", "Factory", "posixrules"})
UTC_NAME = "UTC"

Why = Literal["window", "hours", "per_day", "number_per_day"]


class WindowError(ValueError):
    """``field`` (time_zone, days, from, to) is not as it must be; the text says what would be."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(available_timezones()) - _NO_ZONES


def zone(name: object) -> ZoneInfo:
    """The zone of an IANA name, exactly as IANA writes it. WindowError for anything else."""
    if not isinstance(name, str) or name not in _known():
        raise WindowError("time_zone", f"{name!r:.60} is no IANA time zone known here, such as Europe/Berlin or UTC")
    return ZoneInfo(name)


def minute(text: object, field: str) -> int:
    """``HH:MM`` as minutes since midnight; ``24:00`` is the end of the day. WindowError names ``field``."""
    match = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise WindowError(field, "must be a time of day from 00:00 to 24:00, written HH:MM")
    return MIDNIGHT if match[1] is None else int(match[1]) * 60 + int(match[2])


def clock(minutes: int) -> str:
    """The other way round."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


@dataclass(frozen=True, slots=True)
class Window:
    """``days`` are 0 (Monday) to 6; minutes since local midnight, ``from_minute`` inside, ``to_minute`` outside."""

    zone: ZoneInfo
    days: frozenset[int]
    from_minute: int
    to_minute: int

    def __post_init__(self) -> None:
        if not self.days or not self.days <= frozenset(range(7)):
            raise WindowError("days", "must name at least one day of " + ", ".join(DAYS))
        if not 0 <= self.from_minute < self.to_minute <= MIDNIGHT:
            raise WindowError("to", "must be later than from; a window ends at midnight (24:00) at the latest")

    @classmethod
    def read(cls, value: object) -> Window:
        """From ``{time_zone, days, from, to}``, every member required. WindowError for what is not exactly that."""
        if not isinstance(value, Mapping):
            raise WindowError("window", "must be an object")
        if value.keys() != {"time_zone", "days", "from", "to"}:
            raise WindowError("window", "must have time_zone, days, from and to, and nothing else")
        days = value["days"]
        if not isinstance(days, list) or not all(day in DAYS for day in days):
            raise WindowError("days", "must be a list of " + ", ".join(DAYS))
        return cls(
            zone(value["time_zone"]),
            frozenset(DAYS.index(day) for day in days),
            minute(value["from"], "from"),
            minute(value["to"], "to"),
        )

    def as_dict(self) -> dict[str, object]:
        """As :meth:`read` takes it, the days in order."""
        return {
            "time_zone": self.zone.key,
            "days": [DAYS[day] for day in sorted(self.days)],
            "from": clock(self.from_minute),
            "to": clock(self.to_minute),
        }

    def opening(self, at: datetime, need: timedelta, until: datetime) -> Opening | None:
        """The first moment from ``at`` on, before ``until``, of which it and all of ``need`` after it lie inside. How long
        such moments go on is told as far as ``until``.
        """
        # Stretch by stretch of one local day and one offset, in which the wall clock runs as time does. Those that touch
        # are one, so that neither midnight nor a clock change ends a ring that the window allows.
        here = closed = at.astimezone(UTC)
        found, limit = None, until + need
        while here < limit:
            wall, offset = shown(self.zone, here)
            end = stretch(self.zone, here, wall, offset, limit)
            first, last = here, here
            if wall.weekday() in self.days:
                midnight = datetime.combine(wall.date(), datetime.min.time())
                first = max(here, here + (midnight + timedelta(minutes=self.from_minute) - wall))
                last = min(end, here + (midnight + timedelta(minutes=self.to_minute) - wall))
            if last > first:
                if found is None or first > closed:
                    if found is not None and closed - found >= need:
                        break
                    found = first
                closed = last
                if closed < end and closed - found >= need:
                    break
            here = end
        if found is None or closed - found < need or found >= until:
            return None
        return Opening(found, closed - need)


#: In place of a zone's name: the recipient's, wherever that is.
RECIPIENT = "recipient"


@dataclass(frozen=True, slots=True)
class RecipientWindow:
    """A :class:`Window` by the clock of the callee, wherever that is. Errors as those of a window."""

    days: frozenset[int]
    from_minute: int
    to_minute: int

    def __post_init__(self) -> None:
        self.at((UTC_NAME,))

    def at(self, zones: Sequence[str]) -> Opens:
        """Open where it is open on the clock of each of the zones."""
        return AllOf(tuple(Window(zone(name), self.days, self.from_minute, self.to_minute) for name in zones))

    def as_dict(self) -> dict[str, object]:
        """As :func:`read_window` takes it."""
        return {**Window(zone(UTC_NAME), self.days, self.from_minute, self.to_minute).as_dict(), "time_zone": RECIPIENT}


def read_window(value: object) -> Window | RecipientWindow:
    """What ``as_dict`` of either wrote. WindowError for anything else."""
    if not isinstance(value, Mapping) or value.get("time_zone") != RECIPIENT:
        return Window.read(value)
    its = Window.read({**value, "time_zone": UTC_NAME})
    return RecipientWindow(its.days, its.from_minute, its.to_minute)


@dataclass(frozen=True, slots=True)
class Opening:
    """A dial may begin at ``at`` and until ``until``, that moment included; None: no window ends it."""

    at: datetime
    until: datetime | None = None


class Opens(Protocol):
    """What is open at times, as :class:`Window` is."""

    def opening(self, at: datetime, need: timedelta, until: datetime) -> Opening | None: ...


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Open where one of them is. No two of them touch, so that no ring lies across both."""

    parts: tuple[Opens, ...]

    def opening(self, at: datetime, need: timedelta, until: datetime) -> Opening | None:
        """As :meth:`Window.opening`."""
        found = [opening for one in self.parts if (opening := one.opening(at, need, until)) is not None]
        return min(found, key=lambda opening: opening.at, default=None)


@dataclass(frozen=True, slots=True)
class AllOf:
    """Open where all of them are at once; with none in it, always."""

    parts: tuple[Opens, ...]

    def opening(self, at: datetime, need: timedelta, until: datetime) -> Opening | None:
        """As :meth:`Window.opening`."""
        here = at.astimezone(UTC)
        while here < until:
            latest, closes = here, None
            for one in self.parts:
                found = one.opening(latest, need, until)
                if found is None:
                    return None
                latest = found.at
                closes = found.until if closes is None else min(closes, found.until or closes)
            if latest == here:
                return Opening(here, closes)
            here = latest  # one of them opened later: are the others still open then?
        return None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call's rules leave of the time. ``need``: PDD and ring time. ``rang`` and ``number_rang``: when dials were
    made that may have rung, of this call and of all to its number. ``zone``: whose days are counted. ``window``: what the
    call asks for; ``hours``: in which the law, or whoever runs the house, lets people be called.
    """

    zone: ZoneInfo
    need: timedelta
    window: Opens | None = None
    per_day: int | None = None
    number_per_day: int | None = None
    rang: Collection[datetime] = ()
    number_rang: Collection[datetime] = ()
    hours: Opens | None = None

    def first(self, at: datetime, until: datetime) -> Opening | None:
        """The first moment from ``at`` on, before ``until``, at which a dial may begin; None: there is none."""
        full = self._full(self.rang, self.per_day) | self._full(self.number_rang, self.number_per_day)
        at = at.astimezone(UTC)
        parts = tuple(one for one in (self.window, self.hours) if one is not None)
        while at < until:
            opening = AllOf(parts).opening(at, self.need, until)
            if opening is None:
                return None
            wall, offset = shown(self.zone, opening.at)
            if wall.date() not in full:
                return opening
            at = stretch(self.zone, opening.at, wall, offset, until)
        return None

    def against(self, at: datetime) -> Why | None:
        """What forbids a dial at ``at``; None: nothing."""
        if self.window is not None and self.window.opening(at, self.need, at + TICK) is None:
            return "window"
        if self.hours is not None and self.hours.opening(at, self.need, at + TICK) is None:
            return "hours"
        day = shown(self.zone, at)[0].date()
        if day in self._full(self.rang, self.per_day):
            return "per_day"
        return "number_per_day" if day in self._full(self.number_rang, self.number_per_day) else None

    def next_day(self, at: datetime) -> datetime:
        """The first moment of the next local day."""
        here = at.astimezone(UTC)
        wall, offset = shown(self.zone, here)
        today = wall.date()
        while wall.date() <= today:
            here = stretch(self.zone, here, wall, offset, here + 2 * DAY)
            wall, offset = shown(self.zone, here)
        return here

    def _full(self, rang: Collection[datetime], most: int | None) -> set[date]:
        if most is None:
            return set()
        days = Counter(shown(self.zone, at)[0].date() for at in rang)
        return {day for day, count in days.items() if count >= most}
