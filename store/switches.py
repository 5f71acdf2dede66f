"""Switches that a controller has spoken for, and which life of each it was."""

from __future__ import annotations

from datetime import datetime

from store.pool import Database
from store.queries import load

_SQL = load("switches")


def seen(db: Database, name: str, core_uuid: str, now: datetime) -> datetime:
    """The switch answered with this Core-UUID; returns since when that very process has been known."""
    with db.connection() as conn:
        row = conn.execute(_SQL["seen"], {"name": name, "core_uuid": core_uuid, "now": now}).fetchone()
    assert row is not None
    since: datetime = row[0]
    return since


def touch(db: Database, name: str, now: datetime) -> None:
    """The switch is still answering."""
    with db.connection() as conn:
        conn.execute(_SQL["touch"], {"name": name, "now": now})


def live(db: Database, since: datetime) -> list[str]:
    """Names of the switches that answered after ``since``."""
    with db.connection() as conn:
        return [str(row[0]) for row in conn.execute(_SQL["live"], {"since": since})]
