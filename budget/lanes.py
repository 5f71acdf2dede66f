"""What Redis knows of carriers and lanes; written by the feeder from Postgres, live."""

from __future__ import annotations

import math
from collections.abc import Sequence
from uuid import UUID

from redis import Redis

from budget.replies import texts
from budget.scripts import PREFIX, run


def interval_us(cps: float, window_ms: int, jitter_ms: float, invite_cost: int) -> int:
    """Microseconds between two slots: (W + J) / floor(N / cost). 0 means: never (a limit of 0).

    With burst 1 this is the one pacing that never exceeds N in any window W whatever happens to an INVITE within J.
    """
    if cps <= 0:
        return 0
    # Calls are whole: 2.5 CPS in one second's window means 2, and 5 INVITEs at 2 a call mean 2 calls. Below one call per
    # window the window itself is stretched to hold exactly one.
    calls = cps * window_ms / 1000 / invite_cost
    count = math.floor(calls)
    window = float(window_ms) if count >= 1 else window_ms / calls
    return math.ceil((window + jitter_ms) * 1000 / max(count, 1))


def set_limits(redis: Redis, carrier_id: UUID, *, max_channels: int, interval: int, linger_us: int, paused: bool) -> bool:
    """Writes one carrier's numbers; True when something changed."""
    return bool(run(redis, "limits", str(carrier_id), max_channels, interval, linger_us, int(paused)))


def set_lane(redis: Redis, lane: str, *, tenant_id: UUID, priority: str, weight: int, carriers: Sequence[UUID]) -> None:
    """States who may serve ``lane`` and puts it in order if it holds work."""
    run(redis, "lane", lane, str(tenant_id), priority, weight, ",".join(str(c) for c in carriers))


def known_lanes(redis: Redis) -> set[str]:
    """Every dial lane RQ knows of, also those that only plain ``Queue.enqueue`` filled, and those waiting to be stated."""
    names = {key.removeprefix("rq:queue:") for key in texts(redis.smembers("rq:queues"))}
    names.update(texts(redis.smembers(f"{PREFIX}unlaned")))
    return {name for name in names if name.startswith("dial.")}


def missing(redis: Redis, attempts: Sequence[UUID]) -> list[UUID]:
    """Of ``attempts``, those that are in no lane and hold no lease."""
    if not attempts:
        return []
    pipe = redis.pipeline(transaction=False)
    for attempt in attempts:
        pipe.sismember(f"{PREFIX}in", str(attempt))
        pipe.exists(f"{PREFIX}lease:{attempt}")
    replies = pipe.execute()
    return [a for i, a in enumerate(attempts) if not replies[2 * i] and not replies[2 * i + 1]]
