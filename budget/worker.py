"""Dial jobs are RQ jobs: RQ's tools see each begin, end and fail. RQ's worker itself would run one at a time and ask Redis
five times for each; here many run as greenlets under one worker's name, and their books are kept in one script for all that
begin together, and one for all that end.

RQ's pop is not used (the permit pops), nor its retry, scheduler, lane maintenance or signal handlers. What remains is
RQ's bookkeeping: the started registry, the finished job, the failed registry.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import uuid4

import gevent
from redis import Redis
from rq import Queue, SimpleWorker
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException

from budget.push import DIAL_FUNCTION, JOB_TIMEOUT_S, RESULT_TTL_S, iso_now
from budget.scripts import run

log = logging.getLogger(__name__)

#: s; a worker that says nothing for so long is gone (RQ: a working worker's heartbeat).
SILENT_S = 90


class DialJob(NamedTuple):
    """A popped attempt whose job is running, as RQ's books name it."""

    attempt_id: str
    lane: str
    execution: str


class DialWorker(SimpleWorker):
    """Stands in RQ's books for all jobs of a controller."""

    def _set_ip_address(self, connection: Redis) -> None:  # noqa: ARG002
        # RQ would ask Redis for its client list.
        self.ip_address = "unknown"

    def procline(self, message: str) -> None:
        """A process title per job would be meaningless with many jobs in one process."""


class DialRunner:
    """Runs popped attempts as RQ jobs under one worker name; ``rq info`` shows the lanes, and not who empties them."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._redis = redis
        self._name = name

    def begin(self, jobs: Sequence[tuple[str, str]]) -> list[DialJob]:
        """Puts ``(attempt, lane)`` on the books as started. Raises ``RedisError``: then none of them is to be run."""
        begun = [DialJob(attempt, lane, uuid4().hex) for attempt, lane in jobs]
        words = [word for job in begun for word in job]
        run(self._redis, "job_begin", self._name, iso_now(), f"{time.time():.6f}", JOB_TIMEOUT_S, SILENT_S, *words)
        return begun

    def run(self, job: DialJob, work: Callable[[], object]) -> bool:
        """Does a job's ``work`` within its time; False when it raised (RQ's failed registry has it then for an hour, and
        :meth:`end` is not for it).

        The job's stored payload is not looked at: whoever can write to Redis must not choose the code that runs here.
        """
        try:
            with gevent.Timeout(JOB_TIMEOUT_S, JobTimeoutException(f"job ran over {JOB_TIMEOUT_S} s")):
                work()
        except Exception:
            log.exception("dial job failed", extra={"attempt": job.attempt_id})
            self._failed(job)
            return False
        return True

    def end(self, jobs: Sequence[DialJob]) -> None:
        """Takes jobs that were done off the books."""
        run(self._redis, "job_end", self._name, *(word for job in jobs for word in job))

    def _failed(self, job: DialJob) -> None:
        """As RQ's own worker says it, traceback included."""
        queue = Queue(job.lane, connection=self._redis, serializer=JSONSerializer)
        worker = DialWorker([queue], name=self._name, connection=self._redis, serializer=JSONSerializer)
        told = Job.create(
            DIAL_FUNCTION,
            connection=self._redis,
            id=job.attempt_id,
            origin=job.lane,
            timeout=JOB_TIMEOUT_S,
            result_ttl=RESULT_TTL_S,
            failure_ttl=RESULT_TTL_S,
            description="controller.dial.dial()",
            serializer=JSONSerializer,
        )
        worker.execution = Execution(job.execution, job.attempt_id, self._redis, self._name)
        worker.handle_job_failure(told, queue, exc_string="".join(traceback.format_exception(*sys.exc_info())))
