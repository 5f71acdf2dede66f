"""Batches: many calls accepted in one transaction, so that a batch is there as a whole or not at all.

What each row asks for was judged before (web/api/batches.py); here only the queue's bound may still refuse rows, the last
ones first. Reading, counting and canceling them is below; how they are written is in store/batch_rows.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg

from calls.ids import new_uuid7
from crashpoint import crash_point
from store import backlog, request_keys
from store.accept import NewCall, UnknownTenant
from store.accept_rows import Context
from store.backlog import QueueFull
from store.batch_rows import Written, pause, write
from store.idempotency import IdempotencyKey
from store.pool import Conn, Database
from store.queries import load
from store.records import all_rows, one_row
from store.request_keys import Remembered

_SQL = load("batches")


@dataclass(frozen=True, slots=True)
class Batch:
    """``accepted`` rows became calls, ``refused`` did not. ``canceled_at``: none of its calls is dialed from then on."""

    id: UUID
    tenant_id: UUID
    accepted: int
    refused: int
    created_at: datetime
    canceled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewBatch:
    """``calls`` that may be accepted, in order, and ``refused`` rows beside them. The ids are the caller's, so that
    accepting it again after a lost connection is harmless.
    """

    tenant_id: UUID
    calls: Sequence[NewCall]
    refused: int
    id: UUID = field(default_factory=new_uuid7)


@dataclass(frozen=True, slots=True)
class Under:
    """The Idempotency-Key of the request, and to what it belongs (method and path)."""

    scope: str
    key: IdempotencyKey


@dataclass(frozen=True, slots=True)
class Fitted:
    """How much of a batch the tenant's queue takes: its first ``count`` calls. ``full``: why not more."""

    batch: Batch
    count: int
    full: QueueFull | None


@dataclass(frozen=True, slots=True)
class AcceptedBatch:
    """``answer`` to the request; ``replayed``: it is that of an earlier one, and nothing was done. Else ``written``, in
    order.
    """

    answer: Remembered
    replayed: bool = False
    written: Sequence[Written] = ()


class _NearTheBound(Exception):
    """The queue filled up in between: nobody else may come in meanwhile."""


def accept_batch(
    db: Database,
    new: NewBatch,
    *,
    under: Under | None,
    now: datetime,
    respond: Callable[[Fitted], Remembered],
    max_queued: int,
    breathe: Callable[[], None] = pause,
) -> AcceptedBatch:
    """Every call with its attempt, event and webhook, the batch, and the answer under the key, in one transaction.

    ``respond`` makes the answer, which is remembered where there is a key. ``max_queued``: attempts that a tenant without a
    bound of its own may have queued; calls that do not fit are left out from the end. ``breathe``
    is called between a few calls and the next, so that others have their turn. Nothing is written when it raises:
    :class:`QueueFull` (none fits), ``IdempotencyMismatch``, ``IdempotencyInFlight``, :class:`UnknownTenant`,
    ``ValueError``, ``psycopg.Error``.
    """
    tries, alone = 0, False

    def unit(conn: Conn) -> AcceptedBatch:
        nonlocal tries
        tries += 1
        return _accept(conn, new, under, now, respond, max_queued, breathe, alone=alone, again=tries > 1)

    while True:
        try:
            return db.run(unit, attempts=3)
        except _NearTheBound:
            alone = True
        except QueueFull as full:
            # Ours may be the calls that fill it: a try before this one was committed though its connection was lost.
            found = _committed(db, new, under, now, respond) if tries > 1 else None
            if found is None:
                raise full from None
            return found


def _accept(
    conn: Conn,
    new: NewBatch,
    under: Under | None,
    now: datetime,
    respond: Callable[[Fitted], Remembered],
    max_queued: int,
    breathe: Callable[[], None],
    *,
    alone: bool,
    again: bool,
) -> AcceptedBatch:
    with conn.pipeline():
        known = None if under is None else request_keys.ask(conn, new.tenant_id, under.scope, under.key, now)
        seen = backlog.ask(conn, new.tenant_id)
        earlier = None if known is None else known()
        if earlier is not None:
            return AcceptedBatch(earlier, replayed=not (again and _ours(earlier, new)))
        if again and one_row(conn, Batch, _SQL["get"], {"tenant_id": new.tenant_id, "id": new.id}) is not None:
            return AcceptedBatch(respond(_whole(conn, new)))
        waiting = seen()
    if waiting is None:
        raise UnknownTenant(f"tenant_id: there is no tenant {new.tenant_id}")
    near = backlog.near(waiting, len(new.calls), max_queued)
    conn.execute(_SQL["enter" if alone or near else "enter_beside"], {"tenant_id": new.tenant_id})
    room, full = backlog.room(conn, new.tenant_id, max_queued)
    if not (alone or near) and room < len(new.calls) + backlog.MARGIN:
        raise _NearTheBound
    if room <= 0:
        raise full
    count = min(room, len(new.calls))
    batch = Batch(new.id, new.tenant_id, count, new.refused + len(new.calls) - count, now)
    conn.execute(_SQL["create"], {**_row(batch)})
    # While it keeps others out it does not wait for them.
    written = write(conn, _context(conn, new), new.calls[:count], batch.id, now, pause if alone or near else breathe)
    answer = respond(Fitted(batch, count, full if count < len(new.calls) else None))
    if under is not None:
        request_keys.remember(conn, new.tenant_id, under.scope, under.key, answer, now)
    crash_point("batch.written")
    conn.commit()
    return AcceptedBatch(answer, written=written)


def _row(batch: Batch) -> dict[str, object]:
    return {
        "id": batch.id,
        "tenant_id": batch.tenant_id,
        "accepted": batch.accepted,
        "refused": batch.refused,
        "created_at": batch.created_at,
    }


def _ours(answer: Remembered, new: NewBatch) -> bool:
    """The answer is that of our own earlier try, committed though its connection was lost: no repetition."""
    return answer.location is not None and answer.location.endswith(new.id.hex)


def _whole(conn: Conn, new: NewBatch) -> Fitted:
    """What our own earlier try wrote down."""
    batch = one_row(conn, Batch, _SQL["get"], {"tenant_id": new.tenant_id, "id": new.id})
    assert batch is not None
    full = None if batch.accepted == len(new.calls) else QueueFull(batch.accepted, batch.accepted)
    return Fitted(batch, batch.accepted, full)


def _committed(
    db: Database, new: NewBatch, under: Under | None, now: datetime, respond: Callable[[Fitted], Remembered]
) -> AcceptedBatch | None:
    try:
        if under is not None and (found := request_keys.find(db, new.tenant_id, under.scope, under.key, now)) is not None:
            return AcceptedBatch(found, replayed=not _ours(found, new))
        with db.connection() as conn:
            if one_row(conn, Batch, _SQL["get"], {"tenant_id": new.tenant_id, "id": new.id}) is None:
                return None
            return AcceptedBatch(respond(_whole(conn, new)))
    except psycopg.OperationalError as error:
        # Not as it is: a connection that could not be had would say that nothing was committed.
        raise psycopg.OperationalError("the batch is taken already, but cannot be read") from error


def _context(conn: Conn, new: NewBatch) -> Context:
    """What is the same for all of its calls, as it is now."""
    agents = list({call.agent_id for call in new.calls})
    with conn.pipeline():
        found = conn.execute(_SQL["context"], {"tenant_id": new.tenant_id})
        paused = conn.execute(_SQL["agents"], {"tenant_id": new.tenant_id, "ids": agents})
        row = found.fetchone()
        assert row is not None
        hook, clock, canceled_before = row
        return Context(hook, clock, canceled_before, frozenset(agent_id for agent_id, is_paused in paused if is_paused))


def get(db: Database, tenant_id: UUID, batch_id: UUID) -> Batch | None:
    """The tenant's batch; None also when it is another tenant's."""
    with db.connection() as conn:
        return one_row(conn, Batch, _SQL["get"], {"tenant_id": tenant_id, "id": batch_id})


def list_batches(db: Database, tenant_id: UUID, limit: int, before: UUID | None = None) -> list[Batch]:
    """The tenant's batches, newest first, at most ``limit``, only those older than ``before`` (a batch id)."""
    with db.connection() as conn:
        return all_rows(conn, Batch, _SQL["list"], {"tenant_id": tenant_id, "limit": limit, "before": before})


def counts(db: Database, tenant_id: UUID, batch_id: UUID) -> tuple[dict[str, int], dict[str, int]]:
    """How many calls of the batch are in each status, and how many ended for each reason."""
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    with db.connection() as conn:
        for status, reason, n in conn.execute(_SQL["counts"], {"tenant_id": tenant_id, "id": batch_id}):
            statuses[status] += n
            if reason is not None:
                reasons[reason] += n
    return dict(statuses), dict(reasons)


def cancel(db: Database, tenant_id: UUID, batch_id: UUID, now: datetime) -> Batch | None:
    """Cancel what of the batch is not over, by one mark; returns it. None: no such batch of the tenant.

    From then on no claim of its calls succeeds, so it is quick for any number of them; they are ended one after the other
    later. A call that is being dialed or talked on goes on, and is not dialed again.
    """
    with db.connection() as conn:
        return one_row(conn, Batch, _SQL["cancel"], {"tenant_id": tenant_id, "id": batch_id, "now": now})


def list_condemned(db: Database, limit: int) -> list[UUID]:
    """Queued attempts of canceled batches, alike of all such batches, at most ``limit``; to be ended with the cause
    ``customer_cancel``. A batch with nothing left is not looked at again.
    """
    with db.connection() as conn, conn.pipeline():
        conn.execute(_SQL["settle"])
        return [row[0] for row in conn.execute(_SQL["list_condemned"], {"limit": limit})]
