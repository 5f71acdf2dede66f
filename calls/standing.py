"""What a tenant may at one moment, as its operator has set it: read by the store in the statement that needs it. Pure.

One JSON document, so that a rule that is added later finds its own members in it (``more``) and no statement but one
changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from calls.consent import Consent
from calls.destinations import reaching
from calls.hours import POLICIES, Policy

#: How a number may be shown. ``verified``: the tenant has proven that it is its own; ``assigned``: it was given to the
#: tenant; ``inbound``: the tenant is called on it.
HOWS = ("verified", "assigned", "inbound")


@dataclass(frozen=True, slots=True)
class Standing:
    """``configured``: its operator has set rules for it at all. ``destinations``: :mod:`calls.destinations`; ``house``:
    those that hold for every tenant. ``hours``: whose hours it keeps. ``time_zone``: of callees whose zone nobody knows.
    ``consent``: what stands in for a call that says nothing. ``caller_id``: how the number of the call at hand may be
    shown, of :data:`HOWS`; None: it may not. ``test``: the call is a test key's, for which none of this holds. ``more``: the
    document's other members.
    """

    configured: bool = False
    destinations: Mapping[str, object] = field(default_factory=dict)
    hours: Policy = "country"
    time_zone: str | None = None
    consent: Consent | None = None
    caller_id: str | None = None
    test: bool = False
    house: Mapping[str, object] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, value: object) -> Standing:
        """From the store's document (``standing`` in store/sql/parts.sql). ValueError for what says nothing to obey."""
        if not isinstance(value, Mapping):
            raise ValueError("standing: must be an object")
        test = value.get("test", False)
        if not isinstance(test, bool):
            raise ValueError("standing: test must be true or false")
        if test:
            return cls(configured=True, hours="none", test=True, more=value)
        rules = value.get("rules")
        if rules is not None and not isinstance(rules, Mapping):
            raise ValueError("standing: rules must be an object")
        caller_id = value.get("caller_id")
        if caller_id is not None and caller_id not in HOWS:
            raise ValueError(f"standing: caller_id must be one of {', '.join(HOWS)}")
        if rules is None:
            return cls(caller_id=caller_id, more=value)
        destinations, hours, zone = (rules.get(name) for name in ("destinations", "hours", "time_zone"))
        if not isinstance(destinations, Mapping) or hours not in POLICIES or not isinstance(zone, str | None):
            raise ValueError("standing: destinations, hours or time_zone cannot be read")
        house = value.get("house")
        if not isinstance(house, Mapping):
            raise ValueError("standing: what holds for every tenant cannot be read")
        consent = Consent.read(rules.get("consent"))
        more = {name: member for name, member in value.items() if name not in ("rules", "house")}
        return cls(True, destinations, hours, zone, consent, caller_id, house=house, more=more)

    def kept(self, e164: str) -> Standing:
        """The same for the call to this number, without what cannot matter for it: for whoever keeps many."""
        return replace(self, destinations=reaching(e164, self.destinations), house=reaching(e164, self.house))
