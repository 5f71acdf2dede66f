"""Leases: the channels that the budget counts, and what is asked about them after the permit.

A lease frees itself never. Past its deadline it is suspect; only Postgres or the switch says that its call is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from redis import Redis

from budget.replies import attempt, number, text
from budget.scopes import carrier_scope
from budget.scripts import PREFIX, run
from settings import Settings

#: Whose channels nobody else counts: the carrier of calls that came in where it does not count those.
UNCOUNTED = UUID(int=0)
#: Leases read in one go: a controller with thousands of calls has other things to do in between.
PAGE = 200
#: fence, carrier, lane, switch, granted at, slot, pacing after it, scopes.
LEASE_WORDS = 8


@dataclass(frozen=True, slots=True)
class Lease:
    """A channel held: who holds it, with which fence, on which switch.

    ``popped``: granted, and nobody has said yet that it is claimed. ``granted_us``, ``deadline_us``: Redis' clock; past
    the deadline nobody has renewed it. Two leases are equal whatever their times.
    """

    attempt_id: UUID
    fence: int
    carrier_id: UUID
    switch: str
    popped: bool = field(default=False, compare=False)
    granted_us: int = field(default=0, compare=False)
    deadline_us: int = field(default=0, compare=False)

    def suspect(self, now_us: int) -> bool:
        """Not renewed in time (or of a clock that has stepped back since, which says nothing about its deadline)."""
        return self.deadline_us <= now_us or self.granted_us > now_us


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
    run(redis, "linger", str(carrier_id), str(attempt_id), fence, us)


def leases(redis: Redis, carriers: Iterable[UUID]) -> list[Lease]:
    """Every lease of the given carriers, and of calls that no carrier counts, for reconcile and audit. One that cannot be
    read is removed.
    """
    known = [*carriers, UNCOUNTED]
    pipe = redis.pipeline(transaction=False)
    for carrier in known:
        pipe.zrange(f"{PREFIX}held:{carrier_scope(carrier)}", 0, -1, withscores=True)
    listed = [(c, raw, score) for c, reply in zip(known, pipe.execute(), strict=True) for raw, score in reply]
    return [lease for i in range(0, len(listed), PAGE) for lease in _read(redis, listed[i : i + PAGE])]


def _read(redis: Redis, listed: Sequence[tuple[UUID, bytes, float]]) -> list[Lease]:
    pipe = redis.pipeline(transaction=False)
    for _, raw, _ in listed:
        pipe.get(_key(raw))
        pipe.zscore(f"{PREFIX}popped", raw)
    replies = pipe.execute()
    found: list[Lease] = []
    for (carrier, raw, score), told, popped in zip(listed, replies[::2], replies[1::2], strict=True):
        attempt_id = attempt(raw)
        if told is None and attempt_id is not None:
            continue  # released since it was listed
        words = text(told or b"").split(" ")
        fence = number(words[0]) if len(words) == LEASE_WORDS else None
        if attempt_id is None or fence is None:
            run(redis, "forget", str(carrier), raw)
            continue
        switch, at = words[3].removeprefix("-"), number(words[4]) or 0
        found.append(Lease(attempt_id, fence, carrier, switch, popped is not None, at, int(score)))
    return found


def suspects(redis: Redis, carriers: Iterable[UUID]) -> list[Lease]:
    """Leases past their deadline: no switch has confirmed their channels for ``lease_s``. To be asked about first."""
    now = redis_now_us(redis)
    return [lease for lease in leases(redis, carriers) if lease.suspect(now)]


def overdue_pops(redis: Redis, now_us: int, limit: int) -> list[tuple[UUID, int]]:
    """Attempts popped and not claimed by their deadline, with their fences. What cannot be read is removed."""
    reply = run(redis, "overdue", now_us, limit)
    pairs = ((attempt(raw), number(fence)) for raw, fence in zip(reply[::2], reply[1::2], strict=True))
    return [(attempt_id, fence) for attempt_id, fence in pairs if attempt_id is not None and fence is not None]


def redis_now_us(redis: Redis) -> int:
    """Redis' own clock in microseconds."""
    seconds, micros = redis.time()
    return int(seconds) * 1_000_000 + int(micros)


def _key(raw: bytes) -> bytes:
    return f"{PREFIX}lease:".encode() + raw


def leased(redis: Redis, attempts: Sequence[UUID]) -> set[UUID]:
    """Of ``attempts``, those that hold a lease: under way, or about to give it back."""
    pipe = redis.pipeline(transaction=False)
    for one in attempts:
        pipe.exists(f"{PREFIX}lease:{one}")
    return {one for one, held in zip(attempts, pipe.execute(), strict=True) if held}
