"""The rows of a batch's calls: calls, attempts, events and webhooks, some hundred in one round trip.

Between a few of them others have their turn, which in a gevent process are the other requests.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from psycopg.types.json import Jsonb

from store.accept import NewCall, columns, placed, queued_call
from store.outbox import outbox_row
from store.pool import Conn
from store.queries import load
from store.records import recordset
from store.rows import queued_attempt
from store.snapshot import webhook_body

T = TypeVar("T")

_SQL = load("batches")
_OUTBOX = load("outbox")
#: Calls written in one round trip: as JSON they are made in a few milliseconds, and by no statement that lasts.
PORTION = 50
#: Calls made in one go; about half a millisecond.
BREATH = 8


def _written(table: str, statement: bytes) -> tuple[str, ...]:
    listed = re.search(rb"INSERT INTO %b \(([^)]*)\)" % table.encode(), statement)
    assert listed is not None
    return tuple(name.strip().decode() for name in listed[1].split(b","))


_ATTEMPT = _written("attempts", _SQL["insert_attempts"])


class Context(NamedTuple):
    """The tenant's webhook address, the database's clock, up to when all calls were canceled; agents that are paused."""

    hook: str | None
    clock: datetime
    canceled_before: datetime | None
    held: frozenset[UUID]


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
        calls: list[dict[str, object]] = []
        attempts: list[dict[str, object]] = []
        webhooks: list[dict[str, object]] = []
        for new in _breathing(news[start : start + PORTION], breathe):
            call, url = placed(queued_call(new, now, batch_id), context.hook, context.canceled_before, context.clock, now)
            row = {name: value.obj if isinstance(value, Jsonb) else value for name, value in columns(call, new).items()}
            calls.append(row)
            first = {**row, "id": new.attempt_id, "call_id": call.id, "number": 1}
            attempts.append({name: first[name] for name in _ATTEMPT})
            written.append(Written(new.attempt_id, call.lane, call.due_at <= now and new.agent_id not in context.held))
            if url is not None:
                attempt = queued_attempt(
                    new.attempt_id, call, number=1, due_at=call.due_at, now=now, dial_until=new.dial_until
                )
                webhooks.append(outbox_row(call, "call.queued", webhook_body("call.queued", now, call, attempt), url, now))
        with conn.pipeline():
            for statement, rows in (
                (_SQL["insert_calls"], calls),
                (_SQL["insert_attempts"], attempts),
                (_OUTBOX["insert"], webhooks),
            ):
                if rows:
                    conn.execute(statement, {"rows": recordset(rows)})
                breathe()
        told = told or bool(webhooks)
    if told:
        conn.execute(_OUTBOX["notify"])
    return written


def _breathing(rows: Sequence[T], breathe: Callable[[], None]) -> Iterator[T]:
    for position, row in enumerate(rows):
        if position % BREATH == BREATH - 1:
            breathe()
        yield row
