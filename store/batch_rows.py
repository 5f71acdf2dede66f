"""The rows of a batch's calls: calls, attempts, events and webhooks, some hundred in one round trip.

Between a few of them others have their turn, which in a gevent process are the other requests.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from store.accept import NewCall
from store.accept_rows import Context, Rows, queued
from store.outbox import notify
from store.pool import Conn

T = TypeVar("T")

#: Calls written in one round trip: as JSON they are made in a few milliseconds, and by no statement that lasts.
PORTION = 50
#: Calls made in one go; about half a millisecond.
BREATH = 8


class Written(NamedTuple):
    """A call that was written: its first attempt, its lane, and whether it may go into it now."""

    attempt_id: UUID
    lane: str
    due: bool


def pause() -> None:
    """In a gevent process the others have their turn."""
    time.sleep(0)


def write(
    conn: Conn,
    context: Context,
    news: Sequence[NewCall],
    batch_id: UUID,
    now: datetime,
    breathe: Callable[[], None] = pause,
) -> list[Written]:
    """Every call of the batch in the caller's transaction; in order."""
    written: list[Written] = []
    told = False
    for start in range(0, len(news), PORTION):
        rows = Rows()
        for new in _breathing(news[start : start + PORTION], breathe):
            call, url = queued(new, context, now, batch_id)
            rows.add(call, url, new, now)
            written.append(Written(new.attempt_id, call.lane, call.due_at <= now and new.agent_id not in context.held))
        with conn.pipeline():
            for step in rows.steps():
                conn.execute(*step)
                breathe()
        told = told or rows.told
    if told:
        notify(conn)
    return written


def _breathing(rows: Sequence[T], breathe: Callable[[], None]) -> Iterator[T]:
    for position, row in enumerate(rows):
        if position % BREATH == BREATH - 1:
            breathe()
        yield row
