"""The epoch: which life of the budget this is. It lives in Postgres; Redis only repeats it.

Redis wiped, restarted or failed over -> no ``epoch`` key -> every permit is refused as ``not_ready`` until the leader has
rebuilt leases from Postgres and opened a new epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast
from uuid import UUID

from redis import Redis

from budget.replies import number
from budget.scripts import PREFIX, run


def run_id(redis: Redis) -> str:
    """The identity of the Redis process that answers."""
    return str(cast("dict[str, object]", redis.info("server"))["run_id"])


def opened(redis: Redis) -> int | None:
    """The epoch that is open in Redis, or None."""
    return number(redis.get(f"{PREFIX}epoch"))


def wipe(redis: Redis) -> None:
    """Removes every key of the budget and every lane: what follows is rebuilt from Postgres."""
    for pattern in (f"{PREFIX}*", "rq:queue:dial.*"):
        batch: list[bytes] = []
        for key in redis.scan_iter(match=pattern, count=1000):
            batch.append(key)
            if len(batch) >= 1000:
                redis.unlink(*batch)
                batch = []
        if batch:
            redis.unlink(*batch)


def open_epoch(redis: Redis, epoch: int, server_run_id: str, holds_us: Iterable[tuple[UUID, int]]) -> None:
    """Opens ``epoch``; each carrier's first slot lies its hold (window + jitter, microseconds) ahead."""
    flat: list[str | int] = []
    for carrier, hold in holds_us:
        flat += [str(carrier), hold]
    run(redis, "open", epoch, server_run_id, *flat)
