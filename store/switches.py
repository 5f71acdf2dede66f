"""Switches that a controller has spoken for, and which life of each it was."""

from __future__ import annotations

from datetime import datetime

from store.pool import Database
from store.queries import load

_SQL = load("switches")


def seen(db: Database, name: str, core_uuid: str, now: datetime, *, lab: bool = False) -> datetime:
    """The switch answered with this Core-UUID; returns since when that very process has been known. ``lab``: it is the
    laboratory, as its controller has it.
    """
    with db.connection() as conn:
        row = conn.execute(_SQL["seen"], {"name": name, "core_uuid": core_uuid, "now": now, "lab": lab}).fetchone()
    assert row is not None
    since: datetime = row[0]
    return since


def drain(db: Database, name: str, now: datetime | None) -> datetime | None:
    """Take the switch out of service at ``now``, or with None back into it: its controller is told at once. Returns since
    when it is drained (the first drain counts), None: it is in service. Raises ``LookupError`` when there is no such switch.
    """
    with db.connection() as conn:
        row = conn.execute(_SQL["drain"], {"name": name, "now": now}).fetchone()
    if row is None:
        raise LookupError(name)
    since: datetime | None = row[0]
    return since


def drained(db: Database, name: str) -> bool:
    """Whether nothing is to be dialed on it; False for a switch that nobody has spoken for yet."""
    with db.connection() as conn:
        return conn.execute(_SQL["drained"], {"name": name}).fetchone() is not None


def calls_left(db: Database, name: str) -> int:
    """Calls that are being dialed, ring or are talked on there."""
    with db.connection() as conn:
        row = conn.execute(_SQL["calls_left"], {"name": name}).fetchone()
    assert row is not None
    return int(row[0])


def touch(db: Database, name: str, now: datetime) -> None:
    """The switch is still answering."""
    with db.connection() as conn:
        conn.execute(_SQL["touch"], {"name": name, "now": now})


def live(db: Database, since: datetime, *, lab: bool | None = None) -> list[str]:
    """Names of the switches that answered after ``since``; ``lab``: only the laboratory's, or (False) only all others."""
    with db.connection() as conn:
        return [str(row[0]) for row in conn.execute(_SQL["live"], {"since": since, "lab": lab})]
