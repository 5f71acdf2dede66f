"""Seats of the fleet: which workers there are, who has which, and where the agent of a call is.

A seat is free, held by an attempt (from its permit on; only the permit frees it again) or busy with one (its worker took the
call; only the worker frees it again, or its silence). Each step is one script, and compares before it sets (lua/seat.lua).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

from redis import Redis

from budget.lanes import known_lanes, lengths, overflowing
from budget.replies import attempt, text, texts
from budget.scripts import run

#: What a keeper says of a seat: it goes on, takes no more calls, or is no more.
Word = Literal["", "leaving", "gone"]
#: What a lane's name ends with (calls/lanes.py).
_POOL = re.compile(r"\.[fo]-([a-z0-9-]+)$")
#: Seats in one script.
CHUNK = 100


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of one seat. ``worker``: which process it is; ``url``: where it takes its call; ``attempt_id``: which
    it has taken, None: none; ``token``: the id of the token that this one came with, which is good at one worker.
    """

    pool: str
    name: str
    worker: str
    url: str
    attempt_id: UUID | None = None
    word: Word = ""
    token: str = ""


class Stands(NamedTuple):
    """How a seat stands: ``free``, ``held``, ``busy``, ``away`` (nobody may have it), ``gone``, ``taken``: another keeper
    speaks for a seat of that name, or ``refused``: another worker was reached with its call's token before.
    """

    state: str
    attempt_id: UUID | None


class Place(NamedTuple):
    """Where the agent of a call is; ``seat``: ``<pool>/<name>``."""

    url: str
    seat: str


class PoolNow(NamedTuple):
    """A pool as it is now, counted in seats. ``there`` are heard of; ``owed``: calls under way that have no seat (yet)."""

    name: str
    there: int
    free: int
    held: int
    busy: int
    owed: int


class InLine(NamedTuple):
    """Calls that wait in a pool's lanes; ``more``: others wait behind them in Postgres."""

    waiting: int
    more: bool


def say(redis: Redis, keeper: str, hold_s: float, said: Sequence[Said], seq: int | None = None) -> list[Stands]:
    """What a keeper says of its seats, good for ``hold_s`` seconds; how each stands after it, in order. Again: the same.

    ``seq`` rises with each thing that a keeper says; what has a lower one than was heard of it comes too late and changes
    nothing.

    Raises ``RedisError`` when Redis is away.
    """
    found: list[Stands] = []
    for start in range(0, len(said), CHUNK):
        words: list[str | int | bytes] = [keeper, int(hold_s * 1_000_000), "" if seq is None else seq]
        for one in said[start : start + CHUNK]:
            words += [one.pool, one.name, one.worker, one.url, str(one.attempt_id or ""), one.token, one.word]
        reply = run(redis, "seats", *words)
        found += [Stands(text(state), attempt(of)) for state, of in zip(reply[::2], reply[1::2], strict=True)]
    return found


def seat_of(redis: Redis, attempt_id: UUID, pool: str, unreachable: str = "") -> Place | None:
    """The seat of an attempt that holds a lease: the one it has, else a free one, which it then has. None: there is none.

    Its own seat also when its keeper was not heard of for long: whoever answered is not dropped while the API is away.
    ``unreachable``: a seat of its that did not take the call; it gets another. Raises ``RedisError`` when Redis is away.
    """
    url, seat = run(redis, "seat_of", str(attempt_id), pool, unreachable)
    return Place(text(url), text(seat)) if url else None


def next_seat(redis: Redis, attempt_id: UUID, pool: str, unreachable: str = "") -> Place | None:
    """A seat for the agent that is to take over the attempt's call, beside the one that it has; as :func:`seat_of`. What is
    reserved for callers is theirs alone. To be followed by :func:`moved`.
    """
    url, seat = run(redis, "next_seat", str(attempt_id), pool, unreachable)
    return Place(text(url), text(seat)) if url else None


def moved(redis: Redis, attempt_id: UUID, *, taken_over: bool) -> None:
    """Another agent talks now, and the seat that the call had, if it had one, is given back; or it came to nothing, and the
    next seat is. Raises ``RedisError`` when Redis is away.
    """
    run(redis, "moved", str(attempt_id), int(taken_over))


def pools(redis: Redis) -> list[PoolNow]:
    """Every pool that seats were heard of, by name. Raises ``RedisError`` when Redis is away."""
    reply = run(redis, "pools")
    names = texts(reply[::6])
    counts = zip(*(map(int, reply[i::6]) for i in range(1, 6)), strict=True)
    return sorted(PoolNow(name, *numbers) for name, numbers in zip(names, counts, strict=True))


def in_line(redis: Redis) -> dict[str, InLine]:
    """Who waits for each pool's seats, in the lanes. Raises ``RedisError`` when Redis is away."""
    lanes = [name for name in known_lanes(redis) if _POOL.search(name) is not None]
    longest, behind = lengths(redis, lanes), overflowing(redis)
    found: dict[str, InLine] = {}
    for name in lanes:
        match = _POOL.search(name)
        assert match is not None
        before = found.get(match[1], InLine(0, more=False))
        found[match[1]] = InLine(before.waiting + longest[name], before.more or name in behind)
    return found
