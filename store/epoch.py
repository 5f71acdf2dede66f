"""The epoch of the budget: one row that outlives Redis. A claim names the epoch of its permit and is refused in another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from store.pool import Database
from store.queries import load
from store.records import one_row

_SQL = load("epoch")


class EpochMoved(RuntimeError):
    """Somebody else has begun another epoch: read it again."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """``opened_at`` None: the budget is being rebuilt, nothing is granted; ``redis_run_id``: the Redis it was built in;
    ``scripts``: the version of the scripts it belongs to. Whoever runs another version gets no permit of it.
    """

    epoch: int
    opened_at: datetime | None
    redis_run_id: str | None
    scripts: int


def get(db: Database) -> Epoch:
    """The epoch as it is now."""
    with db.connection() as conn:
        epoch = one_row(conn, Epoch, _SQL["get"])
    assert epoch is not None, "the migration writes the only row"
    return epoch


def bump(db: Database, expected: int, run_id: str | None, scripts: int | None = None) -> int:
    """Begin the epoch after ``expected``, closed; returns its number. ``scripts``: for that version of the scripts, None:
    for the same as before.

    Claims under way are waited for: when this returns, every claim of an older epoch is committed (and seen by
    ``attempts.list_live``) or will be refused. Errors: :class:`EpochMoved` when ``expected`` is not the epoch.
    """
    with db.connection() as conn:
        row = conn.execute(_SQL["bump"], {"expected": expected, "run_id": run_id, "scripts": scripts}).fetchone()
    if row is None:
        raise EpochMoved(f"epoch {expected} is over: read it again")
    return int(row[0])


def mark_open(db: Database, epoch: int, now: datetime) -> bool:
    """The budget is rebuilt and grants again. False: that epoch is over."""
    with db.connection() as conn:
        return conn.execute(_SQL["mark_open"], {"epoch": epoch, "now": now}).rowcount == 1
