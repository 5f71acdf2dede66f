"""How well the switches' events and their CDRs agree, over all calls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from store.pool import Database
from store.queries import load
from store.records import clean, one_row

_SQL = load("witnesses")


@dataclass(frozen=True, slots=True)
class Totals:
    """``contradictions``: attempts of which event and CDR did not tell the same end, ``latest_call``: the last one's call.
    ``strangers``: CDRs of channels that are none of our attempts.
    """

    contradictions: int
    latest_call: UUID | None
    strangers: int


def stranger(db: Database, switch: str, now: datetime) -> None:
    """Count a CDR of a channel that is none of our attempts. ``switch``: as it calls itself."""
    db.run(lambda conn: conn.execute(_SQL["stranger"], {"switch": (clean(switch) or "")[:64], "now": now}))


def totals(db: Database) -> Totals:
    """Since the database was made."""
    with db.connection() as conn:
        found = one_row(conn, Totals, _SQL["totals"])
    assert found is not None
    return found
