"""Calls that come in: counted like those that are dialed, at once or not at all."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from redis import Redis

from budget.leases import UNCOUNTED
from budget.replies import number, text
from budget.scripts import run
from settings import Settings


class Admission(NamedTuple):
    """``fence`` of the lease, or None and ``full``: the scope that has no place, ``not_ready`` while there is no budget."""

    fence: int | None
    full: str


def admit(redis: Redis, settings: Settings, attempt_id: UUID, carrier_id: UUID | None, lane: str) -> Admission:
    """Counts the call in everything that its lane, its switch and its carrier count in; asked again, it is the same lease.

    ``carrier_id`` None: no carrier counts it. Raises ``RedisError`` when Redis is away.
    """
    lease_us = int(settings.lease_s * 1_000_000)
    fence, full = run(redis, "admit", str(attempt_id), str(carrier_id or UNCOUNTED), lane, settings.switch, lease_us)
    return Admission(number(fence or None), text(full))
