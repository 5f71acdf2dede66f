"""What a permit costs, single and batched, beside a hit of the ``limits`` package; few tenants beside many; RQ's own books.

A permit reads the carrier's limits, looks for limits of switch, tenant and everything, takes the fair next call, reserves
its slot and writes its lease. The peer counts one hit of one fixed window. Both take turns in one process on one Redis, and
the best of many short rounds counts, because what disturbs a round only ever slows it. Once in a process as a controller's
is (gevent), where permits are taken and a library would have to be asked; once in a bare one. 1,000 calls are up all the
time; what a round has taken is acknowledged and released before the next, outside of the measured time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

from limits import RateLimitItemPerSecond
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis import Redis

from bench import Ratio, Report, alternate
from budget import epoch, lanes, permits, scopes
from budget.connect import connect
from budget.lanes import LaneSpec, Serving
from budget.line import Line
from budget.permits import Grant
from budget.push import push
from budget.scopes import CarrierSpec, ScopeLimits, carrier_scope, interval_us
from budget.scripts import run_all
from budget.worker import DialRunner
from settings import Settings
from trunkline.servers import RedisServer

#: Permits of a round, one by one and batched; hits of a round of the peer. A round stays well under J, so that none is late.
SINGLES, BATCHES, HITS = 100, 1000, 100
ROUNDS = 60
BATCH = 50
UP = 1000
MANY = 3000
#: us; a short window: after a round that was disturbed the carrier rests no longer.
REST_US = 20_000
#: Of the pump that is paced: permits a second, how long.
PACE, PACED_S = 100, 3.0
#: Redis commands of RQ's own for one dial job, at most.
RQ_COMMANDS = 20.0
_LIMIT_S = 120.0


def run() -> Report:
    server = RedisServer()
    try:
        bare, controller = (_in_process(kind, server.url) for kind in ("bare", "controller"))
        asked, granted = _paced(server.url)
        commands, cpu_ms = _rq(server.url)
    finally:
        server.close()
    ratios = []
    for suffix, found in (("", controller), ("_bare", bare)):
        ratios += [
            Ratio(f"single{suffix}", *found["single"], "permits per second", "hits of limits' fixed window"),
            Ratio(
                f"batched{suffix}", *found["batched"], f"permits per second, {BATCH} at once", "hits of limits' fixed window"
            ),
        ]
    return Report(
        [
            *ratios,
            Ratio("tenants", *bare["tenants"], f"permits per second with {MANY:,} tenants", "with 10 tenants"),
            Ratio("calls", asked, granted, f"requests, a pump at {PACE} a second", "permits"),
            Ratio("rq", commands, RQ_COMMANDS, "Redis commands of RQ for a dial job", "the ceiling"),
        ],
        {
            "batched, 10 tenants in turn, bare": f"{bare['few'][0]:,.0f} permits per second",
            f"batched, {MANY:,} tenants in turn, bare": f"{bare['many'][0]:,.0f} permits per second",
            "every scope limited, one by one, bare": f"{bare['limited'][0]:,.0f} permits per second",
            "RQ's CPU per dial job": f"{cpu_ms:.2f} ms",
        },
    )


class House:
    """A carrier without limits that matter, some tenants with a lane each, ``UP`` calls on the line."""

    def __init__(self, redis: Redis, settings: Settings, number: int, tenants: int, *, limited: bool = False) -> None:
        self._redis = redis
        self.carrier = UUID(int=number)
        ids = [UUID(int=(number << 32) + n) for n in range(tenants)]
        more = (f"account:bench{number}",) if limited else ()
        trunk = ScopeLimits(carrier_scope(self.carrier), 10**6, 1, rest_us=REST_US)
        scopes.set_carriers(redis, [CarrierSpec(trunk, more)])
        if limited:
            house = (*more, "switch:limited", *(f"tenant:{one}" for one in ids))
            scopes.set_scopes(redis, [ScopeLimits(one, 10**6, None) for one in house])
        self._names = [f"dial.normal.{one.hex}.all" for one in ids]
        serving = (Serving(self.carrier),)
        lanes.set_lanes(redis, [LaneSpec(n, t, "normal", 1, serving) for n, t in zip(self._names, ids, strict=True)])
        self._line = Line(redis, settings, self.carrier, "limited" if limited else "fs1")
        while len(permits.leases(redis, [self.carrier])) < UP:
            self._settle(self._take(BATCH, BATCH)[0])

    def rate(self, count: int, want: int) -> float:
        """Permits per second. 0 when the machine stood still for so long that the first of the round are late: then nothing
        is granted, on purpose, until a window has passed.
        """
        taken, seconds = self._take(count, want)
        self._settle(taken)
        permits.release_all(self._redis, [(one.attempt_id, one.fence) for one in taken])
        if len(taken) < count:
            time.sleep(3 * REST_US / 1e6)
            return 0.0
        return count / seconds

    def _take(self, count: int, want: int) -> tuple[list[Grant], float]:
        each = -(-count // len(self._names)) + 1
        for name, length in lanes.lengths(self._redis, self._names).items():
            if length < each:
                push(self._redis, [(uuid4(), name) for _ in range(max(each, 4))])
        taken: list[Grant] = []
        began = time.perf_counter()
        while len(taken) < count:
            grants = self._line.grant(want=min(want, count - len(taken))).grants
            if not grants:
                break
            taken += grants
        return taken, time.perf_counter() - began

    def _settle(self, taken: Sequence[Grant]) -> None:
        run_all(self._redis, "claimed", [(str(one.attempt_id), one.fence, 1) for one in taken])


def measure(url: str) -> dict[str, tuple[float, float]]:
    """By name: ours and the peer, both per second."""
    settings = Settings(redis_url=url)
    redis = connect(settings)
    redis.flushdb()
    epoch.begin(redis, epoch.marks(redis), 1)
    epoch.open_epoch(redis, 1, epoch.run_id(redis), [])
    one, few, many = (House(redis, settings, n, tenants) for n, tenants in ((1, 1), (2, 10), (3, MANY)))
    peer = _peer(url)
    found = {
        "single": alternate(ROUNDS, lambda: few.rate(SINGLES, 1), peer),
        "batched": alternate(ROUNDS, lambda: one.rate(BATCHES, BATCH), peer),
        "tenants": alternate(ROUNDS, lambda: many.rate(SINGLES, 1), lambda: few.rate(SINGLES, 1)),
        "few": (max(few.rate(BATCHES, BATCH) for _ in range(ROUNDS // 4)), 0.0),
        "many": (max(many.rate(BATCHES, BATCH) for _ in range(ROUNDS // 4)), 0.0),
    }
    limited = House(redis, settings, 4, 10, limited=True)
    found["limited"] = (max(limited.rate(SINGLES, 1) for _ in range(ROUNDS // 4)), 0.0)
    redis.close()
    return found


def _peer(url: str) -> Callable[[], float]:
    limiter, limit = FixedWindowRateLimiter(RedisStorage(url)), RateLimitItemPerSecond(10**9)

    def rate() -> float:
        began = time.perf_counter()
        for _ in range(HITS):
            limiter.hit(limit, "peer")
        return HITS / (time.perf_counter() - began)

    return rate


def _in_process(kind: str, url: str) -> dict[str, tuple[float, float]]:
    command = [sys.executable, "-m", "bench.permit", kind, url]
    if kind == "controller":
        # Before anything else is imported, as a controller does.
        first = "from gevent import monkey; monkey.patch_all(); import runpy; "
        command = [sys.executable, "-c", first + "runpy.run_module('bench.permit', run_name='__main__')", kind, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=True)
    return {name: (ours, peer) for name, (ours, peer) in json.loads(done.stdout).items()}


def _paced(url: str) -> tuple[int, int]:
    """Requests and permits of a pump that always has work, on a carrier's pace, sleeping as long as it is told."""
    settings = Settings(redis_url=url)
    redis = connect(settings)
    redis.flushdb()
    epoch.begin(redis, epoch.marks(redis), 1)
    epoch.open_epoch(redis, 1, epoch.run_id(redis), [])
    carrier, tenant = UUID(int=1), UUID(int=2)
    pace = interval_us(PACE, 1000, settings.jitter_ms)
    scopes.set_carriers(redis, [CarrierSpec(ScopeLimits(carrier_scope(carrier), 10**6, pace, rest_us=REST_US))])
    lane = f"dial.normal.{tenant.hex}.all"
    lanes.set_lanes(redis, [LaneSpec(lane, tenant, "normal", 1, (Serving(carrier),))])
    push(redis, [(uuid4(), lane) for _ in range(int(PACE * PACED_S * 2))])
    asked = granted = 0
    with Line(redis, settings, carrier, "fs1") as line:
        until = time.monotonic() + PACED_S
        while time.monotonic() < until:
            answer = line.grant(want=settings.grants_at_once)
            replied = time.monotonic()
            asked, granted = asked + 1, granted + len(answer.grants)
            for one in answer.grants:
                permits.mark_claimed(redis, one.attempt_id, one.fence)
            time.sleep(max(0.0, replied + (answer.next_us or 0) / 1e6 - time.monotonic()))
    redis.close()
    return asked, granted


def _rq(url: str, jobs: int = 300) -> tuple[float, float]:
    """Redis commands and CPU ms of one dial job that does nothing, begun and ended by itself."""
    redis = connect(Settings(redis_url=url))
    runner, ids = DialRunner(redis, "bench"), [str(uuid4()) for _ in range(jobs + 1)]

    def one(attempt: str) -> None:
        begun = runner.begin([(attempt, "dial.bench")])
        runner.run(begun[0], lambda: "sent")
        runner.end(begun)

    try:
        one(ids[0])
        before, cpu = redis.info("stats")["total_commands_processed"], time.process_time()
        for attempt in ids[1:]:
            one(attempt)
        spent = time.process_time() - cpu
        after = redis.info("stats")["total_commands_processed"]
    finally:
        redis.close()
    return (after - before) / jobs, spent * 1000 / jobs


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[2])))
