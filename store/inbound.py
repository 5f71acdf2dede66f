"""Calls that come in: whose number was called, and the call and its one attempt that are made of it."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import errors
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from calls.ids import new_uuid7
from calls.inbound import ROUTE, Source, carrier_of, number_of
from calls.lanes import inbound_lane
from calls.recording import usual_start
from store.outbox import outbox_row
from store.pool import Conn, Database
from store.queries import load
from store.records import clean, recordset
from store.rows import Call, queued_attempt
from store.snapshot import webhook_body

_SQL = load("inbound")
_OUTBOX = load("outbox")


@dataclass(frozen=True, slots=True)
class Line:
    """A number that is called. ``paused``: its agent or its tenant takes no calls now. ``hook``: where webhooks go.
    ``counts_inbound``: whether the number's own carrier counts what it places.
    """

    number: str
    tenant_id: UUID
    agent_id: UUID
    carrier_id: UUID | None
    pool: str | None
    hook: str | None
    paused: bool
    counts_inbound: bool
    recording: str
    recording_allowed: str
    recording_notice: str | None
    recording_days: int | None
    seats: str | None = None  # of its agent: the pool of the fleet

    def recorded(self, days: int | None) -> dict[str, Any] | None:
        """As its account has it, for a caller cannot say: start, notice, days. ``days`` None: nothing is recorded here."""
        start = usual_start(self.recording, self.recording_allowed)
        if start is None or days is None:
            return None
        notice = self.recording_notice if start == "after_notice" else None
        return {"start": start, "notice": notice, "days": self.recording_days or days}

    @property
    def lane(self) -> str:
        """What its calls count in."""
        return inbound_lane(self.tenant_id, self.pool, self.seats)


@dataclass(frozen=True, slots=True)
class Offer:
    """A call that waits on ``switch``. ``attempt_id`` is its channel; ``host``, ``port``: who sent it, as the switch saw it.
    ``dialed`` and ``caller`` are what the carrier sent, fit for a log; ``sip_call_id`` is the carrier's own.
    """

    attempt_id: UUID
    switch: str
    at: datetime
    from_number: str
    dialed: str
    caller: str
    host: str
    port: int | None
    sip_call_id: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What is set for every call that comes in; seconds. ``pdd_s``: until it has to ring. ``recording_days``: how long
    recordings are kept, None: none are made here.
    """

    ring_timeout_s: int
    max_duration_s: int
    pdd_s: int
    recording_days: int | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """The attempt as it is now. ``new``: it was made by this very request; ``fence`` None: it was refused."""

    call_id: UUID
    state: str
    fence: int | None
    new: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """What decides on an offer. ``before``: what was made of it already; ``line`` None: nobody's number; ``carrier_id``:
    whose channel the call takes, None: no carrier counts it.
    """

    before: Taken | None
    drained: bool
    line: Line | None
    carrier_id: UUID | None


def ask(db: Database, offer: Offer) -> Asked:
    """All that is to be known before it is decided; one round trip, for callers wait."""
    number = number_of(offer.dialed)
    with db.connection() as conn:
        with conn.pipeline():
            known = conn.execute(_SQL["known"], {"attempt_id": offer.attempt_id})
            drained = conn.execute(_SQL["drained"], {"switch": offer.switch})
            called = conn.cursor(row_factory=class_row(Line)).execute(_SQL["line"], {"number": number})
            sources = conn.execute(_SQL["sources"])
        row, line = known.fetchone(), called.fetchone()
        carriers = sources.fetchall()
        is_drained = drained.fetchone() is not None
    before = None if row is None else Taken(row[0], row[1], row[2], new=False)
    if line is None:
        return Asked(before, is_drained, None, None)
    found = carrier_of([_source(*one[:2]) for one in carriers], offer.host, offer.port, line.carrier_id)
    counting = {one[0] for one in carriers if one[2]} | ({line.carrier_id} if line.counts_inbound else set())
    return Asked(before, is_drained, line, found if found in counting else None)


def _source(carrier_id: UUID, address: str) -> Source:
    """An endpoint as where its carrier calls from."""
    host, _, port = address.rpartition(":")
    with suppress(ValueError):  # else it is as it is written, and no address that the switch names
        host = str(ipaddress.ip_address(host.strip("[]")))
    return Source(carrier_id, host, int(port))


def accept(
    db: Database,
    offer: Offer,
    line: Line,
    *,
    carrier_id: UUID | None,
    fence: int | None,
    terms: Terms,
    clock: datetime | None = None,
) -> Taken:
    """Call, attempt, event and webhook in one transaction, or what was made of the channel before.

    ``fence``: of its lease; None: it is to be refused. ``clock``: what time it is, None: as the database says.
    """
    known: dict[str, Any] = {
        **dict.fromkeys(Call.__dataclass_fields__),
        "id": new_uuid7(),
        "tenant_id": line.tenant_id,
        "agent_id": line.agent_id,
        "to_number": line.number,
        "from_number": offer.from_number,
        "priority": "normal",
        "route": ROUTE,
        "lane": line.lane,
        "status": "dialing",
        "attempt_count": 1,
        "max_attempts": 1,
        "ring_timeout_s": terms.ring_timeout_s,
        "max_duration_s": terms.max_duration_s,
        "cancel_requested": False,
        "metadata": {},
        "agent_variables": {},
        "sequence": 0 if line.hook is None else 1,
        "direction": "inbound",
        "test": False,
        "recording": line.recorded(terms.recording_days),
        "recording_ids": [],
    }
    params = {
        **known,
        "recording": None if known["recording"] is None else Jsonb(known["recording"]),
        "attempt_id": offer.attempt_id,
        "switch": offer.switch,
        "carrier_id": carrier_id,
        "fence": fence,
        "pdd_s": terms.pdd_s,
        "clock": clock,
        "source": "budget",
        "data": Jsonb(_facts(offer)),
    }

    def unit(conn: Conn) -> Taken:
        with conn.pipeline():
            written = conn.execute(_SQL["accept"], params)
            there = conn.execute(_SQL["known"], params)
        made = written.fetchone()
        if made is not None and line.hook is not None:
            now, expires_at, carrier = made
            call = Call(**{**known, "status_at": now, "due_at": now, "created_at": now, "expires_at": expires_at})
            queued = queued_attempt(offer.attempt_id, call, number=1, due_at=now, now=now)
            attempt = replace(queued, inbound=True, carrier=carrier)
            body = webhook_body("call.received", now, call, attempt)
            conn.execute(_OUTBOX["insert"], {"rows": recordset([outbox_row(call, "call.received", body, line.hook, now)])})
            conn.execute(_OUTBOX["notify"])
        row = there.fetchone()
        assert row is not None
        call_id, state, holds = row
        return Taken(call_id, state, holds, made is not None)

    try:
        return db.run(unit)
    except errors.UniqueViolation:
        return db.run(unit)  # another controller was at it in the same moment


def _facts(offer: Offer) -> dict[str, Any]:
    """What a support desk asks for."""
    facts = {
        "switch": offer.switch,
        "dialed": offer.dialed,
        "caller": offer.caller,
        "peer": offer.host if offer.port is None else f"{offer.host}:{offer.port}",
        "sip_call_id": clean(offer.sip_call_id),
    }
    return {name: value for name, value in facts.items() if value}


def refuse(db: Database, switch: str, reason: str, number: str, now: datetime) -> None:
    """A caller was sent away, and no call is made of it: counted."""
    with db.connection() as conn:
        conn.execute(_SQL["refuse"], {"switch": switch, "reason": reason, "number": number, "now": now})
