"""The backlog and the lanes: what is due and in no lane, and the book of what was laned (``attempts.pushed_epoch``).

NULL: in no lane. An epoch's number: laned in that life of the budget. :data:`PARKED`: never to be laned. Less: held until
its agent, the one of that ``hold_number``, is resumed. Whatever waits, a question reads the rows it returns and few others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from store.pool import Database
from store.queries import load

_SQL = load("laning")

#: ``pushed_epoch`` of an attempt that will never be laned.
PARKED = -1


@dataclass(frozen=True, slots=True)
class LaneItem:
    """An attempt and the lane it belongs into. ``pushed_at``: when it was laned, where that was asked for."""

    attempt_id: UUID
    lane: str
    priority: str
    pushed_at: datetime | None = None


class Ask(NamedTuple):
    """The first ``want`` of a lane that are due and in no lane; only those due after ``after``, and up to ``upto``."""

    lane: str
    want: int
    after: datetime | None = None
    upto: datetime | None = None


class Waiting(NamedTuple):
    """One that was asked for, by the index of the question. ``gone``: it will never be dialed and only waits for its end.
    ``held``: its agent is paused. ``closed``: the window of its call has closed.
    """

    ask: int
    attempt_id: UUID
    lane: str
    gone: bool
    held: bool
    closed: bool


def due_lanes(db: Database, *, clock: datetime | None = None) -> list[str]:
    """Lanes of which something is due and in no lane. Due by ``clock``, None: the database's, by which the claim goes."""
    return [row[0] for row in _by_index(db, "due_lanes", {"clock": clock})]


def refill(db: Database, asks: Sequence[Ask], *, clock: datetime | None = None) -> list[Waiting]:
    """What is to come into the lanes: for each question its answers in the order ``(due_at, id)``, fewer than it wanted
    only if there are no more. One statement, and it reads no more rows than it returns.
    """
    params = {
        "lanes": [ask.lane for ask in asks],
        "wants": [ask.want for ask in asks],
        "after": [ask.after for ask in asks],
        "upto": [ask.upto for ask in asks],
        "clock": clock,
    }
    return [Waiting(position - 1, *row) for position, *row in _by_index(db, "refill", params)]


def next_due_s(db: Database, *, clock: datetime | None = None) -> float | None:
    """Seconds until the next attempt that is in no lane becomes due; None: none will."""
    rows = _by_index(db, "next_due", {"clock": clock})
    return float(rows[0][0]) if rows else None


def _by_index(db: Database, query: str, params: dict[str, object]) -> list[tuple[Any, ...]]:
    with db.connection() as conn, conn.pipeline():
        conn.execute(_SQL["by_index"])
        return conn.execute(_SQL[query], params).fetchall()


def _change(db: Database, query: str, params: dict[str, object]) -> int:
    """The same for a statement that changes rows; returns how many."""
    with db.connection() as conn:
        with conn.pipeline():
            conn.execute(_SQL["by_index"])
            changed = conn.execute(_SQL[query], params)
        return changed.rowcount


def mark_pushed(db: Database, ids: Iterable[UUID], epoch: int, now: datetime) -> int:
    """They are in their lanes; returns how many were still queued, 0 when the budget's epoch is another by now.

    One that is being claimed just now is left alone.
    """
    return _change(db, "mark_pushed", {"ids": list(ids), "epoch": epoch, "now": now})


def park(db: Database, ids: Iterable[UUID]) -> int:
    """They will never be laned: no refill meets them again; returns how many. The watchdog ends them."""
    return _change(db, "park", {"ids": list(ids), "parked": PARKED})


def hold(db: Database, ids: Iterable[UUID]) -> int:
    """Their agents are paused: no refill meets them before :func:`release_held`; returns how many it was so for."""
    return _change(db, "hold", {"ids": list(ids)})


def release_held(db: Database, limit: int) -> int:
    """Of each agent that is not paused (any more), at most ``limit`` that are still held for it, those due first: they count
    as in no lane again. Returns how many. It reads those and one row per agent that has any.
    """
    return _change(db, "release_held", {"limit": limit})


def forget_pushed(db: Database, epoch: int, limit: int) -> int:
    """What was laned in any epoch but ``epoch`` is in no lane; returns how many, at most twice ``limit``. As many as lanes
    hold, however many wait behind them.
    """
    return _change(db, "forget_pushed", {"epoch": epoch, "limit": limit})


def unlane(db: Database, lanes: Sequence[str]) -> int:
    """What these lanes held was thrown out of them; returns how many attempts that were."""
    return _change(db, "unlane_lanes", {"lanes": list(lanes)})


def list_pushed(db: Database, epoch: int, before: datetime, limit: int, after: LaneItem | None = None) -> list[LaneItem]:
    """Attempts laned in ``epoch`` before ``before`` and queued still, longest waiting first: is each in its lane?

    ``after``: only those that come after that one of an earlier answer.
    """
    params = {
        "epoch": epoch,
        "before": before,
        "limit": limit,
        "after_at": None if after is None else after.pushed_at,
        "after_id": None if after is None else after.attempt_id,
    }
    return [LaneItem(*row) for row in _by_index(db, "list_pushed", params)]


def list_condemned(db: Database, limit: int) -> list[UUID]:
    """Queued attempts of calls that a tenant canceled with all it had queued, the oldest of each tenant first and alike of
    all such tenants, at most ``limit``; to be ended with the cause ``customer_cancel``.
    """
    return [row[0] for row in _by_index(db, "list_condemned", {"limit": limit})]
