"""Calls as they are shown to their tenant, each with the dial that it follows, one by one and in pages.

A page walks one index: the tenant's calls by id, those to one number, of one ``client_reference`` or of one batch. What else
is asked for is looked at on the way, at SCAN rows a page at most: a page may so hold fewer calls than there are, even none,
and still say where to go on. A creation time bounds the ids that are walked at all: ids are made in the order of time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from calls.ids import uuid7
from store.pool import Conn, Database
from store.queries import load
from store.rows import Attempt, Call

_SQL = load("call_list")
_WIDTH = len(Call.__dataclass_fields__)

#: Rows looked at for one page, at most.
SCAN = 10_000
#: How far the time in a call's id and its ``created_at`` may lie apart: they may be told by the clocks of two hosts.
APART = timedelta(minutes=1)
#: By which index is walked and whether towards older ones: the page's statement, and that of where its look ends.
_WAYS = {
    (None, True): ("older", "older_end"),
    (None, False): ("newer", "newer_end"),
    ("to_number", True): ("older_to", "older_to_end"),
    ("to_number", False): ("newer_to", "newer_to_end"),
    ("batch_id", True): ("older_batch", "older_batch_end"),
    ("batch_id", False): ("newer_batch", "newer_batch_end"),
    ("client_reference", True): ("older_reference", "older_reference_end"),
    ("client_reference", False): ("newer_reference", "newer_reference_end"),
}
_LEAST, _MOST = UUID(int=0), UUID(int=(1 << 128) - 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shown:
    """``dial``: the attempt that was answered, else the latest."""

    call: Call
    dial: Attempt


@dataclass(frozen=True, slots=True)
class Filters:
    """Only calls of which all of it is true; None: whatever. ``created_after`` itself is in, ``created_before`` is not.
    ``test``: those of test keys, or (False) of live keys.
    """

    status: str | None = None
    to_number: str | None = None
    end_reason: str | None = None
    agent_id: UUID | None = None
    client_reference: str | None = None
    batch_id: UUID | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    test: bool | None = None

    @property
    def looks(self) -> bool:
        """Rows have to be looked at that may not fit."""
        # Few calls are tests: leaving those out is no look for something.
        given = {name: value for name, value in asdict(self).items() if (name, value) != ("test", False)}
        return any(value is not None for name, value in given.items() if name != self.walked)

    @property
    def walked(self) -> str | None:
        """The filter whose index is walked; None: all of the tenant's calls are."""
        if self.batch_id is not None:
            return "batch_id"
        if self.client_reference is not None:
            return "client_reference"
        return None if self.to_number is None else "to_number"


@dataclass(frozen=True, slots=True)
class Page:
    """``calls``, newest first; ``cursor``: the id to go on from in the same direction, None where there is nothing more."""

    calls: list[Shown]
    cursor: UUID | None


def get(db: Database, tenant_id: UUID, call_id: UUID) -> Shown | None:
    """The tenant's call; None also when it is another tenant's."""
    with db.connection() as conn:
        row = conn.execute(_SQL["get"], {"tenant_id": tenant_id, "id": call_id}).fetchone()
    return None if row is None else _shown(row)


def page(
    db: Database,
    tenant_id: UUID,
    limit: int,
    filters: Filters,
    *,
    after: UUID | None = None,
    before: UUID | None = None,
    scan: int = SCAN,
) -> Page:
    """The next ``limit`` calls at most: the newest; behind ``after``, so older; or just ``before`` an id, so newer."""
    above, below = _ids(filters)
    if after is not None:
        below = min(below, after)
    if before is not None:
        above = max(above, before)
    params: dict[str, Any] = {
        **asdict(filters),
        "tenant_id": tenant_id,
        "above": above,
        "below": below,
        "limit": limit + 1,
        "scan": scan,
    }
    older = before is None
    with db.connection() as conn:
        if filters.looks:
            return _looked(conn, filters.walked, params, limit, older=older)
        return _cut(_rows(conn, _WAYS[filters.walked, older][0], params), limit, older=older)


def _looked(conn: Conn, walked: str | None, params: dict[str, Any], limit: int, *, older: bool) -> Page:
    """No more than ``scan`` rows: first where they end, then those that fit of the ones up to there."""
    statement, where_it_ends = _WAYS[walked, older]
    end = conn.execute(_SQL[where_it_ends], params).fetchone()
    if end is None:
        return _cut(_rows(conn, statement, params), limit, older=older)
    # The first that is not looked at any more; between it and the last one that is there is no id.
    found = _rows(conn, statement, {**params, "above" if older else "below": end[0]})
    if len(found) > limit:
        return _cut(found, limit, older=older)
    last = UUID(int=end[0].int + 1) if older else UUID(int=end[0].int - 1)
    return Page(found if older else found[::-1], last)


def _cut(found: list[Shown], limit: int, *, older: bool) -> Page:
    kept = found[:limit]
    cursor = kept[-1].call.id if len(found) > limit else None
    return Page(kept if older else kept[::-1], cursor)


def _rows(conn: Conn, statement: str, params: dict[str, Any]) -> list[Shown]:
    return [_shown(row) for row in conn.execute(_SQL[statement], params).fetchall()]


def _shown(row: Any) -> Shown:
    return Shown(Call(*row[:_WIDTH]), Attempt(*row[_WIDTH:]))


def _ids(filters: Filters) -> tuple[UUID, UUID]:
    """Between which ids calls of these times lie; neither is one of them."""
    above, below = _LEAST, _MOST
    if filters.created_after is not None:
        above = _floor(filters.created_after - APART if filters.created_after > _EPOCH + APART else _EPOCH)
    if filters.created_before is not None:
        below = _floor(filters.created_before + APART if filters.created_before > _EPOCH else _EPOCH)
    return above, below


def _floor(at: datetime) -> UUID:
    """The least id of that moment."""
    return uuid7(at, bytes(10))
