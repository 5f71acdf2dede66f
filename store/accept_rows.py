"""The rows of calls that are accepted: calls, first attempts, events and webhooks, each kind in one statement for many."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from store.accept import NewCall, placed, queued_call
from store.outbox import outbox_row
from store.queries import load
from store.records import recordset
from store.rows import Call, queued_attempt
from store.snapshot import webhook_body

_SQL = load("accept")
_OUTBOX = load("outbox")


def _written(table: str, statement: bytes) -> tuple[str, ...]:
    listed = re.search(rb"INSERT INTO %b \(([^)]*)\)" % table.encode(), statement)
    assert listed is not None
    return tuple(name.strip().decode() for name in listed[1].split(b","))


#: The columns of a call that are written and are its own; its ``webhook`` comes with what was asked.
_OF_CALL = tuple(name for name in _written("calls", _SQL["insert_calls"]) if name != "webhook")
_of_call = attrgetter(*_OF_CALL)
_ATTEMPT = _written("attempts", _SQL["insert_attempts"])


class Context(NamedTuple):
    """The tenant's webhook address, the database's clock, up to when all calls were canceled; agents that are paused."""

    hook: str | None
    clock: datetime
    canceled_before: datetime | None
    held: frozenset[UUID] = frozenset()


def queued(new: NewCall, context: Context, now: datetime, batch_id: UUID | None = None) -> tuple[Call, str | None]:
    """The call as it is written, and where its webhooks go. ``ValueError`` for a priority or a route that is none."""
    return placed(queued_call(new, now, batch_id), context.hook, context.canceled_before, context.clock, now)


class Rows:
    """Of some calls; what is added is written by :meth:`steps`."""

    def __init__(self) -> None:
        self._calls: list[dict[str, object]] = []
        self._attempts: list[dict[str, object]] = []
        self._webhooks: list[dict[str, object]] = []

    @property
    def told(self) -> bool:
        """Whether there is anything for the dispatchers, who are then to be woken."""
        return bool(self._webhooks)

    def add(self, call: Call, url: str | None, new: NewCall, now: datetime) -> None:
        """One more, as :func:`queued` has it."""
        self._calls.append({**dict(zip(_OF_CALL, _of_call(call), strict=True)), "webhook": new.webhook})
        first = {
            "id": new.attempt_id,
            "call_id": call.id,
            "number": 1,
            "lane": call.lane,
            "due_at": call.due_at,
            "created_at": call.created_at,
            "dial_until": new.dial_until,
            "decision": new.decision,
        }
        self._attempts.append({name: first[name] for name in _ATTEMPT})
        if url is not None:
            attempt = queued_attempt(new.attempt_id, call, number=1, due_at=call.due_at, now=now, dial_until=new.dial_until)
            body = webhook_body("call.queued", now, call, attempt)
            self._webhooks.append(outbox_row(call, "call.queued", body, url, now))

    def steps(self) -> Iterator[tuple[bytes, dict[str, Jsonb]]]:
        """The statements that write them, in order, with their parameters."""
        steps = (
            (_SQL["insert_calls"], self._calls),
            (_SQL["insert_attempts"], self._attempts),
            (_OUTBOX["insert"], self._webhooks),
        )
        for statement, rows in steps:
            if rows:
                yield statement, {"rows": recordset(rows)}
