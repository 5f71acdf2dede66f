"""The permit: one carrier's channel and CPS slot together with the call that takes them, or nothing.

Everything here is one Redis script per verb (budget/lua/), on Redis time only.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from redis import Redis

from budget.leases import Lease, adopt, leases, linger, overdue_pops, redis_now_us, renew, suspects
from budget.push import JOB_TIMEOUT_S, RESULT_TTL_S, iso_now, job_data
from budget.scripts import run
from settings import Settings

__all__ = [
    "Grant",
    "Lease",
    "Refusal",
    "adopt",
    "grant",
    "leases",
    "linger",
    "mark_claimed",
    "overdue_pops",
    "redis_now_us",
    "refuse",
    "release",
    "renew",
    "requeue",
    "suspects",
]


@dataclass(frozen=True, slots=True)
class Grant:
    """A permit. ``slot_us``: microseconds from the moment before the request was sent to when the INVITE may leave."""

    attempt_id: UUID
    lane: str
    slot_us: int
    fence: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """No permit: which limit said no, and after how many microseconds to ask again (``None``: when woken)."""

    limit: str  # cps, channels, order, empty, paused, not_ready
    retry_us: int | None


def grant(redis: Redis, settings: Settings, carrier_id: UUID, switch: str) -> Grant | Refusal:
    """Asks for the next permit of ``carrier_id``. Raises ``RedisError`` when Redis is away: then nothing is dialed."""
    reply = run(
        redis,
        "grant",
        str(carrier_id),
        switch,
        settings.slot_horizon_ms * 1000,
        int(settings.slot_lead_ms * 1000),
        int(settings.lease_s * 1_000_000),
        int(settings.popped_deadline_s * 1_000_000),
    )
    kind = reply[0].decode()
    if kind == "grant":
        return Grant(UUID(reply[1].decode()), reply[2].decode(), int(reply[3]), int(reply[4]), int(reply[5]))
    if kind == "wait":
        wait = int(reply[1])
        return Refusal(reply[2].decode(), wait if wait >= 0 else None)
    return Refusal(kind, None)


def mark_claimed(redis: Redis, attempt_id: UUID, fence: int) -> bool:
    """Postgres has the claim: the attempt is no longer one to be given back by the sweep."""
    return bool(run(redis, "claimed", str(attempt_id), fence))


def release(redis: Redis, attempt_id: UUID, fence: int, *, linger_us: int | None = None) -> bool:
    """Gives the channel back; it counts for ``linger_us`` more (None: the carrier's own linger).

    False: the caller does not own this lease.
    """
    return bool(run(redis, "release", str(attempt_id), fence, -1 if linger_us is None else linger_us))


def refuse(redis: Redis, attempt_id: UUID, fence: int) -> bool:
    """The claim was refused and nothing was written to the switch: the lease goes, without linger.

    Its slot goes to the next call if none was granted later and nothing else moved the carrier's pacing since; the charge
    is refunded then. False: the caller does not own this lease.
    """
    return bool(run(redis, "refuse", str(attempt_id), fence))


def requeue(redis: Redis, attempt_id: UUID, fence: int) -> bool:
    """A permit that was not used goes back: front of the lane, charge refunded, slot burned. False: not the owner."""
    return bool(run(redis, "requeue", str(attempt_id), fence, iso_now(), job_data(), JOB_TIMEOUT_S, RESULT_TTL_S))
