"""Every code the API answers with, out of ``codes.toml``: the one list behind problems, description and error page."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

#: Where the page that documents them is served; ``type`` of a problem is this, # and the code.
ERRORS_PATH = "/v1/docs/errors"


@dataclass(frozen=True, slots=True)
class Code:
    """One code: with which HTTP statuses it comes (none: of a field), what it means, what to do; whether operations of the
    public API answer it.
    """

    code: str
    meaning: str
    remedy: str
    statuses: tuple[int, ...] = ()
    public: bool = True


@dataclass(frozen=True, slots=True)
class Codes:
    """The closed lists: of problems, and of the entries in a problem's ``errors``."""

    problems: MappingProxyType[str, Code]
    fields: MappingProxyType[str, Code]

    def of_status(self, status: int) -> list[Code]:
        """The problems that an answer of ``status`` may be."""
        return [code for code in self.problems.values() if status in code.statuses]


@cache
def codes() -> Codes:
    """The lists, read once a process."""
    listed: dict[str, Any] = tomllib.loads(files("web").joinpath("codes.toml").read_text("utf-8"))
    return Codes(
        MappingProxyType(
            {
                code: Code(code, told["meaning"], told["remedy"], tuple(told["status"]), told.get("public", True))
                for code, told in listed["problems"].items()
            }
        ),
        MappingProxyType({code: Code(code, meaning, remedy) for code, (meaning, remedy) in listed["fields"].items()}),
    )


def type_of(code: str) -> str:
    """The ``type`` of a problem: an address, relative to the server, at which its code is explained."""
    return f"{ERRORS_PATH}#{code}"
