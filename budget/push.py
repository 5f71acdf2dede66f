"""Attempts into their lanes. A lane is an RQ queue; the job's id is the attempt's, its work is always the same."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from uuid import UUID

from redis import Redis
from rq.serializers import JSONSerializer

from budget.replies import texts
from budget.scripts import run

#: Where RQ finds the work of every dial job.
DIAL_FUNCTION = "controller.dial.dial"
#: s; longer than any wait inside a dial job.
JOB_TIMEOUT_S = 30
#: s; how long RQ keeps a finished job for an operator to look at.
RESULT_TTL_S = 3600
#: Attempts in one script call: longer ones would hold Redis up for more than a permit may take (round_trip_ms).
CHUNK = 100


@cache
def job_data() -> bytes:
    """RQ's packed (function, instance, args, kwargs): no argument, because the job's id says it all."""
    return zlib.compress(JSONSerializer.dumps((DIAL_FUNCTION, None, [], {})))


def iso_now() -> str:
    """UTC now as RQ writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def push(
    redis: Redis, items: Sequence[tuple[UUID, str]], *, window: int | None = None, most: int | None = None
) -> list[UUID]:
    """Appends ``(attempt id, lane)`` to their lanes; returns those that are in a lane now, popped or leased.

    Idempotent: one already laned, popped or leased is left alone. With ``window`` nothing is appended to a lane that holds
    so many already, or behind which older calls wait in Postgres: the feeder brings it after these. With ``most`` besides,
    nothing is appended while all lanes together hold so many. Raises ``redis.exceptions.RedisError`` when Redis is away;
    nothing is lost then, the feeder pushes from Postgres.
    """
    laned: list[UUID] = []
    for start in range(0, len(items), CHUNK):
        chunk = items[start : start + CHUNK]
        flat = [text for attempt, lane in chunk for text in (str(attempt), lane)]
        about = (iso_now(), job_data(), JOB_TIMEOUT_S, RESULT_TTL_S, window or 0, most or 0)
        left = set(texts(run(redis, "push", *about, *flat)))
        laned += [attempt for attempt, _ in chunk if str(attempt) not in left]
    return laned
