"""What became of the calls given to each carrier, and the verdicts that were drawn from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from store.pool import Database
from store.queries import load
from store.records import all_rows, recordset

_SQL = load("outcomes")

#: The newest calls of a carrier that one look visits; s: those of the last so many it visits too, however many, up to MOST.
NEWEST, WAITING_S, MOST = 400, 35.0, 4000
#: Of these it takes so many whose fate is known, and so many that wait.
KNOWN, WAITS = 120, 400
#: Changes of state that are kept of a carrier.
KEEP = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """A dialed attempt, as far as it says something of its carrier. ``tenant`` (hex id) and ``route`` are from its lane;
    ``prefix``, the called number's first three digits, only where it was asked for.
    """

    carrier_id: UUID
    claimed_at: datetime
    ringing_at: datetime | None
    early_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    evidence: str | None
    end_reason: str | None
    retry_class: str | None
    cause: str | None
    sip_code: int | None
    sip_phrase: str | None
    switch: str | None
    tenant: str
    route: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a carrier stands, or stood. ``figures`` are calls.health.Figures as they were at ``seen_at``."""

    carrier_id: UUID
    state: str
    score: int
    why: str
    since: datetime
    seen_at: datetime
    stops: int
    pause_until: datetime | None
    judged_from: datetime | None
    own_pdd_s: float | None
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class GatewayState:
    """A way to a carrier as a switch sees it by its pings; ``ping_ms`` None: it does not ping."""

    carrier_id: UUID
    gateway: str
    switch: str
    up: bool
    since: datetime
    seen_at: datetime
    ping_ms: float | None


def recent(db: Database, since: datetime, now: datetime) -> dict[UUID, list[Outcome]]:
    """Per carrier its calls dialed after ``since``, newest first, a bounded number; carriers without any are left out."""
    params = {
        "since": since,
        "waiting": now - timedelta(seconds=WAITING_S),
        "newest": NEWEST,
        "most": MOST,
        "know": KNOWN,
        "wait": WAITS,
    }
    found: dict[UUID, list[Outcome]] = {}
    with db.connection() as conn:
        for row in all_rows(conn, Outcome, _SQL["recent"], params):
            found.setdefault(row.carrier_id, []).append(row)
    return found


def by_route(db: Database, carrier_id: UUID, since: datetime, scan: int = 5000) -> list[Outcome]:
    """The carrier's latest calls with their route and prefix, for a report; at most ``scan``."""
    params = {"carrier_id": carrier_id, "since": since, "scan": scan}
    with db.connection() as conn:
        return all_rows(conn, Outcome, _SQL["by_route"], params)


def standings(db: Database) -> dict[UUID, Standing]:
    """The latest verdict of each carrier that has one."""
    with db.connection() as conn:
        return {row.carrier_id: row for row in all_rows(conn, Standing, _SQL["standings"])}


def history(db: Database, carrier_id: UUID, count: int = 20) -> list[Standing]:
    """The latest changes of a carrier's state, newest first."""
    with db.connection() as conn:
        return all_rows(conn, Standing, _SQL["history"], {"carrier_id": carrier_id, "count": count})


def write(db: Database, entered: Sequence[Standing], refreshed: Iterable[Standing]) -> None:
    """Writes new states, and what has changed of those that stay; a carrier that is gone is left out."""
    with db.connection() as conn, conn.pipeline():
        if entered:
            conn.execute(_SQL["enter"], {"rows": recordset([asdict(one) for one in entered])})
            conn.execute(_SQL["forget_old"], {"keep": KEEP})
        again = [asdict(one) for one in refreshed]
        if again:
            conn.execute(_SQL["refresh"], {"rows": recordset(again)})


def gateway_seen(db: Database, *, switch: str, gateway: str, up: bool, ping_ms: float | None, now: datetime) -> None:
    """A switch says how the way to a carrier does."""
    params = {"switch": switch, "gateway": gateway, "up": up, "ping_ms": ping_ms, "now": now}
    with db.connection() as conn:
        conn.execute(_SQL["gateway_seen"], params)


def gateways(db: Database, since: datetime) -> dict[UUID, list[GatewayState]]:
    """Per carrier its enabled gateways on each switch that looked at them after ``since``."""
    found: dict[UUID, list[GatewayState]] = {}
    with db.connection() as conn, conn.cursor(row_factory=class_row(GatewayState)) as cursor:
        for row in cursor.execute(_SQL["gateways"], {"since": since}):
            found.setdefault(row.carrier_id, []).append(row)
    return found
