"""How something beside a call's states is told: its recordings, its agent, its result.

Under the call's lock, with the call's next sequence, in the transaction of what it tells of: so the sequence has no gap and
no event is told that did not happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from store.outbox import outbox_row
from store.pool import Conn
from store.queries import load
from store.records import one_row, recordset
from store.rows import Attempt, Call
from store.snapshot import webhook_body

_SQL = load("telling")
_OUTBOX = load("outbox")


@dataclass(frozen=True, slots=True)
class Locked:
    """A call whose row is held. ``hook`` None: nobody is told of it."""

    call: Call
    hook: str | None


def lock_call(conn: Conn, attempt_id: UUID) -> Locked | None:
    """Hold the attempt's call until the transaction ends; None: there is no such attempt."""
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["lock_call"], {"attempt_id": attempt_id}).fetchone()
    if row is None:
        return None
    hook = row.pop("hook")
    return Locked(Call(**row), hook)


def put_down(
    conn: Conn,
    kind: str,
    locked: Locked,
    attempt_id: UUID,
    at: datetime,
    *,
    source: str,
    data: Mapping[str, Any],
    of: UUID | None = None,
) -> None:
    """The event in the call's log, once per ``kind`` and attempt, or, where it is ``of`` one of several, each of those."""
    dedupe = f"{kind}:{attempt_id}" if of is None else f"{kind}:{attempt_id}:{of}"
    event = {"call_id": locked.call.id, "attempt_id": attempt_id, "type": kind, "at": at, "source": source, "dedupe": dedupe}
    conn.execute(_SQL["log"], {**event, "data": Jsonb(dict(data))})


def tell(
    conn: Conn, kind: str, locked: Locked, attempt_id: UUID, at: datetime, told: Mapping[str, Any] | None = None
) -> None:
    """Its webhook, with ``told`` beside the call; nothing where nobody is told."""
    if locked.hook is None:
        return
    attempt = one_row(conn, Attempt, _SQL["attempt"], {"attempt_id": attempt_id})
    assert attempt is not None, "the attempt of a locked call does not vanish"
    call = replace(locked.call, sequence=locked.call.sequence + 1)
    conn.execute(_SQL["count"], {"call_id": call.id, "sequence": call.sequence})
    params = {"call_id": call.id}
    shown = None if attempt.answered_at is not None else one_row(conn, Attempt, _SQL["shown"], params)
    body = webhook_body(kind, at, call, attempt, shown)
    body["data"] |= told or {}
    conn.execute(_OUTBOX["insert"], {"rows": recordset([outbox_row(call, kind, body, locked.hook, at)])})
    conn.execute(_OUTBOX["notify"])
