"""Which of IANA's zones can be the clock of a place: Europe/Berlin, Japan, and not EST, CET, GMT or Etc/GMT+5. Pure.

Those others are kept by no place, or by several that change their clocks differently: EST stands still where New York goes
over to daylight saving. Whoever gives one for a callee means a place, and its clock would be an hour off for half the year.
"""

from __future__ import annotations

from calls.windows import UTC_NAME, WindowError, zone

_FIXED = {"EST", "MST", "HST", "UTC", "UCT", "Universal", "Zulu", "Greenwich", "GMT", "GMT0", "GMT+0", "GMT-0"}
_SHARED = {"CET", "EET", "MET", "WET", "EST5EDT", "CST6CDT", "MST7MDT", "PST8PDT"}


class NoPlace(WindowError):
    """A zone of IANA's which is the clock of no one place."""


def is_place(name: str) -> bool:
    """Whether somebody can be in that zone of IANA's."""
    return name not in _FIXED and name not in _SHARED and not name.startswith("Etc/")


def place_zone(name: object) -> str:
    """The name of a zone in which somebody can be. Errors: :class:`NoPlace`; WindowError for what is no zone at all."""
    known = zone(name).key
    if not is_place(known):
        raise NoPlace("time_zone", f"{known} is the clock of no place: name the place's, such as America/New_York")
    return known


def window_zone(name: object) -> str:
    """As :func:`place_zone`, or UTC: by which a window, or a day, may go."""
    return UTC_NAME if name == UTC_NAME else place_zone(name)
