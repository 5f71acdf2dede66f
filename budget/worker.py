"""DialWorker: RQ's own worker, made to run one job a greenlet after our permit popped it.

RQ's pop is not used (the permit pops), nor its retry, scheduler, lane maintenance or signal handlers. What remains is
RQ's bookkeeping: the started registry, the finished job with its result, the failed registry.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import gevent
from redis import Redis
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty, BaseTimeoutException

from budget.push import DIAL_FUNCTION, JOB_TIMEOUT_S, RESULT_TTL_S

log = logging.getLogger(__name__)


class GeventDeathPenalty(BaseDeathPenalty):
    """A job's time limit as a gevent timeout: RQ's own alarm is one for the whole process."""

    def __init__(self, timeout: float, exception: type[Exception] = BaseTimeoutException, **_: Any) -> None:
        self._timeout = timeout
        self._exception = exception
        self._timer = gevent.Timeout(timeout if timeout > 0 else None, exception(f"job ran over {timeout} s"))

    def setup_death_penalty(self) -> None:
        self._timer.start()

    def cancel_death_penalty(self) -> None:
        self._timer.close()


class DialQueue(Queue):
    """A lane as RQ sees it."""

    death_penalty_class = GeventDeathPenalty


class DialWorker(SimpleWorker):
    """Runs exactly one job. One object per job: RQ keeps the running job in the worker."""

    death_penalty_class = GeventDeathPenalty
    queue_class = DialQueue

    def _set_ip_address(self, connection: Redis) -> None:  # noqa: ARG002
        # RQ would ask Redis for its client list; one call per job is one too many.
        self.ip_address = "unknown"

    def procline(self, message: str) -> None:
        """A process title per job would be meaningless with many jobs in one process."""

    def handle_job_success(self, job: Job, queue: Queue, started_job_registry: StartedJobRegistry) -> None:  # noqa: ARG002
        """As RQ's, without what a dial never has (dependents, repeats, a stored result): one round trip, nothing left over.

        What became of the dial is in Postgres; a result kept here would be read by nobody and cost ten commands a call.
        """
        with self.connection.pipeline() as pipeline:
            self.increment_successful_job_count(pipeline=pipeline)
            self.cleanup_execution(job, pipeline=pipeline)
            pipeline.delete(job.key, f"rq:executions:{job.id}")
            pipeline.execute()

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        log.error("dial job failed", extra={"attempt": job.id}, exc_info=exc_info)


class DialRunner:
    """Runs popped attempts as RQ jobs under one worker name, which ``rq info`` shows as one busy worker."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._redis = redis
        self._name = name

    def run(self, attempt_id: str, lane: str) -> bool:
        """Runs the dial job of ``attempt_id``; False when it raised (RQ's failed registry has it then for an hour).

        The job's stored payload is not trusted: whoever can write to Redis must not choose the code that runs here.
        """
        queue = DialQueue(lane, connection=self._redis, serializer=JSONSerializer)
        worker = DialWorker(
            [queue], name=self._name, connection=self._redis, serializer=JSONSerializer, log_job_description=False
        )
        worker.log_result_lifespan = False
        job = Job.create(
            DIAL_FUNCTION,
            connection=self._redis,
            id=attempt_id,
            origin=lane,
            timeout=JOB_TIMEOUT_S,
            result_ttl=RESULT_TTL_S,
            failure_ttl=RESULT_TTL_S,
            description="controller.dial.dial()",
            serializer=JSONSerializer,
        )
        worker.prepare_execution(job)
        return bool(worker.perform_job(job, queue))

    @contextmanager
    def registered(self) -> Iterator[None]:
        """Shows the controller in ``rq info`` while the block runs; a dead namesake's entry is replaced."""
        front = DialWorker(["dial"], name=self._name, connection=self._redis, serializer=JSONSerializer)
        self._redis.delete(front.key)
        cast(Any, front).register_birth()
        beat = gevent.spawn(self._beat, front)
        try:
            yield
        finally:
            beat.kill()
            cast(Any, front).register_death()

    @staticmethod
    def _beat(front: DialWorker) -> None:
        while True:
            gevent.sleep(30)
            try:
                front.heartbeat()
            except Exception:
                log.warning("worker heartbeat not written", exc_info=True)
