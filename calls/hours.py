"""In which hours people of a country may be called, whoever calls: data with its sources (calls/data/hours.toml). Pure.

No two spans of a country touch, which a test holds of the data; so a ring lies in one of them or in none.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

from calls.data import document
from calls.windows import AllOf, AnyOf, Opens, Window

#: Whose hours a tenant keeps: ``country``: those of the callee's country; ``none``: its operator attests that it solicits
#: nobody.
Policy = Literal["country", "none"]
POLICIES: tuple[Policy, ...] = ("country", "none")


def legal(countries: tuple[str, ...], zones: tuple[str, ...]) -> Opens:
    """Open where every one of the countries allows it on the clock of every one of the zones."""
    parts = tuple(_of(country, zone) for country in countries or ("",) for zone in zones)
    return parts[0] if len(parts) == 1 else AllOf(parts)


@lru_cache(maxsize=1024)
def _of(country: str, zone: str) -> Opens:
    windows = tuple(Window.read({"time_zone": zone, **span}) for span in spans(country))
    return windows[0] if len(windows) == 1 else AnyOf(windows)


def spans(country: str) -> list[dict[str, Any]]:
    """``{days, from, to}`` of the country, or what holds for those that are not listed."""
    found = _countries().get(country)
    return list((document("hours")["default"] if found is None else found)["spans"])


@lru_cache(maxsize=1)
def _countries() -> dict[str, dict[str, Any]]:
    return {one["country"]: one for one in document("hours")["country"]}
