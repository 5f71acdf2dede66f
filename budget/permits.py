"""The permit: one carrier's channel and CPS slot together with the call that takes them, or nothing.

Everything here is one Redis script per verb (budget/lua/), on Redis time only.
"""

from __future__ import annotations

import struct
from binascii import unhexlify
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID, SafeUUID

from redis import Redis

from budget.leases import Lease, adopt, leases, linger, overdue_pops, redis_now_us, renew, suspects
from budget.push import JOB_TIMEOUT_S, RESULT_TTL_S, iso_now, job_data
from budget.scripts import run, run_all
from settings import Settings

#: us; beyond lead and margin, so that a pump that comes to the moment is not sent away for a clock's tick.
REACH_US = 2_000
#: us; beyond J, for the acknowledgement's way from the switch to Redis.
ACKNOWLEDGED_US = 20_000
_NUMBERS = struct.Struct("<8d").pack
_NEW, _SET, _TUPLE = object.__new__, object.__setattr__, tuple.__new__

__all__ = [
    "Answer",
    "Grant",
    "Lease",
    "adopt",
    "grant",
    "leases",
    "linger",
    "mark_all_claimed",
    "mark_claimed",
    "overdue_pops",
    "redis_now_us",
    "refuse",
    "release",
    "release_all",
    "release_each",
    "renew",
    "requeue",
    "suspects",
]


class Grant(NamedTuple):
    """A permit. ``slot_us``: microseconds from the moment before the request was sent to when the INVITE may leave."""

    attempt_id: UUID
    lane: str
    slot_us: int
    fence: int
    epoch: int


class Answer(NamedTuple):
    """Permits, none to as many as asked for, and what stopped at the last of them.

    ``limit``: the scope that is full or paced (``carrier:...``, ``tenant:...``), or ``cps`` (its turn has not come),
    ``more`` (as many as asked for), ``order`` (left to another carrier), ``empty`` (nothing in order), ``paused``,
    ``stopped``, ``probing``, ``not_ready``. ``next_us``: microseconds after which to ask again, None: when woken.
    ``paced``: it is only time that has to pass.
    """

    grants: tuple[Grant, ...]
    limit: str
    next_us: int | None
    paced: bool = False


class Terms(NamedTuple):
    """What is the same in every request; microseconds. ``lead``: the earliest slot's distance when the caller names none."""

    lead: int
    margin: int
    horizon: int
    lease: int
    popped: int
    late: int


def terms(settings: Settings) -> Terms:
    """Of a controller."""
    return Terms(
        int(settings.slot_lead_ms * 1000),
        int(settings.slot_margin_ms * 1000),
        settings.slot_horizon_ms * 1000,
        int(settings.lease_s * 1_000_000),
        int(settings.popped_deadline_s * 1_000_000),
        int(settings.jitter_ms * 1000) + ACKNOWLEDGED_US,
    )


def request(own: Terms, want: int, lead_us: int | None) -> bytes:
    """The numbers of a request, as lua/grant/ask.lua reads them."""
    default, margin, horizon, lease, popped, late = own
    lead = default if lead_us is None else lead_us
    reach = lead + margin + REACH_US
    return _NUMBERS(want, lead, reach, horizon if horizon > reach else reach, lease, popped, margin, late)


def read_answer(reply: list[Any]) -> Answer:
    """The reply to a request. Written for speed: it is half of what a permit of a batch costs the pump."""
    limit, wait, epoch, paced = reply[:4]
    grants: list[Grant] = []
    i = 4
    while i < len(reply):
        raw, count, slot, step, fence = reply[i : i + 5]
        lane, opened = raw.decode(), int(epoch)
        i += 5 + count
        for attempt in reply[i - count : i]:
            # As UUID(attempt.decode()) in a third of the time; the script lets only well-formed ones through.
            made = _NEW(UUID)
            _SET(made, "int", int.from_bytes(unhexlify(attempt.replace(b"-", b"")), "big"))
            _SET(made, "is_safe", SafeUUID.unknown)
            grants.append(_TUPLE(Grant, (made, lane, slot, fence, opened)))
            slot, fence = slot + step, fence + 1
    return Answer(tuple(grants), limit.decode(), wait if wait >= 0 else None, paced == 1)


def grant(
    redis: Redis, settings: Settings, carrier_id: UUID, switch: str, *, want: int = 1, lead_us: int | None = None
) -> Answer:
    """Asks for the next permits of ``carrier_id``, at most ``want`` (1 to 500), the first not before ``lead_us`` from now.

    Raises ``RedisError`` when Redis is away: then nothing is dialed. A pump asks over its own line (budget/line.py).
    """
    return read_answer(run(redis, "grant", str(carrier_id), switch, request(terms(settings), want, lead_us)))


def mark_claimed(redis: Redis, attempt_id: UUID, fence: int, *, acknowledged: bool = True) -> bool:
    """Postgres has the claim: the attempt is no longer one to be given back by the sweep.

    ``acknowledged``: its switch has taken it over as well. Until somebody says so, or its call is over, a permit that is
    older than J may leave at any time, and takes a place in every window of its carrier. False: not the owner.
    """
    return bool(run(redis, "claimed", str(attempt_id), fence, int(acknowledged)))


def mark_all_claimed(redis: Redis, claimed: Sequence[tuple[UUID, int]]) -> None:
    """:func:`mark_claimed` of many ``(attempt, fence)`` that their switch has acknowledged."""
    run_all(redis, "claimed", [(str(attempt), fence, 1) for attempt, fence in claimed])


def release(redis: Redis, attempt_id: UUID, fence: int, *, linger_us: int | None = None) -> bool:
    """Gives the channel back; it counts for ``linger_us`` more (None: the carrier's own linger).

    False: the caller does not own this lease.
    """
    return bool(run(redis, "release", str(attempt_id), fence, -1 if linger_us is None else linger_us))


def release_all(redis: Redis, ended: Sequence[tuple[UUID, int]]) -> int:
    """:func:`release` of many ``(attempt, fence)`` at once, each with its carrier's linger; returns how many were ours."""
    return release_each(redis, [(attempt, fence, None) for attempt, fence in ended])


def release_each(redis: Redis, ended: Sequence[tuple[UUID, int, int | None]]) -> int:
    """:func:`release` of many ``(attempt, fence, linger in us)`` at once; returns how many were ours."""
    words = [word for attempt, fence, us in ended for word in (str(attempt), fence, -1 if us is None else us)]
    return int(run(redis, "release", *words)) if words else 0


def refuse(redis: Redis, attempt_id: UUID, fence: int) -> bool:
    """The claim was refused and nothing was written to the switch: the lease goes, without linger.

    Its slot goes to the next call if none was granted later and nothing else moved the carrier's pacing since; the charge
    is refunded then. False: the caller does not own this lease.
    """
    return bool(run(redis, "refuse", str(attempt_id), fence))


def requeue(redis: Redis, attempt_id: UUID, fence: int) -> bool:
    """A permit that was not used goes back: front of the lane, charge refunded, slot burned. False: not the owner."""
    return bool(run(redis, "requeue", str(attempt_id), fence, iso_now(), job_data(), JOB_TIMEOUT_S, RESULT_TTL_S))
