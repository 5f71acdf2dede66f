"""What jobs and controllers ask about attempts: what lives, what has been silent too long, what has expired."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from store.facts import Timers
from store.pool import Database
from store.queries import load
from store.records import all_rows

_SQL = load("queue")
#: Live attempts read in one go.
LIVE_PAGE = 200


class AttemptState(NamedTuple):
    """Where an attempt is and whose claim it carries."""

    state: str
    fence: int | None
    epoch: int | None


@dataclass(frozen=True, slots=True)
class LiveAttempt:
    """A claimed attempt that has not ended. ``inbound``: a caller's; ``carrier_id`` None: no carrier counts it."""

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
    inbound: bool = False


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


def clock(db: Database) -> datetime:
    """The time by the database: the one clock by which every host judges how long ago something was."""
    with db.connection() as conn:
        row = conn.execute(_SQL["clock"]).fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def states(db: Database, ids: Iterable[UUID]) -> dict[UUID, AttemptState]:
    """State, fence and epoch of each attempt that exists."""
    with db.connection() as conn:
        rows = conn.execute(_SQL["states"], {"ids": list(ids)}).fetchall()
    return {attempt_id: AttemptState(state, fence, epoch) for attempt_id, state, fence, epoch in rows}


def list_live(db: Database, switch: str | None) -> list[LiveAttempt]:
    """Attempts claimed and not ended, on ``switch`` or (None) everywhere, by id."""
    return [row for page in live_pages(db, switch) for row in page]


def live_pages(db: Database, switch: str | None, size: int = LIVE_PAGE) -> Iterator[list[LiveAttempt]]:
    """:func:`list_live`, a page at a time: others have their turn in between. What is claimed meanwhile may be left out."""
    after: UUID | None = None
    while True:
        with db.connection() as conn:
            page = all_rows(conn, LiveAttempt, _SQL["list_live"], {"switch": switch, "after": after, "limit": size})
        yield page
        if len(page) < size:
            return
        after = page[-1].attempt_id


@dataclass(frozen=True, slots=True)
class Lingering:
    """An attempt that has just ended. ``silent``: not a word of the carrier was heard of it. ``crashed``: its switch was
    restarted, or is gone without a word, so that perhaps no BYE was sent.
    """

    attempt_id: UUID
    carrier_id: UUID
    fence: int
    ended_at: datetime
    silent: bool
    crashed: bool


def list_lingering(db: Database, since: datetime) -> list[Lingering]:
    """Attempts that were out at a carrier and ended after ``since``: they may still count there."""
    with db.connection() as conn:
        return all_rows(conn, Lingering, _SQL["list_lingering"], {"since": since})


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of an attempt; ``silent``, ``crashed`` as in :class:`Lingering`, ``local``: never out at a carrier."""

    attempt_id: UUID
    state: str
    ended_at: datetime | None
    silent: bool
    crashed: bool
    local: bool
    claimed_at: datetime | None = None


def fates(db: Database, ids: Iterable[UUID]) -> dict[UUID, Fate]:
    """The fate of each attempt that exists: may what it holds be set free?"""
    with db.connection() as conn:
        return {fate.attempt_id: fate for fate in all_rows(conn, Fate, _SQL["fates"], {"ids": list(ids)})}


def list_overdue(db: Database, now: datetime, limit: int) -> list[Overdue]:
    """Attempts whose deadline is over by ``now`` and by the database's clock, the longest first."""
    with db.connection() as conn:
        return all_rows(conn, Overdue, _SQL["list_overdue"], {"now": now, "limit": limit})


def grant_grace(db: Database, until: datetime) -> int:
    """No deadline passes before ``until``, and no question asked so far counts; returns how many deadlines were moved.

    For after an outage of Postgres: what was seen meanwhile is still on its way from the controllers.
    """
    with db.connection() as conn:
        return conn.execute(_SQL["grant_grace"], {"until": until}).rowcount


def postpone(db: Database, attempt_id: UUID, now: datetime, timers: Timers, *, state: str | None = None) -> bool:
    """The switch says that the channel lives: the whole time that its state may last begins again at ``now``.

    No question asked so far counts. ``state``: only while the row says so. False: nothing was moved, because the attempt
    is queued, ended, unknown, or in another state.
    """
    params = {
        "attempt_id": attempt_id,
        "now": now,
        "state": state,
        "pdd_s": timers.pdd_s,
        "ring_grace_s": timers.ring_grace_s,
        "duration_grace_s": timers.duration_grace_s,
    }
    with db.connection() as conn:
        return conn.execute(_SQL["postpone"], params).rowcount == 1


def list_expired(db: Database, now: datetime, limit: int) -> list[UUID]:
    """Queued attempts of calls past their ``expires_at``, the longest first; to be ended with the cause ``expired``.

    Past it by ``now`` and by the database's clock, so that no claim can be right about such a call.
    """
    with db.connection() as conn:
        return [row[0] for row in conn.execute(_SQL["list_expired"], {"now": now, "limit": limit})]
