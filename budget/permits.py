"""The permit: one carrier's channel and CPS slot together with the call that takes them, or nothing.

Everything here is one Redis script per verb (budget/lua/), on Redis time only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from redis import Redis

from budget.push import JOB_TIMEOUT_S, RESULT_TTL_S, iso_now, job_data
from budget.replies import number, text, texts
from budget.scripts import PREFIX, run
from settings import Settings


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


@dataclass(frozen=True, slots=True)
class Lease:
    """A channel held: who holds it, with which fence, on which switch."""

    attempt_id: UUID
    fence: int
    carrier_id: UUID
    switch: str


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


def requeue(redis: Redis, attempt_id: UUID, fence: int) -> bool:
    """A permit that was not used goes back: front of the lane, charge refunded, slot burned. False: not the owner."""
    return bool(run(redis, "requeue", str(attempt_id), fence, iso_now(), job_data(), JOB_TIMEOUT_S, RESULT_TTL_S))


def renew(redis: Redis, settings: Settings, attempts: Sequence[UUID]) -> int:
    """Renews the leases of channels the switch just confirmed; returns how many leases there were."""
    if not attempts:
        return 0
    return int(run(redis, "renew", int(settings.lease_s * 1_000_000), *(str(a) for a in attempts)))


def adopt(redis: Redis, settings: Settings, lease: Lease, lane: str) -> bool:
    """Writes the lease of a call known to live; True when there was none."""
    return bool(
        run(
            redis,
            "adopt",
            str(lease.attempt_id),
            lease.fence,
            str(lease.carrier_id),
            lane,
            lease.switch,
            int(settings.lease_s * 1_000_000),
        )
    )


def linger(redis: Redis, carrier_id: UUID, attempt_id: UUID, fence: int, us: int) -> None:
    """The attempt has ended; its channel goes on counting for ``us`` microseconds from now."""
    redis.zadd(f"{PREFIX}linger:{carrier_id}", {f"{attempt_id}:{fence}": redis_now_us(redis) + us})


def leases(redis: Redis, carriers: Iterable[UUID]) -> list[Lease]:
    """Every lease of the given carriers, for reconcile and audit."""
    found: list[Lease] = []
    for carrier in carriers:
        for attempt in texts(redis.zrange(f"{PREFIX}leases:{carrier}", 0, -1)):
            fence, switch = cast("list[bytes | None]", redis.hmget(f"{PREFIX}lease:{attempt}", ["fence", "switch"]))
            if fence is not None:
                found.append(Lease(UUID(attempt), int(fence), carrier, text(switch or b"")))
    return found


def overdue_pops(redis: Redis, now_us: int, limit: int) -> list[tuple[UUID, int]]:
    """Attempts popped and not claimed by their deadline, with their fences."""
    found: list[tuple[UUID, int]] = []
    for attempt in texts(redis.zrangebyscore(f"{PREFIX}popped", "-inf", now_us, start=0, num=limit)):
        fence = number(redis.hget(f"{PREFIX}lease:{attempt}", "fence"))
        if fence is None:
            redis.zrem(f"{PREFIX}popped", attempt)
        else:
            found.append((UUID(attempt), fence))
    return found


def redis_now_us(redis: Redis) -> int:
    """Redis' own clock in microseconds."""
    seconds, micros = redis.time()
    return int(seconds) * 1_000_000 + int(micros)
