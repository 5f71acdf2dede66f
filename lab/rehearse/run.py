"""Runs a plan to its end on a private Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from random import Random
from uuid import UUID

from budget.lanes import LaneSpec
from budget.scopes import ScopeLimits, interval_us, sweep
from budget.scripts import PREFIX
from lab.rehearse.carriers import Carrier
from lab.rehearse.clock import BEGIN_US, SECOND, Clock
from lab.rehearse.desk import LOOK_US, Desk, Line
from lab.rehearse.floor import Floor
from lab.rehearse.ledger import Key, Ledger
from lab.rehearse.plan import Cap, Plan
from lab.rehearse.promises import OwnMeter
from lab.rehearse.referee import Meter
from lab.rehearse.report import Report, report
from lab.rehearse.upheaval import Upheaval
from lab.rehearse.wire import POSTED_US, Wire
from settings import Settings

#: us; with calls waiting and none dialed for so long, the run is given up: what is left is lost.
STUCK_US = 300 * SECOND
#: us; between two looks at pops that nobody claimed, and at scopes with room that somebody waits for.
SWEEP_US = SECOND

Progress = Callable[[int, float], None]


def _meter(cap: Cap, jitter_us: int) -> Meter:
    """A carrier counts what arrives; limits of our own are kept by their slots."""
    if cap.scope.startswith(("account:", "ip:")):
        return Meter(cap.scope, cap.cps, cap.channels)
    return OwnMeter(cap.scope, cap.cps, cap.channels, jitter_us=jitter_us)


class World:
    """One rehearsal, put together. ``keep``: the judge keeps every INVITE (for a second count; much memory)."""

    stuck_us = STUCK_US
    #: us; after the last call's end, until the last leases are given back.
    settle_us = 2 * SECOND

    def __init__(self, plan: Plan, redis_url: str, settings: Settings, *, lead_us: int, keep: bool = False) -> None:
        self.plan, self.settings = plan, settings
        self.clock = Clock()
        self.wire = Wire(redis_url, self.clock, self._heard)
        caps = {cap.scope: cap for cap in plan.caps}
        jitter_us = int(settings.jitter_for(None) * 1000)
        self.meters = {cap.scope: _meter(cap, jitter_us) for cap in plan.caps}
        keys, lines = self._lines(set(caps))
        self.desk = self._make_desk(lines)
        self.ledger = Ledger(plan, self.clock, keys, self.meters)
        carriers = {}
        for trunk in plan.trunks:
            own = Meter(
                f"carrier:{trunk.name}", trunk.cps, trunk.channels,
                window_ms=trunk.window_ms, linger_us=trunk.linger_ms * 1000, keep=keep,
            )  # fmt: skip
            self.meters[own.scope] = own
            shared = self.meters.get(f"account:{trunk.account}")
            carriers[trunk.id] = Carrier(trunk, settings, self.clock, (own, shared) if shared else (own,), plan.seed)
        self.floor = self._make_floor(carriers, lead_us)
        jitter = settings.jitter_for(None)
        limits = [
            ScopeLimits(
                cap.scope,
                cap.channels,
                None if cap.cps is None else interval_us(cap.cps, 1000, jitter),
                rest_us=int(SECOND + jitter * 1000),
            )
            for cap in plan.caps
        ]
        self.upheaval = self._make_upheaval(limits)
        self._carriers = carriers
        self._waited: set[Line] = set()
        self._demands = 0

    def _make_desk(self, lines: list[Line]) -> Desk:
        return Desk(self.plan, self.settings, self.wire, self.clock, lines)

    def _make_floor(self, carriers: dict[UUID, Carrier], lead_us: int) -> Floor:
        plan = self.plan
        return Floor(
            self.clock, self.wire, self.settings, self.desk, self.ledger, carriers, plan.switches, plan.seed, lead_us
        )

    def _make_upheaval(self, limits: list[ScopeLimits]) -> Upheaval:
        return Upheaval(self.plan, self.settings, self.clock, self.wire, self.desk, self.floor, self.ledger, limits)

    def _lines(self, capped: set[str]) -> tuple[list[Key], list[Line]]:
        keys: dict[tuple[UUID, str, str], int] = {}
        found: list[Key] = []
        lines: dict[str, Line] = {}
        rates = {trunk.id: trunk.cps for trunk in self.plan.trunks}
        for party in self.plan.parties:
            for stream in party.streams:
                lane = stream.lane
                what = (party.id, str(lane.priority), lane.route)
                if what not in keys:
                    keys[what] = len(found)
                    found.append(Key(party.id, party.weight, lane.priority, lane.route))
                serving = self.plan.routes[lane.route]
                spec = LaneSpec(
                    lane.name, party.id, lane.priority, party.weight, serving, stream.share, self.settings.spill_ms * 1000
                )
                limited = lane.seats is not None or any(scope in capped for scope in lane.scopes)
                found[keys[what]].capped |= limited
                window = self._window(sum(rates[s.carrier_id] for s in serving))
                lines[lane.name] = Line(spec, window, keys[what], limited, lane.scopes)
        most = sum(line.window for line in lines.values())
        if most > self.settings.laned_max:
            for line in lines.values():
                line.window = max(self.settings.lane_window_min, line.window * self.settings.laned_max // most)
        return found, list(lines.values())

    def _window(self, cps: float) -> int:
        s = self.settings
        return min(s.lane_window, max(s.lane_window_min, int(s.lane_window_s * cps)))

    def _heard(self, texts: list[str]) -> None:
        self.floor.heard(texts)

    def _want(self, what: tuple[Line, Iterator[tuple[int, int]], int]) -> None:
        line, moments, count = what
        self.desk.accept(line, count)
        self._next_want(line, moments)

    def _next_want(self, line: Line, moments: Iterator[tuple[int, int]]) -> None:
        following = next(moments, None)
        if following is None:
            self._demands -= 1
        else:
            self.clock.at(BEGIN_US + following[0], self._want, (line, moments, following[1]))

    def _look(self, _: object) -> None:
        self.desk.refill()
        self.clock.after(LOOK_US, self._look)

    def _sweep(self, _: object) -> None:
        self.floor.give_back()
        if self.floor.ready:
            # A scope whose rate allows a call again is no wake-up missed: the next request sees to it.
            timed = self.wire.zcount(f"{PREFIX}timed", 0, self.clock.now)
            self.ledger.missed_wakes += max(0, sweep(self.wire) - timed)
        self.clock.after(SWEEP_US, self._sweep)

    def _second(self, _: object) -> None:
        waiting = {line for line in self.desk.lines.values() if line.waiting and not line.capped}
        calm = self.floor.ready and self.clock.now >= self.upheaval.calm_at
        self.ledger.second(self.desk, self._carriers, self._wanted(waiting & self._waited), calm=calm)
        self._waited = waiting
        self.clock.after(SECOND, self._second)

    def _wanted(self, waiting: set[Line]) -> set[UUID]:
        """Carriers that calls wait for; of a worse tier only with more than the better ones can begin in good time."""
        found: set[UUID] = set()
        behind: dict[str, int] = {}
        serving = {}
        for line in waiting:
            route = self.ledger.keys[line.key].route
            behind[route] = behind.get(route, 0) + line.waiting
            serving[route] = line.spec.carriers
        for route, carriers in serving.items():
            for one in carriers:
                better = sum(self._carriers[s.carrier_id].trunk.cps for s in carriers if s.tier < one.tier)
                if behind[route] > 4 * better * self.settings.spill_ms / 1000:
                    found.add(one.carrier_id)
        return found

    def run(self, progress: Progress | None = None) -> Report:
        """To the end of every call; ``progress(calls at their end, virtual s)`` now and then."""
        began, spent = time.monotonic(), time.process_time()
        self.upheaval.open()
        random = Random(f"demand {self.plan.seed}")
        for party in self.plan.parties:
            for stream in party.streams:
                self._demands += 1
                moments = stream.demand.moments(Random(random.getrandbits(64)))
                self._next_want(self.desk.lines[stream.lane.name], moments)
        self.floor.begin()
        self.clock.after(LOOK_US, self._look)
        self.clock.after(SWEEP_US, self._sweep)
        self.clock.after(SECOND, self._second)
        self.clock.after(20 * SECOND, self.desk.prune)
        steps = 0
        while self._demands or self.desk.open_calls:
            following = self.clock.next_us
            assert following is not None
            if self.wire.posted_at is not None and following >= self.wire.posted_at + POSTED_US:
                self.wire.ask()
                continue
            self.clock.step()
            steps += 1
            if steps % 4096 == 0:
                if progress is not None:
                    progress(self.desk.done + self.desk.failed, self.clock.passed_s)
                if self.clock.now - self.ledger.last_invite > self.stuck_us and not self._demands:
                    break
        ended_us = self.clock.now
        # The last leases are given back and the last wake-ups heard.
        while self.clock.next_us is not None and self.clock.next_us <= ended_us + self.settle_us:
            self.clock.step()
        self.wire.ask()
        memory = self.wire.info("memory")
        left = len(self.desk.attempts)
        return report(self, time.monotonic() - began, time.process_time() - spent, int(memory["used_memory_peak"]), left)

    def close(self) -> None:
        """Leaves the database empty."""
        self.wire.flushdb()
        self.wire.hang_up()


def rehearse(
    plan: Plan, redis_url: str, settings: Settings | None = None, *, lead_us: int = 30_000, progress: Progress | None = None
) -> Report:
    """Runs ``plan`` in the Redis database of ``redis_url``, which must be empty and is emptied afterwards.

    ``lead_us``: how far ahead the controllers need their slots (in the house they measure it). ValueError: not empty.
    """
    world = World(plan, redis_url, settings or Settings(redis_url=redis_url), lead_us=lead_us)
    try:
        return world.run(progress)
    finally:
        world.close()
