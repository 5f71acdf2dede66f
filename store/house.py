"""What an operator sets for the outbound calls of every tenant: destinations that nobody dials, or that each may. A change
acts on the next accept and on the next claim. What is one tenant's is in store/outbound.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from calls.destinations import Entry, bound
from store.outbound import readable
from store.pool import Conn, Database
from store.queries import load
from store.records import one_row

_SQL = load("house")


@dataclass(frozen=True, slots=True)
class HouseRules:
    """``destinations``: match -> ``{allow, risk}`` (calls/destinations.py)."""

    destinations: dict[str, dict[str, Any]]
    changed_at: datetime


def get(db: Database) -> HouseRules:
    """Empty until something was set."""
    with db.connection() as conn:
        return _asked(conn, "get", {})


def allow(db: Database, entries: Sequence[Entry]) -> HouseRules:
    """Adds entries to the list that holds for all tenants, or sets those anew that are there. ``ValueError`` for one that is
    none, and for more than fit (:class:`calls.destinations.TooManyEntries`): nothing is added then.
    """
    with db.connection() as conn:
        before = _asked(conn, "get", {})
        after = _asked(conn, "put_destinations", {"entries": Jsonb(readable(entries))})
        bound("the list of all tenants", len(before.destinations), len(after.destinations))
    return after


def forget(db: Database, matches: Sequence[str]) -> HouseRules:
    """Takes entries from it; what is not on it is no error."""
    with db.connection() as conn:
        return _asked(conn, "remove_destinations", {"matches": list(matches)})


def _asked(conn: Conn, statement: str, params: dict[str, Any]) -> HouseRules:
    found = one_row(conn, HouseRules, _SQL[statement], params)
    assert found is not None, "the one row of house_rules is there since its migration"
    return found
