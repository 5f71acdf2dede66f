"""A flood on a virtual clock, dialed by the real scripts: what was foretold of a call is compared with what became of it."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from uuid import UUID, uuid5

from redis import Redis

from budget import permits
from budget.connect import connect
from budget.explain import Eta, Hold, forecast, lane
from budget.explain_hold import Span, hold_of
from budget.lanes import LaneSpec, Serving, set_lane
from budget.push import push
from budget.scopes import CarrierSpec, ScopeLimits, carrier_scope, set_carriers, set_scopes
from budget.scripts import PREFIX, on_virtual_time
from calls.lanes import parse_lane
from settings import Settings
from tests.budget.bench import open_epoch

SECOND = 1_000_000
BEGIN = 1_000_000 * SECOND
SPACE = UUID(int=5)


@dataclass
class Told:
    """``eta`` was told ``at``; the call left at ``left`` (us)."""

    attempt: UUID
    at: int
    eta: Eta | None
    left: int | None = None

    @property
    def waited(self) -> float:
        assert self.left is not None
        return (self.left - self.at) / SECOND


@dataclass
class Room:
    """Carriers, lanes and a clock; ``burned`` of the slots are missed, and their calls go back to the front."""

    url: str
    seed: int
    burned: float = 0.015
    told: list[Told] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = Settings(redis_url=self.url)
        self.redis: Redis = connect(self.settings)
        on_virtual_time(self.redis)
        self.random = Random(self.seed)
        self.now = BEGIN
        self._set_clock()
        open_epoch(self.redis, 1)
        self.carriers: list[UUID] = []
        self.waiting: dict[UUID, str] = {}
        self._hold: dict[str, Callable[[Random], float]] = {}
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._due: dict[UUID, int] = {}
        self._ended: deque[tuple[int, UUID, str, float]] = deque(maxlen=2000)
        self._open: dict[UUID, Told] = {}
        self._live: dict[UUID, tuple[UUID, int]] = {}

    def carrier(self, channels: int, cps: float, *, urgent_share: float = 1.0, bulk_floor: float = 0.0) -> UUID:
        one = UUID(int=100 + len(self.carriers))
        interval = math.ceil((1_000_000 + self.settings.jitter_ms * 1000) / cps)
        limits = ScopeLimits(carrier_scope(one), channels, interval, linger_us=250_000)
        set_carriers(self.redis, [CarrierSpec(limits, (), urgent_share, bulk_floor)])
        self.carriers.append(one)
        return one

    def tenant_limit(self, tenant: int, channels: int) -> None:
        set_scopes(self.redis, [ScopeLimits(f"tenant:{UUID(int=tenant)}", channels, None)])

    def lane(
        self,
        tenant: int,
        carriers: list[UUID],
        *,
        priority: str = "normal",
        route: str = "all",
        weight: int = 1,
        hold: Callable[[Random], float],
    ) -> str:
        owner = UUID(int=tenant)
        name = f"dial.{priority}.{owner.hex}.{route}"
        set_lane(self.redis, LaneSpec(name, owner, priority, weight, tuple(Serving(one) for one in carriers)))
        self._hold[name] = hold
        return name

    def fill(self, name: str, calls: int) -> None:
        ids = [uuid5(SPACE, f"{self.seed} {name} {self._next()}") for _ in range(calls)]
        push(self.redis, [(one, name) for one in ids])
        self.waiting |= dict.fromkeys(ids, name)
        for carrier in self.carriers:
            self._due[carrier] = self.now

    def arrive(self, name: str, per_s: float, until_s: float) -> None:
        """One call after the other into the lane, at random."""

        def one() -> None:
            self.fill(name, 1)
            plan()

        def plan() -> None:
            when = self.now + int(self.random.expovariate(per_s) * SECOND)
            if when < BEGIN + until_s * SECOND:
                self._at(when, one)

        plan()

    def ask(self, attempt: UUID) -> None:
        """Foretells the attempt's wait."""
        name = self.waiting[attempt]
        rank = self.redis.lpos(f"rq:queue:{name}", str(attempt))
        if not isinstance(rank, int):
            return  # it has its permit
        eta = forecast(
            self.redis,
            lane(self.redis, name, now_us=self.now),
            rank + 1,
            holds=self._holds(),
            arriving=self._arriving(),
            queued=lambda _: {},
            now_us=self.now,
        )
        self._open[attempt] = Told(attempt, self.now, eta)
        self.told.append(self._open[attempt])

    def ask_some(self, count: int) -> None:
        for attempt in self.random.sample(sorted(self.waiting.keys() - self._open.keys()), count):
            self.ask(attempt)

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        end = self.now + int(seconds * SECOND)
        while True:
            carrier, due = min(self._due.items(), key=lambda item: item[1])
            when = min(due, self._events[0][0] if self._events else end)
            if when >= end:
                break
            self.now = max(self.now, when)
            self._set_clock()
            if self._events and self._events[0][0] <= due:
                heapq.heappop(self._events)[2]()
            else:
                self._pump(carrier)
        self.now = end
        self._set_clock()

    def _pump(self, carrier: UUID) -> None:
        answer = permits.grant(self.redis, self.settings, carrier, "fs1", want=8)
        wait = SECOND if answer.next_us is None else min(SECOND, max(500, answer.next_us))
        self._due[carrier] = self.now + wait
        for grant in answer.grants:
            self._at(self.now + grant.slot_us, lambda grant=grant: self._leave(carrier, grant))  # type: ignore[misc]

    def _leave(self, carrier: UUID, grant: permits.Grant) -> None:
        if self.random.random() < self.burned:
            permits.requeue(self.redis, grant.attempt_id, grant.fence)
            return
        self.waiting.pop(grant.attempt_id)
        if grant.attempt_id in self._open:
            self._open.pop(grant.attempt_id).left = self.now
        hold = self._hold[grant.lane](self.random)
        self._live[grant.attempt_id] = (carrier, self.now)
        self._at(self.now + int(hold * SECOND), lambda: self._end(carrier, grant, hold))

    def _end(self, carrier: UUID, grant: permits.Grant, hold: float) -> None:
        permits.release(self.redis, grant.attempt_id, grant.fence)
        del self._live[grant.attempt_id]
        self._ended.append((self.now, carrier, parse_lane(grant.lane).priority, hold))
        # Whoever waits for a place is woken: when it stops counting, and where nothing lingers at once.
        for delay in (0, 250_000):
            self._at(self.now + delay, self._wake)

    def _wake(self) -> None:
        self._due = dict.fromkeys(self._due, self.now)

    def _holds(self) -> dict[UUID, Hold]:
        found = {}
        since = self._ended[0][0] if len(self._ended) == self._ended.maxlen else BEGIN
        for carrier in self.carriers:
            spans = [
                Span(max(0.0, hold - (at - since) / SECOND), hold, True)
                for at, one, _, hold in self._ended
                if one == carrier
            ]
            for one, at in self._live.values():
                if one == carrier:
                    spans.append(Span(max(0, since - at) / SECOND, (self.now - at) / SECOND, False))
            hold = hold_of(spans)
            if hold is not None:
                found[carrier] = hold
        return found

    def _arriving(self) -> dict[str, float]:
        since = max(BEGIN, self.now - 60 * SECOND)
        recent = [priority for at, _, priority, _ in self._ended if at >= since]
        span = max(1.0, (self.now - since) / SECOND)
        return {priority: recent.count(priority) / span for priority in set(recent)}

    def _at(self, when: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, self._next(), act))

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _set_clock(self) -> None:
        self.redis.set(f"{PREFIX}now", self.now)


def calibration(told: list[Told]) -> tuple[int, float, float]:
    """Of how many calls; the share dialed by p50, and by p90."""
    known = [one for one in told if one.eta is not None and one.left is not None]
    half = sum(one.waited <= one.eta.p50 for one in known if one.eta)
    most = sum(one.waited <= one.eta.p90 for one in known if one.eta)
    return len(known), half / len(known), most / len(known)
