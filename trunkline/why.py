"""Why are we not dialing: everything that could hold a call, asked in order, and one sentence at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from budget import explain
from budget.explain import CarrierNow, Held, HouseNow, LaneNow
from budget.lanes import known_lanes, lengths
from budget.scripts import VERSION
from calls.ids import call_ref
from calls.lanes import parse_lane
from settings import Settings
from store import backlog, carriers, epoch, outcomes, overview, scopes, tenants, witnesses
from store.pool import Database
from trunkline import why_caps, why_rules
from trunkline.why_words import MOVING, Names, limit, live_columns, number, remedy, span, unfit

#: Tenants with most queued, and of each the longest lanes, that are looked at.
TENANTS, LANES = 10, 4
#: s; a switch that was not spoken for so long is not in service (reconcile_interval_s, twice and a little).
SEEN_S = 25.0


@dataclass(frozen=True, slots=True)
class Reason:
    """A limit that holds calls: what it is, what to do, and for how many of the lanes that were looked at."""

    what: str
    remedy: str
    lanes: int = 0


@dataclass
class Report:
    """One look. Each part is None when its server did not answer. ``facts``: what is printed above the tables."""

    facts: list[tuple[str, str]] = field(default_factory=list)
    carriers: list[dict[str, Any]] = field(default_factory=list)
    tenants: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    sentence: str = ""
    queued: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "facts": dict(self.facts),
            "queued": self.queued,
            "carriers": self.carriers,
            "tenants": self.tenants,
            "notes": self.notes,
            "held_by": [{"what": r.what, "remedy": r.remedy, "lanes": r.lanes} for r in self.reasons],
            "sentence": self.sentence,
        }


def look(settings: Settings, db: Database | None, redis: Redis, away: str = "") -> Report:
    """One look at everything. ``db`` None: Postgres is away, as ``away`` says. Raises nothing of either server's."""
    report = Report()
    if db is None:
        report.facts.append(("Postgres", f"does not answer: {away}"))
        _redis_alone(report, redis)
        return _held(report, [Reason("Postgres: it does not answer", "start it; DATABASE_URL names it")])
    try:
        return _Look(settings, db, redis, report).run()
    except psycopg.OperationalError as error:
        report.facts.append(("Postgres", f"does not answer: {' '.join(str(error).split())}"))
        return _held(report, [Reason("Postgres: it does not answer", "start it; DATABASE_URL names it")])


def _redis_alone(report: Report, redis: Redis) -> None:
    try:
        house = explain.house(redis)
    except RedisError as error:
        report.facts.append(("Redis", f"does not answer: {error}"))
        return
    report.facts.append(("Redis", _house_words(house)))


def _house_words(house: HouseNow) -> str:
    state = f"epoch {house.epoch} open" if house.epoch is not None else "no epoch open"
    if house.rebuilding is not None:
        state = f"epoch {house.rebuilding} is being rebuilt"
    return (
        f"answers; {state}, {house.lanes} lanes, {house.overflowing} with more behind them in Postgres,"
        f" {house.popped} popped and not claimed, {house.overdue} of them overdue"
    )


def _held(report: Report, reasons: list[Reason]) -> Report:
    report.reasons = reasons
    report.sentence = "Held by " + "; ".join(reason.what for reason in reasons) + "."
    return report


class _Look:
    """Both servers are there, or were a moment ago."""

    def __init__(self, settings: Settings, db: Database, redis: Redis, report: Report) -> None:
        self._settings, self._db, self._redis, self.report = settings, db, redis, report
        self._agents: list[Reason] = []  # paused, or nothing was set for their tenant, and calls wait for that
        reachable = {one.carrier_id for one in carriers.list_endpoints(db) if one.enabled and one.loaded}
        self._carriers = carriers.list_limits(db)
        self._tenants = {one.id: one for one in tenants.list_tenants(db)}
        self._names = Names(
            {one.id: one.name for one in self._carriers},
            {one.id: one.name for one in self._tenants.values()},
            frozenset(one.id for one in self._carriers if one.id not in reachable and not one.paused),
        )

    def run(self) -> Report:
        report = self.report
        truth = epoch.get(self._db)
        opened = "not open" if truth.opened_at is None else f"open since {truth.opened_at:%Y-%m-%d %H:%M:%S} UTC"
        report.facts.append(("Postgres", f"answers; epoch {truth.epoch} {opened}"))
        queued = {tenant: count for tenant, count in backlog.all_queued(self._db).items() if count > 0}
        report.queued = sum(queued.values())
        feeder = overview.leads(self._db, "feeder")
        report.facts.append(("Feeder", "leads" if feeder else "nobody leads"))
        report.facts.append(("Switches", self._switches()))
        self._paused()
        self._witnesses()
        self._unfit()
        for what, fix in why_rules.unset(db=self._db, queued=queued):
            self._agents.append(Reason(what, fix))
        for what, fix in why_caps.used_up(self._db, queued, self._names.tenants):
            self._agents.append(Reason(what, fix))
        self.report.notes += why_rules.blocked(self._db)
        try:
            house = explain.house(self._redis)
            report.facts.insert(1, ("Redis", _house_words(house)))
            found = explain.carriers(self._redis, [one.id for one in self._carriers], switches=self._in_service())
            self._carrier_rows(found)
            lanes = self._tenant_rows(queued)
        except RedisError as error:
            report.facts.insert(1, ("Redis", f"does not answer: {error}"))
            return _held(report, [Reason("Redis: it does not answer", "start it; REDIS_URL names it")])
        self._house_notes(house)
        return self._verdict(truth, house, lanes, feeder=feeder)

    def _in_service(self) -> list[str]:
        found = overview.switches(self._db)
        return [one.name for one in found if one.ago is not None and one.ago.total_seconds() < SEEN_S]

    def _switches(self) -> str:
        said = []
        for one in overview.switches(self._db):
            ago = None if one.ago is None else max(0.0, one.ago.total_seconds())
            late = "" if ago is not None and ago < SEEN_S else ", not in service"
            left = f", drained, {one.calls} calls left" if one.drained_at is not None else ""
            said.append(f"{one.name} never seen{left}" if ago is None else f"{one.name} seen {span(ago)} ago{late}{left}")
        return "; ".join(said) or "none was ever seen"

    def _paused(self) -> None:
        things = [f"tenant {one.name}" for one in self._tenants.values() if one.paused]
        things += [f"carrier {one.name}" for one in self._carriers if one.paused]
        things += [self._names.scope(one.scope) for one in scopes.list_scopes(self._db) if one.paused]
        for one in overview.paused_agents(self._db):
            things.append(f"agent {one.tenant}/{one.name}")
            if one.waiting:
                count = f"{one.waiting}{' or more' if one.waiting == overview.COUNTED else ''}"
                what = f"agent {one.tenant}/{one.name}: paused, {count} {'call waits' if one.waiting == 1 else 'calls wait'}"
                self._agents.append(Reason(what, f"trunkline agents resume {one.tenant} {one.name}"))
        if things:
            self.report.notes.append(f"Paused: {', '.join(things)}.")

    def _witnesses(self) -> None:
        """Not what holds a call, but what an operator has to know: somebody tells of ends that were not so."""
        found = witnesses.totals(self._db)
        if found.latest_call is not None:
            ends = f"{found.contradictions} end{'' if found.contradictions == 1 else 's'}"
            trace = f"trunkline trace {call_ref(found.latest_call)}"
            self.report.notes.append(f"Event and CDR do not tell the same of {ends}; the latest: {trace}")
        if found.strangers:
            self.report.notes.append(f"CDRs of channels that are none of our attempts: {found.strangers}.")

    def _unfit(self) -> None:
        """Trunks that are set up wrongly: their calls are tried again for nothing until somebody mends them."""
        for carrier, row in outcomes.standings(self._db).items():
            if count := row.figures.get("unfit", 0):
                self.report.notes.append(unfit(self._names.carriers.get(carrier, str(carrier)), count))

    def _carrier_rows(self, found: Sequence[CarrierNow]) -> None:
        stated = {one.id: one for one in self._carriers}
        for now in found:
            columns = live_columns(now, self._names)
            columns["cps_now"] = f"{columns['cps_now']}/{number(stated[now.carrier_id].cps)}"
            fix = "" if now.held.name in MOVING and now.held.limit != 0 else remedy(now.held, self._names)
            self.report.carriers.append(
                {
                    "carrier": self._names.carriers[now.carrier_id],
                    **columns,
                    "remedy": fix,
                    "asked_by": ", ".join(one.scope.partition(":")[2] for one in now.switches),
                }
            )

    def _tenant_rows(self, queued: dict[UUID, int]) -> list[LaneNow]:
        """The lanes that were looked at; none of a paused tenant."""
        most = sorted(queued, key=lambda one: -queued[one])[:TENANTS]
        mine: dict[UUID, list[str]] = {one: [] for one in most}
        for name in known_lanes(self._redis):
            try:
                owner = parse_lane(name).tenant_id
            except ValueError:
                continue  # another program's queue
            if owner in mine:
                mine[owner].append(name)
        looked: list[LaneNow] = []
        for tenant in most:
            held = lengths(self._redis, mine[tenant])
            paused = tenant in self._tenants and self._tenants[tenant].paused
            lanes = [explain.lane(self._redis, name) for name in sorted(held, key=lambda one: -held[one])[:LANES]]
            lanes = [one for one in lanes if one.length or one.overflow]
            said = Counter(limit(one.held, self._names) for one in lanes)
            self.report.tenants.append(
                {
                    "tenant": self._names.tenants.get(tenant, str(tenant)),
                    "queued": queued[tenant],
                    "in_lanes": sum(held.values()),
                    "waits_for": "it is paused" if paused else "; ".join(said) or "its time, or to be laned",
                }
            )
            looked += [] if paused else lanes
        return looked

    def _house_notes(self, house: HouseNow) -> None:
        notes = self.report.notes
        if house.unlaned:
            names = ", ".join(house.unlaned[:5]) + (" ..." if len(house.unlaned) > 5 else "")
            notes.append(f"Lanes that nobody serves: {names}. Is there a route? trunkline routes list")
        if house.overdue:
            notes.append(f"Popped, and not claimed in time: {house.overdue}. The feeder gives them back.")
        for scope in house.waiting[:5]:
            waits = f"{scope.waiters} {'lane or tenant waits' if scope.waiters == 1 else 'lanes and tenants wait'}"
            notes.append(f"{waits} for {self._names.scope(scope.scope)}.")

    def _verdict(self, truth: epoch.Epoch, house: HouseNow, lanes: Sequence[LaneNow], *, feeder: bool) -> Report:
        report, number_of_epoch = self.report, truth.epoch
        if not report.queued:
            report.sentence = "Nothing holds: no work."
            return report
        due, next_s = overview.due(self._db)
        if not due and self._agents:
            return _held(report, self._agents)
        if not due:
            when = "" if next_s is None else f", the next in {span(next_s)}"
            report.sentence = f"Nothing holds: {report.queued} queued for later{when}."
            return report
        closed = Held("rebuilding") if house.rebuilding is not None else Held("closed")
        if truth.scripts != VERSION:
            what = f"the budget: it belongs to scripts version {truth.scripts}, this program is of version {VERSION}"
            return _held(report, [Reason(what, "ask with the version that is at work, or see docs/operations.md")])
        if house.epoch is None or house.rebuilding is not None:
            return _held(report, [self._reason(closed, 0), *([] if feeder else [_NO_FEEDER])])
        if house.epoch != number_of_epoch:
            what = f"the budget: Redis has epoch {house.epoch}, Postgres {number_of_epoch}"
            return _held(report, [Reason(what, "the feeder rebuilds it: is it running (trunkline up)?")])
        return self._of_lanes(lanes, feeder=feeder)

    def _of_lanes(self, lanes: Sequence[LaneNow], *, feeder: bool) -> Report:
        report = self.report
        held = Counter(self._reason(one.held, 0) for one in lanes if one.held.name not in MOVING or one.held.limit == 0)
        moving = sum(one.held.name in MOVING and one.held.limit != 0 for one in lanes)
        reasons = [Reason(one.what, one.remedy, count) for one, count in held.most_common()]
        for one in report.tenants:
            if one["waits_for"] == "it is paused":
                reasons.append(Reason(f"tenant {one['tenant']}: paused", f"trunkline tenants resume {one['tenant']}"))
        reasons = self._drained() + reasons + self._agents
        if not feeder:
            reasons.insert(0, _NO_FEEDER)
        if not reasons:
            report.sentence = f"Nothing holds: {report.queued} queued, leaving at the carriers' pace."
            return report
        _held(report, reasons)
        if moving:
            report.sentence = f"{report.sentence[:-1]}; the rest leaves at the carriers' pace."
        return report

    def _drained(self) -> list[Reason]:
        """When every switch in service is drained: each of them."""
        serving = [one for one in overview.switches(self._db) if one.ago is not None and one.ago.total_seconds() < SEEN_S]
        if not all(one.drained_at is not None for one in serving):
            return []
        return [
            Reason(f"switch {one.name}: drained, {one.calls} calls left", f"trunkline undrain {one.name}") for one in serving
        ]

    def _reason(self, held: Held, lanes: int) -> Reason:
        return Reason(limit(held, self._names), remedy(held, self._names), lanes)


_NO_FEEDER = Reason(
    "the feeder: nobody leads, so nothing comes into the lanes", "trunkline up, or start python -m jobs feeder"
)
