"""Resting a carrier after an INVITE whose moment is not known."""

from __future__ import annotations

from uuid import UUID

from redis import Redis

from budget.scripts import run


def hold(redis: Redis, carrier_id: UUID, us: int) -> None:
    """No slot of the carrier lies within the next ``us`` microseconds. Raises ``RedisError`` when Redis is away."""
    run(redis, "hold", str(carrier_id), us)
