"""How likely a destination is to be called for fraud: every country has a class, some prefixes of it another. Pure.

The classes are data with their sources (calls/data/risks.toml), our own compilation. An entry of a tenant's allow-list lets
through what is not above the class it was given for.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from calls.data import document

Risk = Literal["low", "special", "toll_fraud"]
#: From the least to the most.
RISKS: tuple[Risk, ...] = ("low", "special", "toll_fraud")


def risk_of(e164: str, country: str) -> Risk:
    """The class of a number: of the longest prefix that is listed, else of its country. What is not listed is the
    highest.
    """
    digits = e164.removeprefix("+")
    prefixes = _prefixes()
    for length in range(len(digits), 0, -1):
        if (found := prefixes.get(digits[:length])) is not None:
            return found
    return _countries().get(country, RISKS[-1])


def above(one: Risk, other: Risk) -> bool:
    """Whether ``one`` is the higher class."""
    return RISKS.index(one) > RISKS.index(other)


def of_country(country: str) -> Risk | None:
    """The country's own class; None: it is not listed."""
    return _countries().get(country)


@lru_cache(maxsize=1)
def _countries() -> dict[str, Risk]:
    return {country: group["class"] for group in document("risks")["countries"] for country in group["names"].split()}


@lru_cache(maxsize=1)
def _prefixes() -> dict[str, Risk]:
    return {entry["prefix"]: entry["class"] for entry in document("risks")["prefix"]}
