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
from typing import Literal

import phonenumbers
from phonenumbers import timezone

from calls.windows import WindowError, zone

By = Literal["given", "number", "default", "unknown"]


_RECIPIENT = ("timezone", "country", "hours", "otherwise")


@dataclass(frozen=True, slots=True)
class Recipient:
    """What a call says of where its callee is. ``country``: ISO 3166-1 alpha-2. ``hours``: whose hours held when the call
    was accepted (:class:`calls.standing.Standing`), so that a retry can be planned without asking; None: not known.
    """

    timezone: str | None = None
    country: str | None = None
    hours: str | None = None
    otherwise: str | None = None

    @classmethod
    def read(cls, value: object) -> Recipient:
        """As :meth:`as_dict` wrote it; None is an empty one. ValueError for anything else."""
        if value is None:
            return cls()
        if not isinstance(value, Mapping):
            raise ValueError("recipient: must be an object")
        members = [value.get(name) for name in _RECIPIENT]
        if not all(one is None or isinstance(one, str) for one in members):
            raise ValueError(f"recipient: {', '.join(_RECIPIENT)} must be texts")
        return cls(*members)

    def as_dict(self) -> dict[str, str | None]:
        return {name: getattr(self, name) for name in _RECIPIENT}


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
    country, zones = _of_number(e164)
    countries = tuple(dict.fromkeys(one for one in (country, recipient.country) if one))
    if recipient.timezone is not None:
        return (
            Place(country, countries, (recipient.timezone,), "given")
            if _known(recipient.timezone)
            else (Place(country, countries, (), "unknown"))
        )
    if zones:
        return Place(country, countries, zones, "number")
    if default_zone is not None and _known(default_zone):
        return Place(country, countries, (default_zone,), "default")
    return Place(country, countries, (), "unknown")


def load_zones() -> None:
    """Reads the prefixes now and not at the first number."""
    _of_number("+442079460000")


@lru_cache(maxsize=4096)
def _of_number(e164: str) -> tuple[str, tuple[str, ...]]:
    """Country and zones by the numbering plan; no zones where one of them is not known on this machine."""
    try:
        number = phonenumbers.parse(e164, None)
    except phonenumbers.NumberParseException:
        return "", ()
    zones = tuple(timezone.time_zones_for_number(number))
    return phonenumbers.region_code_for_number(number) or "", zones if all(map(_known, zones)) else ()


def _known(name: str) -> bool:
    try:
        zone(name)
    except WindowError:
        return False
    return True
