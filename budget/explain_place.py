"""Where an attempt stands in its lane, as far as Redis knows."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from redis import Redis

from budget.explain_scopes import ask, clock
from budget.lanes import QUEUE
from budget.leases import LEASE_WORDS
from budget.replies import attempt, number, text
from budget.scripts import PREFIX

#: Attempts of a lane that are looked at.
SEEN = 1000


@dataclass(frozen=True, slots=True)
class Standing:
    """``slot_us``: it has its permit, and is dialed so long from now (us). Else ``rank``: so many of the lane are
    before it, or :data:`SEEN` when it is further back. Else it is not in the lane, which holds ``length``, first of all
    ``laned``.
    """

    slot_us: int | None
    rank: int | None
    length: int
    laned: tuple[UUID, ...] = ()


def standing(redis: Redis, lane: str, attempt_id: UUID, *, now_us: int | None = None) -> Standing:
    """Where ``attempt_id`` stands. Raises ``RedisError``."""
    now = clock(redis, now_us)
    lease, rank, length, known = ask(
        redis,
        [
            ("GET", f"{PREFIX}lease:{attempt_id}"),
            ("LPOS", f"{QUEUE}{lane}", str(attempt_id), "MAXLEN", SEEN + 1),
            ("LLEN", f"{QUEUE}{lane}"),
            ("SISMEMBER", f"{PREFIX}in", str(attempt_id)),
        ],
    )
    if lease is not None:
        words = text(lease).split(" ")
        slot = number(words[5]) if len(words) == LEASE_WORDS else None
        return Standing(max(0, (slot or now) - now), None, int(length))
    if rank is not None:
        return Standing(None, int(rank), int(length))
    if known and int(length) > SEEN:
        return Standing(None, SEEN, int(length))
    listed = ask(redis, [("LRANGE", f"{QUEUE}{lane}", 0, SEEN - 1)])[0] if length else []
    return Standing(None, None, int(length), tuple(one for one in map(attempt, listed) if one is not None))
