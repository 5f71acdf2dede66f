"""What Redis knows of lanes: who may serve them, what they hold, whether older calls wait behind them in Postgres."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from redis import Redis

from budget.replies import texts
from budget.scripts import PREFIX, run, run_all

QUEUE = "rq:queue:"
#: Lanes in one script; Redis does nothing else meanwhile.
CHUNK = 100
#: Ids read from a lane at once.
LISTED = 1000
#: Ids in one script that walks the whole lane for each.
FEW = 5
#: Ids thrown out by one script.
DROPPED = 500
_OVERFLOW = f"{PREFIX}overflow"


class Serving(NamedTuple):
    """A carrier of a lane: lower ``tier`` first; within a tier calls are shared by ``weight``."""

    carrier_id: UUID
    tier: int = 1
    weight: int = 1


class LaneSpec(NamedTuple):
    """A lane and who may serve it; no carriers: nobody. ``weight`` is the tenant's share of a contested carrier, ``share``
    the campaign's of its tenant's. A worse tier serves only what a better one would not begin within ``spill_us``.
    """

    name: str
    tenant_id: UUID
    priority: str
    weight: int
    carriers: tuple[Serving, ...]
    share: float = 1.0
    spill_us: int = 0


def set_lanes(redis: Redis, specs: Iterable[LaneSpec]) -> int:
    """States every lane of ``specs`` and puts those in order that hold work; returns how many changed or came into order.

    One pipeline. A lane that is as stated and in order costs a look and wakes nobody. Without carriers a lane leaves every
    order and keeps its work; one that Redis was never told of stays so.
    """
    flat: list[tuple[str | int, ...]] = [
        (
            spec.name,
            str(spec.tenant_id),
            spec.priority,
            spec.weight,
            f"{spec.share:g}",
            ",".join(f"{s.carrier_id}:{s.tier}:{s.weight}" for s in spec.carriers),
            spec.spill_us,
        )
        for spec in specs
    ]
    chunks = [[word for spec in flat[i : i + CHUNK] for word in spec] for i in range(0, len(flat), CHUNK)]
    return sum(map(int, run_all(redis, "lane", chunks)))


def set_lane(redis: Redis, spec: LaneSpec) -> bool:
    """:func:`set_lanes` of one; True when it changed or came into order."""
    return set_lanes(redis, [spec]) == 1


def known_lanes(redis: Redis) -> set[str]:
    """Every dial lane RQ knows of, also those that only plain ``Queue.enqueue`` filled, and those waiting to be stated."""
    names = {key.removeprefix(QUEUE) for key in texts(redis.smembers("rq:queues"))}
    names.update(texts(redis.smembers(f"{PREFIX}unlaned")))
    return {name for name in names if name.startswith("dial.")}


def lengths(redis: Redis, names: Iterable[str]) -> dict[str, int]:
    """How many attempts each lane holds just now."""
    asked = list(names)
    pipe = redis.pipeline(transaction=False)
    for name in asked:
        pipe.llen(f"{QUEUE}{name}")
    return dict(zip(asked, map(int, pipe.execute()), strict=True))


def empty_lanes(redis: Redis, names: Iterable[str]) -> set[str]:
    """Of ``names``, those that hold no work just now."""
    return {name for name, length in lengths(redis, names).items() if not length}


def overflowing(redis: Redis) -> set[str]:
    """Lanes behind which older calls wait in Postgres: new ones are not laned but brought by the feeder, in order."""
    return set(texts(redis.smembers(_OVERFLOW)))


def set_overflow(redis: Redis, on: Iterable[str], off: Iterable[str]) -> None:
    """Marks lanes as overflowing, or as no longer so."""
    more, less = list(on), list(off)
    pipe = redis.pipeline(transaction=False)
    if more:
        pipe.sadd(_OVERFLOW, *more)
    if less:
        pipe.srem(_OVERFLOW, *less)
    pipe.execute()


def drop_waiting(redis: Redis, names: Sequence[str]) -> int:
    """Throws out what waits in these lanes (their rows are Postgres' business); returns how many that were."""
    total = 0
    while names:
        dropped = int(run(redis, "drop_waiting", DROPPED, *names))
        total += dropped
        if dropped < DROPPED:
            break
    return total


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
