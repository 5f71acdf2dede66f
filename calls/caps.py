"""What a tenant may do at most, and whether one more dial fits. Pure: what was used comes in as an argument.

A call on the line counts with ``reserve_s`` of talk (its longest talk where that is less) from its dial on, and with what it
has talked once that is more; an ended one with what it talked. A dial fits when it and all of that stay within the cap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self

from calls.windows import zone

#: First digits of a number that make a destination of it: country and network, or area.
PREFIX_DIGITS = 6
#: A destination is new to a tenant that has not dialed it for so long.
KNOWN_FOR = timedelta(days=30)
#: What ended is added up so long after its end: a better witness may still correct it until then.
SETTLE_AFTER = timedelta(minutes=5)
#: A day's cap that calls on the line have reserved may have room again when one of them ends: asked again after so long.
LOOK_AGAIN = timedelta(seconds=15)
#: A day's cap holds all calls when less than this part of it is left; what is dearer than that is held by itself.
LITTLE = 20
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
MICROS = 1_000_000

CapName = Literal[
    "calls_per_minute", "tenant_number_per_day", "minutes_per_day", "spend_per_day", "new_prefixes", "no_price"
]


@dataclass(frozen=True, slots=True)
class Caps:
    """None: no such cap. ``spend_per_day`` in millionths of the house's currency; ``time_zone``: whose days are meant."""

    calls_per_minute: int | None = None
    number_per_day: int | None = None
    minutes_per_day: int | None = None
    spend_per_day: int | None = None
    new_prefixes_per_hour: int | None = None
    reserve_s: int = 60
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        zone(self.time_zone)

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Self:
        """From a row; members that are no caps are left out."""
        return cls(**{name: value for name, value in row.items() if name in cls.__dataclass_fields__})

    @property
    def none(self) -> bool:
        """Nothing is capped."""
        return all(getattr(self, name) is None for name in LIMITS)


LIMITS = ("calls_per_minute", "number_per_day", "minutes_per_day", "spend_per_day", "new_prefixes_per_hour")


@dataclass(frozen=True, slots=True)
class Used:
    """How much of it is used at ``moment``, without the dial in question. ``dials``: of the last minute, at most as many as
    the cap, the first of them at ``first_dial``; ``number_dials``: of the day, to its number, that may have rung;
    ``seconds`` and ``micros`` of the day, what is reserved included; ``running``: calls on the line that were dialed today.
    ``reserve_s`` and ``reserve_micros`` (None: its prefix has no price) are what the dial itself counts with;
    ``new_prefixes``: when those of the last hour were new.
    """

    caps: Caps
    moment: datetime
    dials: int
    number_dials: int
    seconds: int
    micros: int
    running: int
    next_day: datetime
    reserve_s: int = 0
    reserve_micros: int | None = 0
    new_prefix: bool = False
    new_prefixes: Sequence[datetime] = ()
    first_dial: datetime | None = None

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """From what the function take_caps of the database says."""
        when = datetime.fromisoformat
        return cls(
            caps=Caps.read(found["caps"]),
            moment=when(found["moment"]),
            dials=found["dials"],
            first_dial=when(found["first_dial"]) if found["first_dial"] is not None else None,
            number_dials=found["number_dials"],
            seconds=found["seconds"],
            micros=found["micros"],
            running=found["running"],
            next_day=when(found["next_day"]),
            reserve_s=found.get("reserve_s", 0),
            reserve_micros=found.get("reserve_micros", 0),
            new_prefix=found.get("new_prefix", False),
            new_prefixes=[when(at) for at in found.get("new_prefixes", ())],
        )


@dataclass(frozen=True, slots=True)
class Held:
    """A cap that the dial does not fit into. ``until``: the first moment at which it may; None: never, it ends.
    ``all_calls``: the same holds of every call of the tenant.
    """

    cap: CapName
    limit: int
    current: int
    until: datetime | None
    all_calls: bool


def held(used: Used, at: datetime) -> Held | None:
    """What forbids one more dial at ``at``, as far as it is known since ``used.moment``; None: nothing. What never passes is
    told first, then what holds every call.
    """
    caps = used.caps
    if caps.spend_per_day is not None and used.reserve_micros is None:
        return Held("no_price", caps.spend_per_day, used.micros, None, all_calls=False)
    found = [one for one in (_spend(used), _minutes(used), _rate(used, at), _number(used), _prefix(used, at)) if one]
    return next((one for one in found if one.until is not None and one.until > at), None)


def _spend(used: Used) -> Held | None:
    most = used.caps.spend_per_day
    if most is None or used.micros + (used.reserve_micros or 0) <= most:
        return None
    return Held("spend_per_day", most, used.micros, _day(used), all_calls=_little(used.reserve_micros or 0, most))


def _minutes(used: Used) -> Held | None:
    most = used.caps.minutes_per_day
    if most is None or used.seconds + used.reserve_s <= most * 60:
        return None
    return Held("minutes_per_day", most, -(-used.seconds // 60), _day(used), all_calls=_little(used.reserve_s, most * 60))


def _rate(used: Used, at: datetime) -> Held | None:
    most = used.caps.calls_per_minute
    if most is None or used.first_dial is None or used.dials < most or (until := used.first_dial + _MINUTE) <= at:
        return None
    return Held("calls_per_minute", most, used.dials, until, all_calls=True)


def _number(used: Used) -> Held | None:
    most = used.caps.number_per_day
    if most is None or used.number_dials < most:
        return None
    return Held("tenant_number_per_day", most, used.number_dials, used.next_day, all_calls=False)


def _prefix(used: Used, at: datetime) -> Held | None:
    most = used.caps.new_prefixes_per_hour
    recent = [one for one in used.new_prefixes if one + _HOUR > at]
    if most is None or not used.new_prefix or len(recent) < most:
        return None
    until = recent[len(recent) - most] + _HOUR if most else used.moment + _HOUR
    return Held("new_prefixes", most, len(recent), until, all_calls=False)


def _little(reserve: int, most: int) -> bool:
    """What is left does not take this dial, and this dial is little: so next to nothing is left, for any call."""
    return reserve * LITTLE <= most


def _day(used: Used) -> datetime:
    """When a cap of the day has room: the next day, or sooner where calls on the line have taken what they may not need."""
    return min(used.next_day, used.moment + LOOK_AGAIN) if used.running else used.next_day
