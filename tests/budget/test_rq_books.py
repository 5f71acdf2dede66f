"""Workers that are killed leave nothing in RQ's books, and no attempt is lost or stuck in them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from uuid import UUID

from budget import permits
from budget.leases import leases
from budget.replies import number, texts
from budget.tidy import tidy
from tests.budget.bench import CARRIER, TENANT, Bench
from trunkline.children import wait_until

#: A long run is 10,000 jobs and 20 kills: TRUNKLINE_RQ_JOBS=10000 TRUNKLINE_RQ_KILLS=20.
JOBS = int(os.environ.get("TRUNKLINE_RQ_JOBS", "1200"))
KILLS = int(os.environ.get("TRUNKLINE_RQ_KILLS", "4"))


def test_nothing_is_left_after_kills(bench: Bench, redis_url: str) -> None:
    bench.carrier(channels=100_000)
    names = [bench.lane(TENANT, route=f"r{n}") for n in range(3)]
    ids = {attempt for name in names for attempt in bench.fill(name, JOBS // 3)}
    rng = random.Random(4)

    for kill in range(KILLS):
        worker = _worker(redis_url, f"fs{kill}")
        goal = len(ids) * (kill + 1) // (KILLS + 1) + rng.randrange(20)
        _wait_for_share(bench, worker, goal)
        worker.kill()
        worker.wait()
    _settle(bench)
    last = _worker(redis_url, "last")
    assert last.wait(timeout=120) == 0
    _settle(bench)

    tidy(bench.redis, names, time.time() + 3600)
    assert {UUID(one) for one in texts(bench.redis.smembers("ran"))} == ids
    kept = set(texts(list(bench.redis.scan_iter("rq:*"))))
    # Executions are no registry and go by their own time (RQ: 90 and 150 s).
    assert {key for key in kept if not key.startswith(("rq:execution", "rq:worker"))} == {"rq:queues"}
    assert not any(":intermediate" in key for key in kept)


def _wait_for_share(bench: Bench, worker: subprocess.Popen[bytes], goal: int) -> None:
    def there() -> bool:
        return (number(bench.redis.scard("ran")) or 0) >= goal or worker.poll() is not None

    wait_until("the worker to have run its share", there, timeout_s=60, every_s=0.001)


def _worker(url: str, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.budget.dial_jobs", url, name], stderr=subprocess.DEVNULL)


def _settle(bench: Bench) -> None:
    """As feeder and controller do from Postgres: what ran is over, what did not goes back to its lane."""
    for lease in leases(bench.redis, [CARRIER]):
        if bench.redis.sismember("ran", str(lease.attempt_id)):
            permits.release(bench.redis, lease.attempt_id, lease.fence)
        else:
            permits.requeue(bench.redis, lease.attempt_id, lease.fence)
