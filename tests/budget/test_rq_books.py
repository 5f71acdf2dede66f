"""Workers that are killed leave nothing in RQ's books, and no attempt is lost or stuck in them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from uuid import UUID

from rq import Queue
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

from budget import permits
from budget.leases import leases
from budget.replies import number, texts
from budget.tidy import tidy
from budget.worker import DialJob, DialRunner
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


def test_rqs_own_tools_see_what_begins_ends_and_fails(bench: Bench) -> None:
    lane = "dial.normal.books"
    queue, runner = Queue(lane, connection=bench.redis, serializer=JSONSerializer), DialRunner(bench.redis, "dial-books")
    ids = [str(UUID(int=n)) for n in (1, 2, 3)]
    jobs = runner.begin([(one, lane) for one in ids])
    assert sorted(queue.started_job_registry.get_job_ids()) == ids
    assert [one.worker_name for job in jobs for one in executions(bench, job)] == ["dial-books"] * 3
    assert texts([bench.redis.hget("rq:worker:dial-books", "state")]) == ["busy"]

    def fails() -> None:
        raise ValueError("on purpose")

    assert [runner.run(job, work) for job, work in zip(jobs, (lambda: "sent", fails, lambda: "sent"), strict=True)] == [
        True, False, True,
    ]  # fmt: skip
    assert queue.failed_job_registry.get_job_ids() == [ids[1]]
    result = Job.fetch(ids[1], connection=bench.redis, serializer=JSONSerializer).latest_result()
    assert result is not None
    assert "on purpose" in str(result.exc_string)
    # The last is back in its lane before its job's end is told: that is another job, and stays.
    bench.redis.hset(f"rq:job:{ids[2]}", "status", "queued")
    runner.end([jobs[0], jobs[2]])
    assert queue.started_job_registry.get_job_ids() == []
    assert [bench.redis.exists(f"rq:job:{one}") for one in ids] == [0, 1, 1]
    assert number(bench.redis.hget("rq:worker:dial-books", "successful_job_count")) == 2


def executions(bench: Bench, job: DialJob) -> list[Execution]:
    return Job(job.attempt_id, connection=bench.redis, serializer=JSONSerializer).get_executions()
