"""Accepting a call: one transaction writes all of it, once per idempotency key, as long as the tenant's queue has room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg import errors
from psycopg.types.json import Jsonb

from calls.consent import Consent
from calls.ids import new_uuid7
from calls.lanes import lane_name
from calls.places import Recipient
from calls.rules import RetryRules
from calls.windows import RecipientWindow, Window
from crashpoint import crash_point
from store import backlog
from store.backlog import QueueFull
from store.idempotency import IdempotencyKey, require_turn
from store.outbox import outbox_row
from store.pool import Conn, Database
from store.queries import load
from store.records import clean, one_row, recordset
from store.rows import Call, queued_attempt
from store.snapshot import snapshot, webhook_body

_SQL = load("calls")
_OUTBOX = load("outbox")


class UnknownAgent(LookupError):
    """The tenant has no agent of that id."""


class UnknownTenant(LookupError):
    """There is no tenant of that id."""


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call as it was asked for, already validated. Times are aware; ``*_s`` are seconds.

    ``retry``: the rules it goes by, None: the platform's, whatever they will be. ``due_at`` lies in its ``window``, and a
    dial may begin until ``dial_until``. ``recording``: start, notice, days; None: it is not recorded.
    ``test``: of a test key, by the test route. ``decision``: what the rules said to it (calls/verdict.py). The ids are the
    caller's, so that accepting the same NewCall again after a lost connection is harmless.
    """

    tenant_id: UUID
    agent_id: UUID
    to_number: str
    from_number: str
    route: str
    due_at: datetime
    expires_at: datetime
    max_attempts: int
    ring_timeout_s: int
    max_duration_s: int
    priority: str = "normal"
    metadata: dict[str, Any] = field(default_factory=dict)
    agent_variables: dict[str, Any] = field(default_factory=dict)
    client_reference: str | None = None
    webhook_url: str | None = None
    retry: RetryRules | None = None
    window: Window | RecipientWindow | None = None
    dial_until: datetime | None = None
    recording: dict[str, Any] | None = None
    recipient: Recipient | None = None
    consent: Consent | None = None
    decision: dict[str, Any] | None = None
    webhook: dict[str, Any] | None = None  # {"endpoint_id", "events"}, where it asks for its own
    test: bool = False
    id: UUID = field(default_factory=new_uuid7)
    attempt_id: UUID = field(default_factory=new_uuid7)


@dataclass(frozen=True, slots=True)
class Accepted:
    """``replay`` is what the first request with this key was answered, None for a call accepted now. ``held``: its agent is
    paused, so it is not to be laned.
    """

    call: Call
    attempt_id: UUID
    lane: str
    replay: dict[str, Any] | None
    held: bool = False


def accept_call(
    db: Database,
    new: NewCall,
    *,
    idempotency: IdempotencyKey | None,
    now: datetime,
    respond: Callable[[Call], dict[str, Any]] = snapshot,
    max_queued: int = 1_000_000,
) -> Accepted:
    """Call, first attempt, event ``call.queued``, webhook and idempotency row in one transaction.

    ``respond`` makes the answer that a repetition of the request will be given. ``max_queued``: attempts that a tenant
    without a bound of its own may have queued. Nothing is written when it raises: :class:`QueueFull` (never for a
    repetition under the same key), ``IdempotencyMismatch``, ``IdempotencyInFlight``, :class:`UnknownAgent`,
    :class:`UnknownTenant`, ``ValueError`` (priority, route), ``psycopg.errors.CheckViolation`` (what validation let
    through).
    """
    call = queued_call(new, now)
    tries = 0

    def unit(conn: Conn) -> Accepted:
        nonlocal tries
        tries += 1
        return _accept(conn, call, new, idempotency, now, respond, max_queued)

    try:
        return db.run(unit, attempts=3)
    except (errors.UniqueViolation, QueueFull) as refusal:
        if isinstance(refusal, QueueFull) and tries == 1:
            raise
        # A try before this one was committed though its connection was lost: the ids are taken, or its call took the last
        # place in the queue.
        try:
            with db.connection() as conn:
                stored = one_row(conn, Call, _SQL["get"], {"tenant_id": new.tenant_id, "id": new.id})
        except psycopg.OperationalError as error:
            # Not as it is: a connection that could not be had would say that nothing was committed.
            raise psycopg.OperationalError("the call is taken already, but cannot be read") from error
        if stored is None:
            raise
        return Accepted(stored, new.attempt_id, stored.lane, None)


def queued_call(new: NewCall, now: datetime, batch_id: UUID | None = None) -> Call:
    """The call as a row, before what the database knows of its tenant (:func:`placed`). ``batch_id``: posted with others."""
    return Call(
        id=new.id,
        tenant_id=new.tenant_id,
        agent_id=new.agent_id,
        to_number=new.to_number,
        from_number=new.from_number,
        priority=new.priority,
        route=new.route,
        lane=lane_name(new.priority, new.tenant_id, new.route),
        status="queued",
        status_at=now,
        end_reason=None,
        sip_code=None,
        q850_cause=None,
        hangup_by=None,
        answered_by=None,
        attempt_count=1,
        max_attempts=new.max_attempts,
        ring_timeout_s=new.ring_timeout_s,
        max_duration_s=new.max_duration_s,
        cancel_requested=False,
        due_at=new.due_at,
        expires_at=new.expires_at,
        metadata=new.metadata,
        agent_variables=new.agent_variables,
        client_reference=clean(new.client_reference),
        webhook_url=new.webhook_url,
        recording=new.recording,
        sequence=0,
        created_at=now,
        answered_at=None,
        ended_at=None,
        retry=None if new.retry is None else new.retry.as_dict(),
        dial_window=None if new.window is None else new.window.as_dict(),
        recipient=None if new.recipient is None else new.recipient.as_dict(),
        consent=None if new.consent is None else new.consent.as_dict(),
        batch_id=batch_id,
        test=new.test,
    )


def placed(
    call: Call, hook: str | None, canceled_before: datetime | None, clock: datetime, now: datetime
) -> tuple[Call, str | None]:
    """The call as it is written, and where its webhooks go. ``hook``: the tenant's address, ``clock``: the database's."""
    url = call.webhook_url or hook
    created_at, due_at = call.created_at, call.due_at
    if canceled_before is not None and created_at <= canceled_before:
        # Accepted after all was canceled, by a host whose clock is behind: the mark is not meant for it.
        created_at = canceled_before + timedelta(microseconds=1)
    if due_at <= now:
        # Due at once, by the clock that the claim will go by: one of ours that is ahead must not delay it.
        due_at = min(due_at, clock)
    return replace(call, sequence=1 if url else 0, created_at=created_at, due_at=due_at), url


def _accept(
    conn: Conn,
    call: Call,
    new: NewCall,
    idempotency: IdempotencyKey | None,
    now: datetime,
    respond: Callable[[Call], dict[str, Any]],
    max_queued: int,
) -> Accepted:
    with conn.pipeline():
        known = _same_key(conn, call, idempotency, now) if idempotency else None
        context = conn.execute(_SQL["context"], {"tenant_id": call.tenant_id, "agent_id": call.agent_id})
        waiting = backlog.ask(conn, call.tenant_id)
        if idempotency and known:
            repeated = known()
            if repeated is not None:
                return _replay(conn, call, idempotency, *repeated)
        row = context.fetchone()
        if row is None:
            raise UnknownTenant(f"tenant_id: there is no tenant {call.tenant_id}")
        hook, agent_paused, clock, canceled_before, entered = row
        if agent_paused is None:
            raise UnknownAgent("agent_id: no such agent: create it first or use the id of one of yours")
        queue = waiting() if entered else backlog.after_batch(conn, call.tenant_id)
        backlog.refuse_if_full(conn, call.tenant_id, queue, max_queued)
        call, url = placed(call, hook, canceled_before, clock, now)
        conn.execute(_SQL["accept"], columns(call, new))
        if url:
            attempt = queued_attempt(new.attempt_id, call, number=1, due_at=call.due_at, now=now, dial_until=new.dial_until)
            body = webhook_body("call.queued", now, call, attempt)
            conn.execute(_OUTBOX["insert"], {"rows": recordset([outbox_row(call, "call.queued", body, url, now)])})
            conn.execute(_OUTBOX["notify"])
        if idempotency:
            conn.execute(
                _SQL["remember_key"],
                {
                    "tenant_id": call.tenant_id,
                    "key": idempotency.key,
                    "fingerprint": idempotency.fingerprint,
                    "call_id": call.id,
                    "response": Jsonb(respond(call)),
                    "now": now,
                },
            )
        crash_point("accept.written")
        conn.execute("COMMIT")  # with what is under way, in the round trip that ends the pipeline; conn.commit() is one more
    return Accepted(call, new.attempt_id, call.lane, None, held=agent_paused)


def _same_key(
    conn: Conn, call: Call, idempotency: IdempotencyKey, now: datetime
) -> Callable[[], tuple[bytes, UUID, dict[str, Any]] | None]:
    """Ask (in the pipeline) for an earlier request with the key; the result waits for the answer."""
    params = {"tenant_id": call.tenant_id, "key": idempotency.key, "since": idempotency.since(now)}
    lock = conn.execute(_SQL["try_key"], params)
    earlier = conn.execute(_SQL["find_key"], params)

    def answer() -> tuple[bytes, UUID, dict[str, Any]] | None:
        require_turn(lock)
        return earlier.fetchone()

    return answer


def _replay(
    conn: Conn,
    call: Call,
    idempotency: IdempotencyKey,
    fingerprint: bytes,
    call_id: UUID,
    response: dict[str, Any],
) -> Accepted:
    idempotency.require_same(fingerprint)
    stored = one_row(conn, Call, _SQL["get"], {"tenant_id": call.tenant_id, "id": call_id})
    latest = conn.execute(_SQL["latest_attempt"], {"call_id": call_id}).fetchone()
    assert stored is not None
    assert latest is not None
    # Our own earlier try, committed though its connection was lost, is no repetition.
    return Accepted(stored, latest[0], stored.lane, None if call_id == call.id else response)


def columns(call: Call, new: NewCall) -> dict[str, object]:
    """What is written of the call and of its first attempt, by name."""
    return {
        **{name: getattr(call, name) for name in Call.__dataclass_fields__},
        "metadata": Jsonb(call.metadata),
        "agent_variables": Jsonb(call.agent_variables),
        "retry": None if call.retry is None else Jsonb(call.retry),
        "dial_window": None if call.dial_window is None else Jsonb(call.dial_window),
        "recording": None if call.recording is None else Jsonb(call.recording),
        "recipient": None if call.recipient is None else Jsonb(call.recipient),
        "consent": None if call.consent is None else Jsonb(call.consent),
        "decision": None if new.decision is None else Jsonb(new.decision),
        "webhook": None if new.webhook is None else Jsonb(new.webhook),
        "attempt_id": new.attempt_id,
        "dial_until": new.dial_until,
    }
