"""What Redis knows of carriers and lanes; written by the feeder from Postgres, live."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from redis import Redis

from budget.replies import texts
from budget.scripts import PREFIX, run, run_all

QUEUE = "rq:queue:"
#: us; as GAP_US in lua/lib.lua, for pumps that ask every second.
GAP_US = 1_500_000
#: Lanes in one script; Redis does nothing else meanwhile.
CHUNK = 100
#: Ids read from a lane at once.
LISTED = 1000
#: Ids in one script that walks the whole lane for each.
FEW = 5


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


def set_limits(
    redis: Redis,
    carrier_id: UUID,
    *,
    max_channels: int,
    interval: int,
    linger_us: int,
    paused: bool,
    gap_us: int = GAP_US,
) -> bool:
    """Writes one carrier's numbers; True when something changed.

    ``gap_us``: longer than its pumps ever wait between two requests; more time than that, at once, is a step of the clock.
    """
    return bool(run(redis, "limits", str(carrier_id), max_channels, interval, linger_us, int(paused), gap_us))


class LaneSpec(NamedTuple):
    """A lane and who may serve it; no carriers: nobody."""

    name: str
    tenant_id: UUID
    priority: str
    weight: int
    carriers: tuple[UUID, ...]


def set_lanes(redis: Redis, specs: Iterable[LaneSpec]) -> int:
    """States every lane of ``specs`` and puts those in order that hold work; returns how many changed or came into order.

    One pipeline. A lane that is as stated and in order costs a look and wakes nobody. Without carriers a lane leaves every
    order and keeps its work; one that Redis was never told of stays so.
    """
    flat: list[tuple[str | int, ...]] = [
        (spec.name, str(spec.tenant_id), spec.priority, spec.weight, ",".join(str(c) for c in spec.carriers))
        for spec in specs
    ]
    chunks = [[word for spec in flat[i : i + CHUNK] for word in spec] for i in range(0, len(flat), CHUNK)]
    return sum(map(int, run_all(redis, "lane", chunks)))


def set_lane(redis: Redis, lane: str, *, tenant_id: UUID, priority: str, weight: int, carriers: Sequence[UUID]) -> bool:
    """:func:`set_lanes` of one; True when it changed or came into order."""
    return set_lanes(redis, [LaneSpec(lane, tenant_id, priority, weight, tuple(carriers))]) == 1


def known_lanes(redis: Redis) -> set[str]:
    """Every dial lane RQ knows of, also those that only plain ``Queue.enqueue`` filled, and those waiting to be stated."""
    names = {key.removeprefix(QUEUE) for key in texts(redis.smembers("rq:queues"))}
    names.update(texts(redis.smembers(f"{PREFIX}unlaned")))
    return {name for name in names if name.startswith("dial.")}


def empty_lanes(redis: Redis, names: Iterable[str]) -> set[str]:
    """Of ``names``, those that hold no work just now."""
    asked = list(names)
    pipe = redis.pipeline(transaction=False)
    for name in asked:
        pipe.exists(f"{QUEUE}{name}", f"{QUEUE}{name}:intermediate")
    return {name for name, held in zip(asked, pipe.execute(), strict=True) if not held}


def prune(redis: Redis, names: Sequence[str]) -> int:
    """Forgets those of ``names`` that hold nothing, in RQ's list of queues too; returns how many."""
    chunks = [names[i : i + CHUNK] for i in range(0, len(names), CHUNK)]
    return sum(map(int, run_all(redis, "prune", chunks)))


def missing(redis: Redis, items: Sequence[tuple[UUID, str]]) -> list[tuple[UUID, str]]:
    """Of ``(attempt, lane)``, those that are nowhere: not in that lane, and without a lease. A push adds them again.

    The lists themselves are read, from the front until all are found; the set of laned ids is not believed, and what it
    says of the missing is corrected.
    """
    wanted: dict[str, dict[str, tuple[UUID, str]]] = {}
    for attempt, lane in items:
        wanted.setdefault(lane, {})[str(attempt)] = (attempt, lane)
    doubtful: list[tuple[UUID, str]] = []
    for lane, absent in wanted.items():
        start = 0
        while absent and (listed := redis.lrange(f"{QUEUE}{lane}", start, start + LISTED - 1)):
            for found in texts(listed):
                absent.pop(found, None)
            start += LISTED
        doubtful += absent.values()
    # What was popped or put back meanwhile may have been overlooked: a script has the last word, on few at a time.
    nowhere: set[str] = set()
    for i in range(0, len(doubtful), FEW):
        nowhere.update(texts(run(redis, "mend", *(str(word) for item in doubtful[i : i + FEW] for word in item))))
    return [item for item in doubtful if str(item[0]) in nowhere]
