"""Scopes as they are now, read without changing anything: what counts in each, what it allows, when its next slot is.

The rules are those of ``lua/scope.lua``; there they act, here they are only told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from redis import Redis

from budget.leases import redis_now_us
from budget.replies import number, text
from budget.scopes import GAP_US, held_command
from budget.scripts import PREFIX

#: Kinds of scope on the carrier's side: there an ended call goes on counting, and a step of the clock pays nothing off.
CARRIER_SIDE = ("carrier", "account", "ip")
#: us; a rate of our own is never owed more than one slot, its rest and this (lua/scope.lua).
OWN_DEBT_US = 2_000_000
#: Commands in one pipeline.
CHUNK = 1000

_FIELDS = (
    "max", "interval", "paused", "tat", "seen", "gap", "rest", "factor", "factor_at", "recover", "cap", "cap_at",
    "linger", "more", "state", "why", "probes", "probe_at", "turns", "asked", "clk1", "clk2", "clk3",
    "urgent_share", "bulk_floor", "reserved",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ScopeNow:
    """A limit and how much of it is taken.

    Counts are calls: ``used`` hold a place, ``lingering`` have ended and still count, ``limit`` is what it takes just now
    (None: any number), ``stated`` what it was set to. Times are microseconds: ``interval_us`` between two calls just now
    (None: no rate, 0: never), ``stated_interval_us`` as set, ``next_us`` from now until its rate allows the next,
    ``recover_us`` in which a lowered rate would come back from nothing, ``linger_us`` for which an ended call counts on.
    ``kept``: of its places those that are free and kept for calls that come in. ``known``: Redis was told of it.
    ``waiters``: lanes and tenants that left a carrier's order until it has room.
    """

    scope: str
    used: int = 0
    lingering: int = 0
    limit: int | None = None
    stated: int | None = None
    interval_us: int | None = None
    stated_interval_us: int | None = None
    next_us: int = 0
    recover_us: int = 0
    linger_us: int = 0
    paused: bool = False
    known: bool = False
    waiters: int = 0
    kept: int = 0

    @property
    def kind(self) -> str:
        """What stands before the first colon: ``carrier``, ``account``, ``ip``, ``switch``, ``global``, ``tenant`` ..."""
        return self.scope.partition(":")[0]

    @property
    def counted(self) -> int:
        """What counts against the limit."""
        return self.used + self.lingering

    @property
    def left(self) -> int | None:
        """Places for a call that is to be dialed; None: any number."""
        return None if self.limit is None else max(0, self.limit - self.counted - self.kept)

    @property
    def full(self) -> bool:
        return self.left == 0

    @property
    def stopped(self) -> bool:
        """Nothing goes until somebody changes it: paused, or a limit of 0."""
        return self.paused or self.interval_us == 0 or self.stated == 0

    @property
    def cps(self) -> float | None:
        """Calls per second as they are spaced just now; None: no rate."""
        return _cps(self.interval_us)

    @property
    def stated_cps(self) -> float | None:
        """Calls per second as they are spaced when nothing has lowered the rate; None: no rate."""
        return _cps(self.stated_interval_us)

    @property
    def slowed(self) -> bool:
        """A refusal has lowered the rate or the count, and it is not back yet."""
        return self.interval_us != self.stated_interval_us or self.limit != self.stated


def _cps(interval_us: int | None) -> float | None:
    if interval_us is None:
        return None
    return 1e6 / interval_us if interval_us else 0.0


Fields = dict[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """Scopes at ``now_us`` (Redis' clock), and their hashes as written, '' for what is not there."""

    now_us: int
    scopes: dict[str, ScopeNow]
    fields: dict[str, Fields]


def clock(redis: Redis, now_us: int | None) -> int:
    """``now_us``, or Redis' own clock."""
    return redis_now_us(redis) if now_us is None else now_us


def ask(redis: Redis, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The replies to many commands, in pipelines of a bearable length. Raises ``RedisError``."""
    replies: list[Any] = []
    for start in range(0, len(commands), CHUNK):
        pipe: Any = redis.pipeline(transaction=False)
        for command in commands[start : start + CHUNK]:
            pipe.execute_command(*command)
        replies += pipe.execute()
    return replies


def read_fields(redis: Redis, names: Sequence[str]) -> dict[str, Fields]:
    """What is written of each scope; one pipeline."""
    replies = ask(redis, [("HMGET", f"{PREFIX}s:{name}", *_FIELDS) for name in names])
    return {
        name: {field: text(value or b"") for field, value in zip(_FIELDS, reply, strict=True)}
        for name, reply in zip(names, replies, strict=True)
    }


def count(redis: Redis, fields: dict[str, Fields], now_us: int) -> dict[str, ScopeNow]:
    """The scopes of :func:`read_fields` with what counts in them; one pipeline."""
    commands: list[tuple[Any, ...]] = []
    for name, known in fields.items():
        # After a step of the clock what lingers is measured from the last look, not from now.
        since = number(known["seen"] or None) if _stepped(name, known, now_us) else now_us
        commands += [
            held_command(name),
            ("ZCOUNT", f"{PREFIX}linger:{name}", f"({now_us if since is None else since}", "+inf"),
            ("SCARD", f"{PREFIX}wait:{name}"),
            ("HGET", f"{PREFIX}held", f"in:{name}"),
        ]
    seats = read_seats(redis, [name for name in fields if name.startswith("seats:")], now_us)
    replies = ask(redis, commands)
    counts = zip(replies[::4], replies[1::4], replies[2::4], replies[3::4], strict=True)
    found = {
        name: _scope(name, fields[name], now_us, *(int(one or 0) for one in four))
        for name, four in zip(fields, counts, strict=True)
    }
    for name, (used, limit, kept) in seats.items():
        found[name] = replace(found[name], used=used, limit=limit, stated=limit, kept=kept, known=True)
    return found


def read_seats(redis: Redis, names: Sequence[str], now_us: int) -> dict[str, tuple[int, int, int]]:
    """Of scopes of seats: how many are taken or owed, how many there are, how many of the free ones are kept for calls that
    come in (as ``count_seats`` in lua/scope.lua).
    """
    commands: list[tuple[Any, ...]] = []
    for name in names:
        pool = name.split(":")[1]
        commands += [
            ("ZCOUNT", f"{PREFIX}free:{pool}", f"({now_us}", "+inf"),
            ("ZCOUNT", f"{PREFIX}seats:{pool}", f"({now_us}", "+inf"),
            ("SCARD", f"{PREFIX}owed:seats:{pool}"),
            ("SCARD", f"{PREFIX}owed:seats:{pool}:at_answer"),
            ("HMGET", f"{PREFIX}s:seats:{pool}", "reserved", "per_seat"),
            ("HGET", f"{PREFIX}held", f"in:seats:{pool}"),
            ("SCARD", f"{PREFIX}left:{pool}"),
        ]
    replies = ask(redis, commands)
    found = {}
    for i, name in enumerate(names):
        free, there, owed, dialed, (reserved, per_seat), inbound, left = replies[7 * i : 7 * i + 7]
        kept = max(0, (number(reserved or None) or 0) - (int(inbound or 0) - left))
        if name.endswith(":at_answer"):
            most = math.floor(max(0, free - owed - kept) * float(per_seat or 1))
            found[name] = (there - free + dialed, there - free + most, 0)
        else:
            found[name] = (max(0, there - free) + owed, there, kept)
    return found


def read_scopes(redis: Redis, names: Iterable[str], now_us: int | None = None) -> Reading:
    """Scopes as they are now; three round trips however many. Raises ``RedisError`` when Redis is away."""
    now = clock(redis, now_us)
    fields = read_fields(redis, list(dict.fromkeys(names)))
    return Reading(now, count(redis, fields, now), fields)


def _stepped(name: str, known: Fields, now_us: int) -> bool:
    if name.partition(":")[0] not in CARRIER_SIDE or not known["seen"]:
        return False
    passed = now_us - int(known["seen"])
    return not 0 <= passed <= (number(known["gap"] or None) or GAP_US)


def _returned(known: Fields, value: str, since: str, now_us: int) -> float:
    """What a lowered rate or count is back to, of 1."""
    if not known[value]:
        return 1.0
    recover = int(known["recover"] or 1)
    return min(1.0, float(known[value]) + max(0, now_us - int(known[since] or 0)) / recover)


def _scope(name: str, known: Fields, now_us: int, used: int, lingering: int, waiters: int, inbound: int) -> ScopeNow:
    carrier_side = name.partition(":")[0] in CARRIER_SIDE
    stated = number(known["max"] or None)
    limit = stated
    if stated is not None and known["cap"]:
        limit = min(stated, max(1, math.floor(stated * _returned(known, "cap", "cap_at", now_us))))
    stated_interval = number(known["interval"] or None)
    interval = stated_interval
    if interval:
        interval = math.ceil(interval / _returned(known, "factor", "factor_at", now_us))
    tat = number(known["tat"] or None) or 0
    if _stepped(name, known, now_us):
        tat = now_us + max(0, tat - int(known["seen"]))
    elif interval and not carrier_side and tat > now_us + interval + (number(known["rest"] or None) or 0) + OWN_DEBT_US:
        tat = now_us + interval
    return ScopeNow(
        name,
        used,
        lingering if carrier_side else 0,
        limit,
        stated,
        interval,
        stated_interval,
        max(0, tat - now_us) if interval else 0,
        number(known["recover"] or None) or 0,
        number(known["linger"] or None) or 0,
        known["paused"] == "1",
        bool(known["max"] and known["interval"]) if name.startswith("carrier:") else bool(known["paused"]),
        waiters,
        max(0, (number(known["reserved"] or None) or 0) - inbound),
    )
