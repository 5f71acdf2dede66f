"""Named points at which a process can be made to die: where dying hurts most, the tests die on purpose.

``TRUNKLINE_CRASH_AT=dial.claimed`` kills the process (SIGKILL: no handler, no flush) when it passes that point,
``dial.claimed:3`` when it passes it for the third time. Without the variable a point costs one comparison. The points are
listed with their tests in tests/chaos/points.py. Errors: ValueError at import when the variable is not ``name`` or
``name:n`` with n >= 1.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "TRUNKLINE_CRASH_AT"


def _parse(text: str) -> tuple[str, int] | None:
    name, colon, count = text.partition(":")
    if colon and (not count.isdecimal() or int(count) < 1):
        raise ValueError(f"{VARIABLE}: expected NAME or NAME:N with N >= 1, got {text!r}")
    return (name, int(count or 1)) if name else None


_armed = _parse(os.environ.get(VARIABLE, ""))
_passed = 0


def armed(name: str) -> bool:
    """Whether this process is to die at `name`: for a point between two steps that otherwise are one."""
    return _armed is not None and _armed[0] == name


def crash_point(name: str) -> None:
    """Dies here when `name` was asked for. What has not left this process by now never will."""
    if _armed is not None and _armed[0] == name:
        _pass(_armed[1])


def _pass(wanted: int) -> None:
    global _passed
    _passed += 1
    if _passed >= wanted:
        os.write(2, b"crash point %s\n" % os.environ[VARIABLE].encode())  # past every buffer: nothing else is flushed
        os.kill(os.getpid(), signal.SIGKILL)
