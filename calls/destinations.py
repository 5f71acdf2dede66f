"""What a tenant may dial: an allow-list of countries and prefixes, and nothing that is not on it. Pure.

The most specific entry decides: the longest prefix of the number, where a country counts as a prefix a little longer than
its calling code (``1`` is wider than ``US``, ``1415`` is narrower). It lets through numbers up to its class of risk.

Beside each tenant's own list stands the house's, which holds for all. What that excludes nobody dials, whatever a tenant's
own list says; what it allows counts where a tenant's own list has no entry for the number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import phonenumbers

from calls.risks import RISKS, Risk, above, risk_of

#: Entries of one list, the house's or a tenant's: each claim goes through both.
ENTRIES_MAX = 1000

#: ``DE``, ``+4930``, or ``+`` for every number.
ENTRY = re.compile(r"[A-Z]{2}|[+](?:[1-9][0-9]{0,14})?")


@dataclass(frozen=True, slots=True)
class Entry:
    """``match``: as :data:`ENTRY`. ``allow`` False: what it matches is not dialed. ``risk``: up to which class."""

    match: str
    allow: bool = True
    risk: Risk = "low"

    @classmethod
    def read(cls, match: str, value: object) -> Entry:
        """From ``{allow, risk}``. ValueError for anything else."""
        if ENTRY.fullmatch(match) is None:
            raise ValueError(f"destination: {match!r:.40} is neither a country (DE) nor a prefix (+4930, or + for all)")
        if not isinstance(value, Mapping) or not isinstance(value.get("allow"), bool) or value.get("risk") not in RISKS:
            raise ValueError(f"destination {match}: must have allow and risk")
        return cls(match, value["allow"], value["risk"])

    def as_dict(self) -> dict[str, Any]:
        return {"allow": self.allow, "risk": self.risk}


class TooManyEntries(ValueError):
    """A list would grow beyond :data:`ENTRIES_MAX`."""


def bound(whose: str, before: int, after: int) -> None:
    """A list that grows from ``before`` to ``after`` entries. :class:`TooManyEntries` beyond the bound; one that was longer
    already may be changed, but not grow. ``whose``: in words.
    """
    if after > max(before, ENTRIES_MAX):
        raise TooManyEntries(
            f"destinations: {whose} would have {after} entries, {ENTRIES_MAX} at most: remove some first, or give a"
            " country or a shorter prefix in place of several"
        )


def reaching(e164: str, entries: Mapping[str, object]) -> dict[str, object]:
    """Of a list what can decide for the number: its prefixes, and the countries of its calling code."""
    codes = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    regions = next((codes[int(e164[1:n])] for n in (2, 3, 4) if e164[1:n].isdecimal() and int(e164[1:n]) in codes), ())
    return {
        match: entry
        for match, entry in entries.items()
        if (e164.startswith(match) if match.startswith("+") else match in regions)
    }


def deciding(e164: str, country: str, entries: Mapping[str, object]) -> Entry | None:
    """The entry that decides for the number; None: no entry matches. ValueError where it cannot be read."""
    of_country = country if country in entries else None
    code = len(str(phonenumbers.country_code_for_region(country))) if of_country else 0
    for length in range(len(e164), 0, -1):
        if of_country is not None and length - 1 <= code:
            return Entry.read(of_country, entries[of_country])
        if e164[:length] in entries:
            return Entry.read(e164[:length], entries[e164[:length]])
    return None


def against(
    e164: str, country: str, entries: Mapping[str, object], house: Mapping[str, object] | None = None
) -> tuple[str, str] | None:
    """What forbids the number: a code, and words for people; None: nothing. ``house``: the list that holds for every tenant.
    ValueError as :func:`deciding`.
    """
    houses = deciding(e164, country, house) if house else None
    if houses is not None and not houses.allow:
        return "destination_not_allowed", f"numbers of {houses.match} are dialed by nobody of this system"
    entry, risk = deciding(e164, country, entries) or houses, risk_of(e164, country)
    if entry is None:
        return (
            "destination_not_allowed",
            f"numbers of {country or 'no country'} are not on your account's list of destinations",
        )
    if not entry.allow:
        return "destination_not_allowed", f"numbers of {entry.match} are excluded on your account's list of destinations"
    if above(risk, entry.risk):
        return "destination_risk", (
            f"this number is of risk class {risk}; {entry.match} is allowed for your account up to class {entry.risk}"
        )
    return None
