"""Accepting calls that are asked for at the same moment: one transaction writes all of each, once per idempotency key, as
long as the tenant's queue has room. What speaks against one of them is that one's alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import errors
from psycopg.types.json import Jsonb

from calls.ids import new_uuid7
from crashpoint import crash_point
from store import backlog, permission
from store.accept import Accepted, NewCall, UnknownAgent, UnknownTenant
from store.accept_rows import Context, Rows, queued
from store.idempotency import IdempotencyKey, in_flight
from store.outbox import notify
from store.permission import Known
from store.pool import Conn, Database
from store.queries import load
from store.records import all_rows
from store.rows import Call
from store.snapshot import snapshot

_SQL = load("accept")


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that somebody asks for at ``now``, already validated.

    ``plan`` makes the call of what is known, in the transaction that writes it: what it raises is the answer, and nothing is
    written. It is not asked for a repetition under the same key. ``respond`` makes the answer that a repetition will be
    given. The ids are the caller's, so that accepting the same again after a lost connection is harmless.
    """

    agent_id: UUID
    to_number: str
    from_number: str
    plan: Callable[[Known], NewCall]
    now: datetime
    test: bool = False
    idempotency: IdempotencyKey | None = None
    respond: Callable[[Call], dict[str, Any]] = snapshot
    id: UUID = field(default_factory=new_uuid7)
    attempt_id: UUID = field(default_factory=new_uuid7)


def accept_call(
    db: Database,
    new: NewCall,
    *,
    idempotency: IdempotencyKey | None,
    now: datetime,
    respond: Callable[[Call], dict[str, Any]] = snapshot,
    max_queued: int = 1_000_000,
) -> Accepted:
    """One call that was judged already; else as :func:`accept_asked`, and what that has in place of a result is raised."""
    asked = Asked(
        new.agent_id,
        new.to_number,
        new.from_number,
        lambda _: new,
        now,
        test=new.test,
        idempotency=idempotency,
        respond=respond,
        id=new.id,
        attempt_id=new.attempt_id,
    )
    (done,) = accept_asked(db, new.tenant_id, [asked], max_queued=max_queued)
    if isinstance(done, Exception):
        raise done
    return done


def accept_asked(
    db: Database, tenant_id: UUID, asked: Sequence[Asked], *, max_queued: int, again: bool = False
) -> list[Accepted | Exception]:
    """Call, first attempt, event ``call.queued``, webhook and idempotency row of each, in one transaction.

    ``max_queued``: attempts that a tenant without a bound of its own may have queued. In place of a result, in order, is
    why that one was not accepted: :class:`QueueFull` (never for a repetition under the same key), ``IdempotencyMismatch``,
    ``IdempotencyInFlight``, :class:`UnknownAgent`, :class:`UnknownTenant`, what its ``plan`` and ``respond`` raised,
    ``ValueError`` (priority, route), ``psycopg.errors.CheckViolation`` (what validation let through). Raises
    ``psycopg.OperationalError`` and ``InterfaceError``, which are of all. ``again``: they may be committed already.
    """
    tries = 0

    def unit(conn: Conn) -> list[Accepted | Exception]:
        nonlocal tries
        tries += 1
        return _accept(conn, tenant_id, asked, max_queued, again=again or tries > 1)

    try:
        return db.run(unit, attempts=3, pipeline=True)
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise
    except errors.UniqueViolation as error:
        if again:
            return [error] if len(asked) == 1 else _one_by_one(db, tenant_id, asked, max_queued)
        # A try before this one was committed though its connection was lost: the ids are taken.
        try:
            return accept_asked(db, tenant_id, asked, max_queued=max_queued, again=True)
        except psycopg.OperationalError as lost:
            # Not as it is: a connection that could not be had would say that nothing was committed.
            raise psycopg.OperationalError("the calls are taken already, but cannot be read") from lost
    except psycopg.Error as error:
        return [error] if len(asked) == 1 else _one_by_one(db, tenant_id, asked, max_queued)


def _one_by_one(db: Database, tenant_id: UUID, asked: Sequence[Asked], max_queued: int) -> list[Accepted | Exception]:
    """One of them cannot be written, and took the others with it. What fails for one is that one's: others are committed."""
    done: list[Accepted | Exception] = []
    for one in asked:
        try:
            done += accept_asked(db, tenant_id, [one], max_queued=max_queued, again=True)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            done.append(error)
    return done


def _accept(
    conn: Conn, tenant_id: UUID, asked: Sequence[Asked], max_queued: int, *, again: bool
) -> list[Accepted | Exception]:
    """In a pipeline, two round trips: what is asked, and what is written."""
    ours = _written(conn, tenant_id, asked) if again else {}
    same_keys = _same_keys(conn, tenant_id, asked)
    found = conn.execute(_SQL["context"], {"tenant_id": tenant_id})
    known = permission.ask_each(conn, tenant_id, asked)
    waiting = backlog.ask(conn, tenant_id)
    earlier = same_keys()
    row = found.fetchone()
    if row is None:
        return [UnknownTenant(f"tenant_id: there is no tenant {tenant_id}") for _ in asked]
    *about, entered = row
    done: dict[UUID, Accepted | Exception] = {}
    planned: list[tuple[Asked, NewCall, bool]] = []
    for one, (facts, agent_paused) in zip(asked, known(), strict=True):
        try:
            if one.id in ours:
                done[one.id] = Accepted(ours[one.id], one.attempt_id, ours[one.id].lane, None)
            elif (repeated := earlier(one)) is not None:
                done[one.id] = repeated
            else:
                planned.append((one, _planned(one, facts, agent_paused), bool(agent_paused)))
        except Exception as refusal:  # noqa: BLE001 that one is told, and that one alone
            done[one.id] = refusal
    queue = waiting() if entered else backlog.after_batch(conn, tenant_id)
    room, full = backlog.places(conn, tenant_id, queue, len(planned), max_queued)
    done.update({one.id: full(room) for one, _, _ in planned[room:]})
    done.update(_write(conn, Context(*about), planned[:room]))
    crash_point("accept.written")
    conn.execute("COMMIT")  # with what is under way, in the round trip that ends the pipeline; conn.commit() is one more
    return [done[one.id] for one in asked]


def _planned(one: Asked, known: Known, agent_paused: bool | None) -> NewCall:
    new = one.plan(known)
    if agent_paused is None:
        raise UnknownAgent("agent_id: no such agent: create it first or use the id of one of yours")
    if (new.id, new.attempt_id) == (one.id, one.attempt_id):
        return new
    return replace(new, id=one.id, attempt_id=one.attempt_id)


def _write(conn: Conn, context: Context, planned: Sequence[tuple[Asked, NewCall, bool]]) -> dict[UUID, Accepted | Exception]:
    """Sends the rows of each, and waits for nothing; by id."""
    done: dict[UUID, Accepted | Exception] = {}
    rows, keys = Rows(), list[dict[str, object]]()
    for one, new, held in planned:
        try:
            call, url = queued(new, context, one.now)
            if one.idempotency is not None:
                keys.append(_remembered(call, one.idempotency, one.respond(call), one.now))
        except Exception as refusal:  # noqa: BLE001 that one is told, and that one alone
            done[one.id] = refusal
            continue
        rows.add(call, url, new, one.now)
        done[one.id] = Accepted(call, one.attempt_id, call.lane, None, held=held)
    for step in rows.steps():
        conn.execute(*step)
    for key in keys:
        conn.execute(_SQL["remember_key"], key)
    if rows.told:
        notify(conn)
    return done


def _remembered(call: Call, key: IdempotencyKey, response: dict[str, Any], now: datetime) -> dict[str, object]:
    return {
        "tenant_id": call.tenant_id,
        "key": key.key,
        "fingerprint": key.fingerprint,
        "call_id": call.id,
        "response": Jsonb(response),
        "now": now,
    }


def _written(conn: Conn, tenant_id: UUID, asked: Sequence[Asked]) -> dict[UUID, Call]:
    ids = [one.id for one in asked]
    return {call.id: call for call in all_rows(conn, Call, _SQL["find_calls"], {"tenant_id": tenant_id, "ids": ids})}


def _same_keys(conn: Conn, tenant_id: UUID, asked: Sequence[Asked]) -> Callable[[], Callable[[Asked], Accepted | None]]:
    """Take (in the pipeline) the lock of each key, and ask for earlier requests with it. The result waits for the answer:
    what is there for one that is asked, None: nothing. It raises ``IdempotencyInFlight`` and ``IdempotencyMismatch``.
    """
    keyed = {one.idempotency.key: (one, one.idempotency) for one in reversed(asked) if one.idempotency is not None}
    if not keyed:
        return lambda: lambda _: None
    since = [key.since(one.now) for one, key in keyed.values()]
    params = {"tenant_id": tenant_id, "keys": list(keyed), "since": since}
    locks = conn.execute(_SQL["take_keys"], params)
    rows = conn.execute(_SQL["find_keys"], params)

    def answer() -> Callable[[Asked], Accepted | None]:
        turns = {key for key, (got,) in zip(keyed, locks, strict=True) if got}
        earlier = {row[0]: row[1:] for row in rows}

        def found(one: Asked) -> Accepted | None:
            if one.idempotency is None:
                return None
            name = one.idempotency.key
            if name not in turns or keyed[name][0] is not one:
                raise in_flight()
            return None if name not in earlier else _earlier(one, one.idempotency, *earlier[name])

        return found

    return answer


def _earlier(
    one: Asked, key: IdempotencyKey, fingerprint: bytes, response: dict[str, Any], attempt_id: UUID, *call: Any
) -> Accepted:
    key.require_same(fingerprint)
    stored = Call(*call)  # the part "call" has the order of its fields
    # Our own earlier try, committed though its connection was lost, is no repetition.
    return Accepted(stored, attempt_id, stored.lane, None if stored.id == one.id else response)
