"""What jobs and controllers ask about attempts: what waits for a lane, what lives, what has been silent too long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from store.pool import Database
from store.queries import load
from store.records import all_rows

_SQL = load("queue")


@dataclass(frozen=True, slots=True)
class LaneItem:
    """An attempt and the lane it belongs into."""

    attempt_id: UUID
    lane: str
    priority: str


class AttemptState(NamedTuple):
    """Where an attempt is and whose claim it carries."""

    state: str
    fence: int | None
    epoch: int | None


@dataclass(frozen=True, slots=True)
class LiveAttempt:
    """A claimed attempt that has not ended."""

    attempt_id: UUID
    call_id: UUID
    tenant_id: UUID
    lane: str
    state: str
    switch: str | None
    carrier_id: UUID | None
    gateway: str | None
    fence: int | None
    epoch: int | None
    claimed_at: datetime | None
    ringing_at: datetime | None
    answered_at: datetime | None
    ring_timeout_s: int
    max_duration_s: int


@dataclass(frozen=True, slots=True)
class Overdue:
    """An attempt whose deadline has passed. ``probes``: questions already asked since."""

    attempt_id: UUID
    call_id: UUID
    tenant_id: UUID
    lane: str
    state: str
    switch: str | None
    carrier_id: UUID | None
    gateway: str | None
    fence: int | None
    epoch: int | None
    claimed_at: datetime | None
    ringing_at: datetime | None
    early_at: datetime | None
    answered_at: datetime | None
    ring_timeout_s: int
    max_duration_s: int
    deadline_at: datetime
    probes: int


def list_unpushed(db: Database, epoch: int, now: datetime, limit: int) -> list[LaneItem]:
    """Queued attempts that are due and were not laned in ``epoch``, by due time; none of a paused tenant."""
    with db.connection() as conn:
        return all_rows(conn, LaneItem, _SQL["list_unpushed"], {"epoch": epoch, "now": now, "limit": limit})


def mark_pushed(db: Database, ids: Iterable[UUID], epoch: int, now: datetime) -> int:
    """They are in their lanes; returns how many were still queued. One that is being claimed just now is left alone."""
    with db.connection() as conn:
        return conn.execute(_SQL["mark_pushed"], {"ids": list(ids), "epoch": epoch, "now": now}).rowcount


def list_pushed(db: Database, epoch: int, before: datetime, limit: int) -> list[LaneItem]:
    """Attempts laned in ``epoch`` before ``before`` and queued still, longest waiting first: is each in its lane?"""
    with db.connection() as conn:
        return all_rows(conn, LaneItem, _SQL["list_pushed"], {"epoch": epoch, "before": before, "limit": limit})


def states(db: Database, ids: Iterable[UUID]) -> dict[UUID, AttemptState]:
    """State, fence and epoch of each attempt that exists."""
    with db.connection() as conn:
        rows = conn.execute(_SQL["states"], {"ids": list(ids)}).fetchall()
    return {attempt_id: AttemptState(state, fence, epoch) for attempt_id, state, fence, epoch in rows}


def list_live(db: Database, switch: str | None) -> list[LiveAttempt]:
    """Attempts claimed and not ended, on ``switch`` or (None) everywhere, by id."""
    with db.connection() as conn:
        return all_rows(conn, LiveAttempt, _SQL["list_live"], {"switch": switch})


@dataclass(frozen=True, slots=True)
class Lingering:
    """An attempt that has just ended. ``silent``: not a word of the carrier was heard of it."""

    attempt_id: UUID
    carrier_id: UUID
    fence: int
    ended_at: datetime
    silent: bool


def list_lingering(db: Database, since: datetime) -> list[Lingering]:
    """Attempts that were out at a carrier and ended after ``since``: they may still count there."""
    with db.connection() as conn:
        return all_rows(conn, Lingering, _SQL["list_lingering"], {"since": since})


def list_overdue(db: Database, now: datetime, limit: int) -> list[Overdue]:
    """Attempts whose deadline is over, the longest first."""
    with db.connection() as conn:
        return all_rows(conn, Overdue, _SQL["list_overdue"], {"now": now, "limit": limit})


def mark_probe(db: Database, attempt_id: UUID, next_deadline: datetime) -> bool:
    """The switch has been asked; look again at ``next_deadline``. False: ended, or somebody else has just asked."""
    with db.connection() as conn:
        params = {"attempt_id": attempt_id, "next_deadline": next_deadline}
        return conn.execute(_SQL["mark_probe"], params).rowcount == 1


def list_expired(db: Database, now: datetime, limit: int) -> list[UUID]:
    """Queued attempts of calls past their ``expires_at``, the longest first; to be ended with the cause ``expired``."""
    with db.connection() as conn:
        return [row[0] for row in conn.execute(_SQL["list_expired"], {"now": now, "limit": limit})]
