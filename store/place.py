"""A queued call's place in its lane, as far as Postgres knows it, and what a forecast of its wait needs to know."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from store.pool import Database
from store.queries import load
from store.records import one_row

_SQL = load("place")

#: Places are exact up to here.
EXACT = 1000
#: Rows that are looked at for it, canceled ones that have not been ended yet included.
WALK = 5000
#: Calls by which it is told how long they keep their channel, ended and live ones each.
SPANS = 2000
WINDOW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call; ``attempt_id``, ``number``, ``due_at`` and ``pushed_epoch`` of its queued attempt, None when none is.
    ``canceled`` or ``expired``: it will not be dialed and only waits for its end. ``now``: the database's clock.
    """

    call_id: UUID
    status: str
    lane: str
    route: str
    priority: str
    expires_at: datetime
    attempt_id: UUID | None
    number: int | None
    due_at: datetime | None
    pushed_epoch: int | None
    now: datetime
    canceled: bool
    expired: bool
    agent_paused: bool


class Span(NamedTuple):
    """A call on a carrier's channel, in s since its claim: seen from ``seen_s`` on, until ``until_s``; ``over``: it ended
    then, ``ago_s`` ago.
    """

    carrier_id: UUID
    priority: str
    seen_s: float
    until_s: float
    over: bool
    ago_s: float


def waiting(db: Database, tenant_id: UUID, call_id: UUID) -> Waiting | None:
    """The tenant's call; None also when it is another tenant's."""
    with db.connection() as conn:
        return one_row(conn, Waiting, _SQL["waiting"], {"tenant_id": tenant_id, "call_id": call_id})


def unlaned_before(
    db: Database, tenant_id: UUID, lane: str, due_at: datetime, attempt_id: UUID, laned: Sequence[UUID] = ()
) -> int:
    """How many attempts that are in no lane come before this one, which is in none either; :data:`EXACT` means: so many or
    more. ``laned``: what the lane holds in Redis, though nobody may have written that down yet.
    """
    return _before(db, "unlaned_before", tenant_id, lane, due_at, attempt_id, list(laned))


def queued_before(
    db: Database, tenant_id: UUID, lane: str, due_at: datetime, attempt_id: UUID, held: int | None = None
) -> int:
    """How many queued attempts of the lane come before this one, laned or not; :data:`EXACT`: so many or more. For when
    Redis cannot say what the lanes hold. ``held``: its ``pushed_epoch`` where its agent is paused: those that are held for
    the same agent count, too.
    """
    return _before(db, "queued_before", tenant_id, lane, due_at, attempt_id, [], held)


def _before(
    db: Database,
    query: str,
    tenant_id: UUID,
    lane: str,
    due_at: datetime,
    attempt_id: UUID,
    laned: Sequence[UUID],
    held: int | None = None,
) -> int:
    params: dict[str, object] = {"tenant_id": tenant_id, "lane": lane, "due_at": due_at, "id": attempt_id, "laned": laned}
    params |= {"walk": WALK, "exact": EXACT, "held": held}
    with db.connection() as conn, conn.pipeline():
        conn.execute(_SQL["by_index"])
        row = conn.execute(_SQL[query], params).fetchone()
    assert row is not None
    counted, gave_up = row
    # What lies behind so many canceled ones is not looked for.
    return EXACT if gave_up else int(counted)


def first_due(db: Database, lane: str) -> datetime | None:
    """Since when the lane has had work; None: it has none, or that cannot be told."""
    with db.connection() as conn, conn.pipeline():
        conn.execute(_SQL["by_index"])
        row = conn.execute(_SQL["first_due"], {"lane": lane}).fetchone()
    return None if row is None else row[0]


def spans(db: Database, carriers: Collection[UUID]) -> list[Span]:
    """Calls that ended of late on these carriers, and those that are on the line; at most :data:`SPANS` of each."""
    params = {"carriers": list(carriers), "window": WINDOW, "limit": SPANS}
    with db.connection() as conn:
        return [Span(*row) for row in conn.execute(_SQL["spans"], params)]


def queued_of(db: Database, tenants: Collection[UUID]) -> dict[UUID, int]:
    """How many attempts each of these tenants has queued."""
    with db.connection() as conn:
        return {row[0]: int(row[1]) for row in conn.execute(_SQL["queued_of"], {"tenants": list(tenants)})}
