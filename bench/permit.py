"""What a permit costs: single and batched beside one hit of the ``limits`` package, few tenants beside many, RQ's own books.

One Redis, one client process. A permit checks carrier, switch, tenant and global, takes the fair next call of its lane,
reserves its slot and writes its lease; the peer counts one hit of one fixed window. The best of several rounds in turns
counts, because what disturbs a round only ever slows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from unittest.mock import patch
from uuid import UUID, uuid4

from limits import RateLimitItemPerSecond
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis import Redis

from bench import Ratio, Report, alternate
from budget import epoch, lanes, permits, scopes
from budget.connect import connect
from budget.lanes import LaneSpec, Serving
from budget.push import push
from budget.scopes import CarrierSpec, ScopeLimits, carrier_scope
from budget.worker import DialRunner
from settings import Settings
from trunkline.servers import RedisServer

CARRIER = UUID(int=1)
ROUND = 2000
ROUNDS = 5
BATCH = 50
#: Redis commands of RQ's own for one dial job, at most.
RQ_COMMANDS = 28.0


def run() -> Report:
    server = RedisServer()
    try:
        settings = Settings(redis_url=server.url)
        redis = connect(settings)
        peer = _peer(server.url)
        single = alternate(ROUNDS, lambda: _rate(redis, settings, 10, 1), peer)
        batched = alternate(ROUNDS, lambda: _rate(redis, settings, 10, BATCH), peer)
        many = alternate(ROUNDS, lambda: _rate(redis, settings, 3000, 1), lambda: _rate(redis, settings, 10, 1))
        commands, cpu_ms = _rq(redis)
    finally:
        server.close()
    return Report(
        [
            Ratio("single", *single, "permits per second", "hits of limits' fixed window"),
            Ratio("batched", *batched, f"permits per second, {BATCH} at once", "hits of limits' fixed window"),
            Ratio("tenants", *many, "permits per second with 3,000 tenants", "with 10 tenants"),
            Ratio("rq", commands, RQ_COMMANDS, "Redis commands of RQ for a dial job", "the ceiling"),
        ],
        {"rq_cpu_ms": round(cpu_ms, 2)},
    )


def _rate(redis: Redis, settings: Settings, tenants: int, want: int) -> float:
    """Permits per second out of a backlog of that many tenants; the pacing allows all of them."""
    redis.flushdb()
    epoch.begin(redis, epoch.marks(redis), 1)
    epoch.open_epoch(redis, 1, epoch.run_id(redis), [])
    scopes.set_carriers(redis, [CarrierSpec(ScopeLimits(carrier_scope(CARRIER), 10**6, 1))])
    names = [(UUID(int=100 + n), f"dial.normal.{UUID(int=100 + n).hex}.all") for n in range(tenants)]
    lanes.set_lanes(redis, [LaneSpec(name, tenant, "normal", 1, (Serving(CARRIER),)) for tenant, name in names])
    calls = max(ROUND, tenants)
    push(redis, [(uuid4(), names[n % tenants][1]) for n in range(calls)])
    began, left = time.perf_counter(), ROUND
    while left > 0:
        left -= len(permits.grant(redis, settings, CARRIER, "fs1", want=min(want, left)).grants)
    return ROUND / (time.perf_counter() - began)


def _peer(url: str) -> Callable[[], float]:
    limiter, limit = FixedWindowRateLimiter(RedisStorage(url)), RateLimitItemPerSecond(10**9)

    def rate() -> float:
        began = time.perf_counter()
        for _ in range(ROUND):
            limiter.hit(limit, "peer")
        return ROUND / (time.perf_counter() - began)

    return rate


def _rq(redis: Redis, jobs: int = 300) -> tuple[float, float]:
    """Redis commands and CPU ms of one dial job that does nothing."""
    from controller import dial

    runner, ids = DialRunner(redis, "bench"), [str(uuid4()) for _ in range(jobs + 1)]
    try:
        with patch.object(dial, "place_call", lambda _: "sent"):
            for one in ids:
                dial.DIALS[one] = _Nothing()  # type: ignore[assignment]
            runner.run(ids[0], "dial.bench")
            before, cpu = redis.info("stats")["total_commands_processed"], time.process_time()
            for one in ids[1:]:
                runner.run(one, "dial.bench")
            spent = time.process_time() - cpu
            after = redis.info("stats")["total_commands_processed"]
    finally:
        dial.DIALS.clear()
    return (after - before) / jobs, spent * 1000 / jobs


class _Nothing:
    """As much of a dial as its job looks at."""

    result = ""
