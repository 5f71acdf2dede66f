"""What killed workers leave in RQ's own books is taken out: entries of the started registry, hashes of jobs nobody will run
again, failures past their time, names of workers that are gone.

RQ would do this in its workers' maintenance, which moves jobs to other states; ours are moved by Postgres alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from redis import Redis

from budget.replies import text, texts
from budget.scripts import PREFIX


def tidy(redis: Redis, lanes: Iterable[str], now_s: float) -> int:
    """Of these lanes, what was over by ``now_s`` (s since 1970, as RQ's scores); returns how many entries were removed.

    An attempt that waits in a lane or holds a lease keeps its job.
    """
    removed = 0
    for lane in lanes:
        for registry in ("wip", "failed", "finished", "canceled"):
            key = f"rq:{registry}:{lane}"
            old = [text(member) for member in redis.zrangebyscore(key, "-inf", now_s)]
            if old:
                _forget_jobs(redis, {member.split(":", 1)[0] for member in old})
                removed += int(redis.zrem(key, *old))
    return removed + _workers(redis)


def _forget_jobs(redis: Redis, ids: Iterable[str]) -> None:
    for one in ids:
        if not redis.sismember(f"{PREFIX}in", one) and not redis.exists(f"{PREFIX}lease:{one}"):
            redis.delete(f"rq:job:{one}", f"rq:executions:{one}", f"rq:results:{one}")


def _workers(redis: Redis) -> int:
    gone = [name for name in texts(redis.smembers("rq:workers")) if not redis.exists(name)]
    if gone:
        redis.srem("rq:workers", *gone)
        redis.srem("rq:workers:dial", *gone)
    return len(gone)
