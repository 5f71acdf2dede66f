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


def count(redis: Redis, who: str, most: int, window_s: int, came: int = 1) -> list[Counted]:
    """So many requests of ``who``, who may send ``most`` in ``window_s`` seconds; one too many is not counted. In their
    order. One round trip.

    Raises ``redis.exceptions.RedisError`` when Redis is away.
    """
    allowed, left, more_ms = (int(one) for one in run(redis, "requests", who, most, window_s * 1000, came))
    return [Counted(nth < allowed, left + max(0, allowed - nth - 1), more_ms / 1000) for nth in range(came)]
