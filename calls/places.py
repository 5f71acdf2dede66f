"""Where the phone is: of which country, and on the clock of which time zones. Pure.

The zone is, in this order: the one given with the call; those of the number's prefix, all of them (a prefix that spans
several is a phone in any of them); the tenant's own default, if its operator set one; else nobody knows. A ported or
roaming mobile is where its prefix says, unless the call says otherwise.

Source of the prefixes: the ``phonenumbers`` package (Google's libphonenumber time zone data).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import phonenumbers
from phonenumbers import timezone
from phonenumbers.phonenumberutil import is_number_type_geographical

from calls.numbers import Planned, planned
from calls.place_zones import place_zone
from calls.windows import WindowError

By = Literal["given", "number", "default", "unknown"]


_TEXTS = ("timezone", "country", "hours", "otherwise")


@dataclass(frozen=True, slots=True)
class Numbered:
    """Where the plan puts a number: ``country`` (empty: none) and ``zones``; none where one of them is not known here."""

    country: str
    zones: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recipient:
    """What a call says of where its callee is. ``country``: ISO 3166-1 alpha-2. ``hours`` and ``otherwise``: what held for
    its tenant when it was accepted, hours and time_zone of :class:`calls.standing.Standing`, so that a retry can be planned
    without asking; the claim asks. ``number``: what the plan said of its number then, when it was found to be one that is
    dialed at all: it costs more than all rules together, and does not change.
    """

    timezone: str | None = None
    country: str | None = None
    hours: str | None = None
    otherwise: str | None = None
    number: Numbered | None = None

    @classmethod
    def read(cls, value: object) -> Recipient:
        """As :meth:`as_dict` wrote it; None is an empty one. ValueError for anything else."""
        if value is None:
            return NOWHERE
        if not isinstance(value, Mapping):
            raise ValueError("recipient: must be an object")
        texts = {name: value.get(name) for name in _TEXTS}
        if not all(one is None or isinstance(one, str) for one in texts.values()):
            raise ValueError(f"recipient: {', '.join(_TEXTS)} must be texts")
        match value.get("number"):
            case None:
                return cls(**texts)
            case {"country": str(country), "zones": list(zones)} if all(isinstance(one, str) for one in zones):
                return cls(**texts, number=Numbered(country, tuple(zones)))
        raise ValueError("recipient: number must have country and zones")

    def as_dict(self) -> dict[str, Any]:
        number = None if self.number is None else {"country": self.number.country, "zones": list(self.number.zones)}
        return {**{name: getattr(self, name) for name in _TEXTS}, "number": number}


#: Of a call that says nothing of it.
NOWHERE = Recipient()


@dataclass(frozen=True, slots=True)
class Place:
    """``country`` is the number's (empty: none); ``countries``: those whose rules count; ``zones``: every one that the phone
    may be in, ``by`` whose word; without zones ``by`` is unknown.
    """

    country: str
    countries: tuple[str, ...]
    zones: tuple[str, ...]
    by: By


def place_of(e164: str, recipient: Recipient, default_zone: str | None = None) -> Place:
    """Where the phone of that number is."""
    of_number = recipient.number or numbered(e164)
    country = of_number.country
    countries = tuple(dict.fromkeys(one for one in (country, recipient.country) if one))
    if recipient.timezone is not None:
        return (
            Place(country, countries, (recipient.timezone,), "given")
            if _known(recipient.timezone)
            else (Place(country, countries, (), "unknown"))
        )
    if of_number.zones and all(map(_known, of_number.zones)):
        return Place(country, countries, of_number.zones, "number")
    if default_zone is not None and _known(default_zone):
        return Place(country, countries, (default_zone,), "default")
    return Place(country, countries, (), "unknown")


@lru_cache(maxsize=4096)
def numbered(e164: str) -> Numbered:
    """What the numbering plan says of where the number is."""
    try:
        plan = planned(e164)
    except phonenumbers.NumberParseException:
        return Numbered("", ())
    zones = _zones(plan)
    return Numbered(plan.region or "", zones if all(map(_known, zones)) else ())


def _zones(plan: Planned) -> tuple[str, ...]:
    """All that the number may be in; libphonenumber would find out its type once more."""
    if is_number_type_geographical(plan.type, plan.number.country_code or 0):
        return tuple(timezone.time_zones_for_geographical_number(plan.number))
    return tuple(timezone.time_zones_for_number(plan.number))


def _known(name: str) -> bool:
    try:
        place_zone(name)
    except WindowError:
        return False
    return True
