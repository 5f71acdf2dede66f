"""What a carrier owes after an INVITE whose moment is not known: see "Late, and of unknown time" in docs/budget.md."""

from __future__ import annotations

from uuid import UUID

from redis import Redis

from budget.scripts import run


def hold(redis: Redis, carrier_id: UUID, us: int) -> None:
    """No slot of the carrier lies within the next ``us`` microseconds. Raises ``RedisError`` when Redis is away."""
    run(redis, "hold", str(carrier_id), us)


def leave_out(redis: Redis, carrier_id: UUID) -> None:
    """An INVITE has left by now, later than it should: the carrier's next slot is left out for it.

    Raises ``RedisError`` when Redis is away.
    """
    run(redis, "leave_out", str(carrier_id))
