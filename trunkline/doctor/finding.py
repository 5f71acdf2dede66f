"""What a check-up finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """``fail``: calls are lost, limits are broken or strangers get in. ``warn``: it works until something else happens."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """``about``: the part of the house. ``remedy``: empty for what is well."""

    level: Level
    about: str
    what: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def ok(about: str, what: str) -> Finding:
    return Finding(Level.OK, about, what)


def warn(about: str, what: str, remedy: str) -> Finding:
    return Finding(Level.WARN, about, what, remedy)


def fail(about: str, what: str, remedy: str) -> Finding:
    return Finding(Level.FAIL, about, what, remedy)
