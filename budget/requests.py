"""Requests of a tenant, counted for all web processes together."""

from __future__ import annotations

from typing import NamedTuple

from redis import Redis

from budget.scripts import run


class Counted(NamedTuple):
    """Whether the request was counted, how many are left of its window, and s until there are more again."""

    allowed: bool
    remaining: int
    reset_s: float


def count(redis: Redis, who: str, most: int, window_s: int) -> Counted:
    """One request of ``who``, who may send ``most`` in ``window_s`` seconds; one too many is not counted. One round trip.

    Raises ``redis.exceptions.RedisError`` when Redis is away.
    """
    allowed, remaining, more_ms = run(redis, "requests", who, most, window_s * 1000)
    return Counted(bool(allowed), int(remaining), int(more_ms) / 1000)
