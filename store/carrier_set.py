"""A carrier as a whole, made once and changed as one: what it allows and how it wants to be spoken to are one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from calls.trunk import Trunk
from store import carriers, trunks
from store.carriers import CarrierLimits
from store.joined import join
from store.pool import Database
from store.queries import load
from store.tenants import NameTaken

_SQL = load("carriers")
#: Of the SIP side; invite_cost is a limit as well.
SIP = frozenset(field.name for field in fields(Trunk)) - {"id", "name", "invite_cost"}


def change(db: Database, name: str, changes: Mapping[str, Any]) -> CarrierLimits | None:
    """Change only what is named, of CarrierLimits' and Trunk's fields; all of it or nothing. None: no such carrier.

    Errors: ``ValueError`` naming the field; ``TypeError`` for one that neither has.
    """
    sip = {field: value for field, value in changes.items() if field in SIP}
    limits = {field: value for field, value in changes.items() if field not in SIP}
    if "auth" in sip and "invite_cost" in limits:
        sip["invite_cost"] = limits.pop("invite_cost")
    with join(db) as joined:
        if sip and trunks.update(joined, name, **sip) is None:
            return None
        return carriers.update(joined, name, **limits)


def create(db: Database, *, name: str, max_channels: int, cps: float, **more: Any) -> CarrierLimits:
    """A carrier that there is not yet; ``more`` as ``carriers.put_carrier``'s. Errors: ``NameTaken``, and its."""
    with join(db) as joined:
        joined.conn.execute(_SQL["lock_name"], {"name": name})
        if joined.conn.execute(_SQL["exists"], {"name": name}).fetchone() is not None:
            raise NameTaken(f"name: a carrier {name!r} exists already: change it, or choose another name")
        return carriers.put_carrier(joined, name=name, max_channels=max_channels, cps=cps, **more)
