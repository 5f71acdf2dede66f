"""A process whose wall clock is wrong. Nothing in the process knows: `datetime` in its modules and `time.time` are replaced.

The monotonic clock stays right, as on a machine whose wall clock is set wrong. See ``python -m lab.wrong_clock``.
"""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta, tzinfo
from typing import Any

#: Packages whose modules ask for the time.
ROOMS = frozenset({"budget", "calls", "controller", "store", "logs", "settings"})


class _Disguise(type):
    """What is a datetime is an instance."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


def wrong_datetime(by: timedelta) -> type[datetime]:
    """A `datetime` whose now() is wrong. What it makes are plain datetimes."""

    class Wrong(datetime, metaclass=_Disguise):
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return datetime(*args, **kwargs)  # noqa: DTZ001

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + by

    return Wrong


def set_wrong(by_s: float) -> int:
    """Make the clock of everything loaded so far wrong; returns in how many modules a `datetime` was replaced."""
    wrong, replaced = wrong_datetime(timedelta(seconds=by_s)), 0
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ROOMS and getattr(module, "datetime", None) is datetime:
            module.datetime = wrong  # type: ignore[attr-defined]
            replaced += 1
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + by_s
    time.time_ns = lambda: real_ns() + int(by_s * 1e9)
    return replaced
