"""What the enterprise is still to hear: one row per event, gapless ``sequence`` per call, and its deliveries, by leases.

Whoever changes a call writes the event. A dispatcher makes of it one delivery per endpoint (:func:`expand`), sends it, and
says how it went. One that dies leaves its deliveries to the next after ``lease_s``; the webhook-id (``Delivery.event_id``)
is the same on every try and at every endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from calls.ids import new_uuid7, uuid7
from calls.webhook_events import ENDS
from store.pool import Conn, Database
from store.queries import load
from store.records import clean
from store.rows import Call
from store.snapshot import stamp
from store.webhook_notice import tell_disabled

_SQL = load("outbox")

#: Tries that a delivery's log keeps, the latest ones.
LOGGED = 40


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook to send now: ``body`` to ``url``, signed with ``secret`` and, while that is new, ``old_secret`` (raw bytes).

    ``tries`` with this one, since ``since``: when it was written or, ``replays`` > 0, replayed. ``lane`` 0: an end.
    """

    id: UUID
    event_id: UUID
    tenant_id: UUID
    endpoint_id: UUID | None
    call_id: UUID | None
    sequence: int | None
    type: str
    lane: int
    tries: int
    replays: int
    since: datetime
    body: dict[str, Any]
    url: str
    secret: bytes
    old_secret: bytes | None = None

    @property
    def secrets(self) -> list[bytes]:
        return [self.secret] if self.old_secret is None else [self.secret, self.old_secret]


@dataclass(frozen=True, slots=True)
class Tried:
    """How one try went: HTTP status (None: no answer), why it failed (None: it did not), how long it took, and the first
    bytes of the reply as text.
    """

    at: datetime
    code: int | None
    error: str | None
    latency_ms: int
    reply: str | None
    replay: bool = False

    def as_json(self) -> Jsonb:
        return Jsonb(
            {
                "at": stamp(self.at),
                "code": self.code,
                "error": clean(self.error),
                "latency_ms": self.latency_ms,
                "reply": None if self.reply is None else self.reply.replace("\x00", "\ufffd"),
                "replay": self.replay,
            }
        )


def outbox_row(call: Call, kind: str, body: dict[str, Any], url: str, now: datetime) -> dict[str, object]:
    """One webhook as a row of the outbox; ``call.sequence`` is its sequence. Writes nothing."""
    return {
        "id": new_uuid7(),
        "tenant_id": call.tenant_id,
        "call_id": call.id,
        "sequence": call.sequence,
        "type": kind,
        "body": body,
        "url": url,
        "next_at": now,
        "created_at": now,
    }


def expand(
    db: Database, now: datetime, limit: int, room: int, lease_s: float, ends_room: int | None = None
) -> tuple[int, list[Delivery]]:
    """Make deliveries of at most ``limit`` events that are due: how many events, and the first of their deliveries: ends,
    ``ends_room`` at most (None: ``room``), then others up to ``room`` of both. Nobody else gets these for ``lease_s``
    seconds. The rest waits for :func:`claim_due`.
    """
    params = {
        "now": now,
        "limit": limit,
        "room": room,
        "ends_room": room if ends_room is None else ends_room,
        "until": now + timedelta(seconds=lease_s),
        "ends": list(ENDS),
    }
    rows = _rows(db, "expand", params)
    return rows[0]["events"], [_delivery(row) for row in rows if row["id"] is not None]


def claim_due(db: Database, now: datetime, room: int, lease_s: float, ends_room: int | None = None) -> list[Delivery]:
    """Deliveries due at ``now``: ends, ``ends_room`` at most (None: ``room``), then others up to ``room`` of both; oldest
    due first. Nobody else gets them for ``lease_s`` seconds.
    """
    until = now + timedelta(seconds=lease_s)
    ends = room if ends_room is None else ends_room
    rows = _rows(db, "claim_due", {"now": now, "room": room, "ends_room": ends, "until": until})
    return [_delivery(row) for row in rows if not row["off"]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a try of a delivery went. ``next_at``: of one that failed, when it is tried again; None: never.

    ``gone``: the receiver wants nothing any more.
    """

    delivery_id: UUID
    tried: Tried
    next_at: datetime | None = None
    gone: bool = False

    @property
    def delivered(self) -> bool:
        return self.tried.error is None


def record(db: Database, outcomes: Sequence[Outcome], *, patience: timedelta = timedelta(days=5)) -> list[UUID]:
    """Write them down in one transaction. What another dispatcher has delivered meanwhile stays delivered.

    A receiver that is gone, or that has only failed for longer than ``patience``, disables its endpoint, and the account's
    other endpoints are told: those endpoints are the result.
    """
    in_order = sorted(outcomes, key=lambda outcome: outcome.delivery_id)

    def unit(conn: Conn) -> list[UUID]:
        with conn.pipeline():
            asked = [
                conn.execute(_SQL["delivered" if one.delivered else "failed"], _params(one, patience)) for one in in_order
            ]
            hit = [
                (row[0], one.tried.at)
                for one, cursor in zip(in_order, asked, strict=True)
                if not one.delivered and (row := cursor.fetchone()) is not None
            ]
        for endpoint_id, at in hit:
            tell_disabled(conn, endpoint_id, at)
        if hit:
            notify(conn)
        return [endpoint_id for endpoint_id, _ in hit]

    return db.run(unit, lost=False) if outcomes else []


def _params(one: Outcome, patience: timedelta) -> dict[str, object]:
    return {
        "id": one.delivery_id,
        "code": one.tried.code,
        "error": clean(one.tried.error),
        "now": one.tried.at,
        "next_at": one.next_at,
        "attempt": one.tried.as_json(),
        "most": LOGGED,
        "gone": one.gone,
        "failing_before": one.tried.at - patience,
    }


def hand_back(db: Database, when: Mapping[UUID, datetime], reason: str) -> None:
    """They were claimed and not tried: not before the time of each again, and no try was used up. Where Postgres forgets
    that in a crash they are due when their lease is over.
    """
    params = {"ids": list(when), "next_at": list(when.values()), "reason": clean(reason)}
    with db.connection() as conn, conn.pipeline():
        conn.execute(_SQL["unhurried"])
        conn.execute(_SQL["hand_back"], params)


def notify(conn: Conn) -> None:
    """Wake the dispatchers when this transaction is committed."""
    conn.execute(_SQL["notify"])


def backlog(db: Database) -> int:
    """Events that are no deliveries yet, and deliveries neither made nor given up."""
    with db.connection() as conn:
        row = conn.execute(_SQL["backlog"]).fetchone()
    return int(row[0]) if row else 0


def forget(db: Database, before: datetime, limit: int) -> int:
    """Remove up to ``limit`` deliveries that are over and events that were told of, from before ``before``; how many."""
    params = {"before": uuid7(before, bytes(10)), "limit": limit}
    with db.connection() as conn:
        return sum(conn.execute(_SQL[name], params).rowcount for name in ("forget_deliveries", "forget_events"))


def _rows(db: Database, name: str, params: Mapping[str, object]) -> list[dict[str, Any]]:
    with db.connection() as conn, conn.cursor(row_factory=dict_row) as cursor, conn.pipeline():
        # Not waited for: a claim that Postgres forgets in a crash is made again, and whatever came of it is written later.
        conn.execute(_SQL["unhurried"])
        return cursor.execute(_SQL[name], params).fetchall()


_FIELDS = tuple(field.name for field in fields(Delivery))


def _delivery(row: Mapping[str, Any]) -> Delivery:
    return Delivery(**{name: row[name] for name in _FIELDS})
