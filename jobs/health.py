"""The carriers' health: read from Postgres twice a second, judged by calls/health.py, written where it acts and where it
is shown. One leader at a time; what it knows beyond the calls is in ``carrier_health``, so another one goes on from there.

Redis is told again whenever it does not hold the verdict: after a wipe, a restart, a leader that died in between.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from budget import health as budget_health
from budget.connect import connect
from calls.dialed import dialed
from calls.health import Figures, Gateway, Health, History, State, assess
from calls.health_rules import Rules
from jobs.stop import stop_on_signals
from jobs.version import STAND_BACK_S, OtherScripts, refuse_newer
from settings import Settings
from store import carriers, epoch, outcomes, switches
from store.leader import Leader
from store.outcomes import Standing
from store.pool import Database, open_database

log = logging.getLogger(__name__)

#: s; score and figures of a state that stays are written down this often at most.
REFRESH_S = 5.0
#: s; more than this beside the interval between two looks: Postgres was away, and what was seen meanwhile comes late.
BREAK_S = 2.0
_BUDGET: dict[State, Literal["ok", "stopped", "probing"]] = {
    State.OK: "ok",
    State.SLOWED: "ok",
    State.STOPPED: "stopped",
    State.PROBING: "probing",
}


@dataclass
class _Short:
    """Probes that are wanted and that nobody will send: the budget has fewer left than are to come."""

    wanted: int
    left: int
    since: float  # monotonic


class Desk:
    """The health of every carrier, look by look."""

    def __init__(self, db: Database, redis: Redis, settings: Settings) -> None:
        self._db, self._redis, self._settings = db, redis, settings
        self._rules = Rules.of(settings)
        self._health: dict[UUID, Health] | None = None
        self._written: dict[UUID, Standing] = {}
        self._short: dict[UUID, _Short] = {}
        self._listening: dict[str, datetime] = {}
        self._looked_at: datetime | None = None

    def forget(self) -> None:
        """Another may lead meanwhile: the next look begins from what is written down."""
        self._health = None

    def look(self, now: datetime, monotonic: float) -> dict[UUID, Health]:
        """One look at every carrier; returns the verdicts. Raises ``psycopg.Error``, ``RedisError``, ``OSError``."""
        if self._health is None:
            self._written = outcomes.standings(self._db)
            self._health = {carrier: health_of(row) for carrier, row in self._written.items()}
        # What the laboratory's carrier does is what test keys ask of it: no fault of it says anything.
        names = {c.id: c.name for c in carriers.list_limits(self._db) if not c.lab}
        calls = outcomes.recent(self._db, now - timedelta(seconds=self._rules.window_s), now)
        ways = outcomes.gateways(self._db, now - timedelta(seconds=3 * self._settings.gateway_look_s))
        listening = self._listen(now)
        verdicts = {}
        for carrier in names:
            seen = [dialed(row) for row in calls.get(carrier, ())]
            gateways = [Gateway(way.gateway, way.switch, way.up) for way in ways.get(carrier, ())]
            history = History(self._health.get(carrier), seen, gateways, listening)
            verdicts[carrier] = assess(history, now, self._rules)
        self._write_down(names, verdicts, now)
        self._health = verdicts
        self._act(verdicts, monotonic)
        return verdicts

    def _listen(self, now: datetime) -> dict[str, datetime]:
        """The switches whose controllers write to Postgres, and since when without a break that we have seen."""
        fresh = timedelta(seconds=min(self._settings.reconcile_interval_s + 3, self._rules.quiet_s))
        if self._looked_at is None or now - self._looked_at > timedelta(seconds=BREAK_S + self._settings.health_interval_s):
            self._listening = {}
        self._looked_at = now
        alive = switches.live(self._db, now - fresh)
        self._listening = {name: self._listening.get(name, now) for name in alive}
        return self._listening

    def _write_down(self, names: Mapping[UUID, str], verdicts: Mapping[UUID, Health], now: datetime) -> None:
        entered, refreshed = [], []
        for carrier, health in verdicts.items():
            was = self._written.get(carrier)
            row = standing_of(carrier, health, now)
            if was is None or was.state != row.state:
                entered.append(row)
                if was is not None or health.state is not State.OK:
                    level = logging.INFO if health.state is State.OK else logging.WARNING
                    facts = {"carrier": names[carrier], "state": row.state, "score": row.score, "why": row.why}
                    log.log(level, "carrier health", extra=facts)
            elif replace(was, seen_at=row.seen_at) != row and (now - was.seen_at).total_seconds() >= REFRESH_S:
                refreshed.append(row)
        if entered or refreshed:
            outcomes.write(self._db, entered, refreshed)
            self._written |= {row.carrier_id: row for row in (*entered, *refreshed)}

    def _act(self, verdicts: Mapping[UUID, Health], monotonic: float) -> None:
        held = budget_health.standings(self._redis, verdicts)
        for carrier, health in verdicts.items():
            state, why = _BUDGET[health.state], "" if health.state is State.OK else health.why
            probes = self._probes(carrier, health, held[carrier], monotonic)
            if (held[carrier].state, held[carrier].why) == (state, why) and probes is None and health.factor >= 1:
                continue
            budget_health.set_health(
                self._redis,
                carrier,
                state,
                why,
                probes=probes,
                probe_interval_us=int(self._settings.health_probe_interval_s * 1_000_000),
                factor=health.factor,
                recover_us=int(self._settings.slow_recover_s * 1_000_000),
            )

    def _probes(self, carrier: UUID, health: Health, held: budget_health.Standing, monotonic: float) -> int | None:
        """How many probes the budget is to let through from now on; None: it has what it needs.

        A permit that came to nothing (a burned slot, a number that proves nothing) used one up. It is replaced when
        it is certain that it is not still on its way.
        """
        if health.state is not State.PROBING:
            self._short.pop(carrier, None)
            return None
        if held.state != "probing":
            self._short.pop(carrier, None)
            return health.probes
        short = self._short.get(carrier)
        if health.probes <= held.probes:
            self._short.pop(carrier, None)
        elif short is None or (short.wanted, short.left) != (health.probes, held.probes):
            self._short[carrier] = _Short(health.probes, held.probes, monotonic)
        elif monotonic - short.since > self._settings.popped_deadline_s + 1:
            self._short.pop(carrier, None)
            return health.probes
        return None


def health_of(row: Standing) -> Health:
    """The verdict that was written down."""
    known = {field.name for field in fields(Figures)}
    return Health(
        state=State(row.state),
        score=row.score,
        why=row.why,
        since=row.since,
        stops=row.stops,
        pause_until=row.pause_until,
        judged_from=row.judged_from,
        pdd_s=row.own_pdd_s,
        looked_at=row.seen_at,
        figures=Figures(**{name: value for name, value in row.figures.items() if name in known}),
    )


def standing_of(carrier: UUID, health: Health, now: datetime) -> Standing:
    """The verdict as it is written down."""
    return Standing(
        carrier_id=carrier,
        state=health.state.value,
        score=health.score,
        why=health.why,
        since=health.since,
        seen_at=now,
        stops=health.stops,
        pause_until=health.pause_until,
        judged_from=health.judged_from,
        own_pdd_s=health.pdd_s,
        figures=asdict(health.figures),
    )


def restore(db: Database, redis: Redis, settings: Settings) -> None:
    """Redis has forgotten everything: what was stopped stays stopped. For a rebuild, before its epoch opens."""
    for carrier, row in outcomes.standings(db).items():
        health = health_of(row)
        if health.state in (State.STOPPED, State.PROBING):
            # A probing carrier has had its first probes already; the next look says how many are still wanted.
            budget_health.set_health(redis, carrier, "stopped", health.why)
        elif health.state is State.SLOWED:
            budget_health.set_health(
                redis, carrier, "ok", health.why, factor=0.5, recover_us=int(settings.slow_recover_s * 1_000_000)
            )


def main(settings: Settings) -> None:
    """Runs until SIGTERM, and then to the end of its look: waits for leadership, then looks. A server that is away is
    waited for, never given up on.
    """
    stop = stop_on_signals()
    db = open_database(settings, "health", cooperative=True)
    desk = Desk(db, connect(settings), settings)
    failing, back_at = False, 0.0
    with Leader(settings.database_url, "health") as leader:
        try:
            while not stop.is_set():
                try:
                    if time.monotonic() >= back_at and leader.held():
                        refuse_newer(epoch.get(db))
                        desk.look(datetime.now(UTC), time.monotonic())
                    else:
                        desk.forget()
                    failing = False
                except (OtherScripts, psycopg.Error, RedisError, OSError) as error:
                    if not failing:
                        log.warning("health waits", extra={"error": str(error)})
                    failing = True
                    if isinstance(error, OtherScripts):
                        # What it would say, nobody would read: one of the newer version is to lead.
                        back_at = time.monotonic() + STAND_BACK_S
                        leader.close()
                        desk.forget()
                stop.wait(settings.health_interval_s)
        finally:
            db.close()
