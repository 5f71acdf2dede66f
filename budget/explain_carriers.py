"""Carriers as they are now: what each has, what waits for it, and which limit holds it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast
from uuid import UUID

from redis import Redis

from budget.explain_scopes import Fields, ScopeNow, ask, clock, count, read_fields
from budget.health import State
from budget.replies import number, texts
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from calls.lanes import PRIORITIES

#: us; pumps ask every second. A carrier that nobody asked for so long is nobody's.
ASKED_US = 3_000_000

#: Why nothing goes. The house: ``closed`` (no epoch is open), ``rebuilding``. A carrier: ``unknown`` (Redis was not
#: told of it), ``stopped``, ``probing``, ``unasked`` (no controller asks for it). A scope: ``paused``, ``channels``,
#: ``cps``. A lane: ``no_route``, ``empty``, ``backlog`` (its work is still in Postgres), ``order`` (left to another
#: carrier), ``turn`` (others are before it), ``lost`` (it has work and is in no order). ``idle``: nothing waits.
Name = Literal[
    "closed", "rebuilding", "unknown", "stopped", "probing", "unasked", "paused", "channels", "cps", "no_route", "empty",
    "backlog", "order", "turn", "lost", "idle",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """What holds a carrier or a lane: a name of the closed list, the scope whose limit it is, the limit and what counts
    against it (channels in calls, ``cps`` in calls per second), for how long at the least (us; None: until somebody gives
    something back, or acts), and the reason that was written down with it.
    """

    name: Name
    scope: str | None = None
    limit: float | None = None
    current: float | None = None
    wait_us: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Of one class: ``tenants`` in a carrier's order, with ``lanes`` that hold work."""

    tenants: int
    lanes: int


@dataclass(frozen=True, slots=True)
class CarrierNow:
    """A carrier at one moment. ``shared``: its account, its source IP and the house's own limit; ``switches``: the
    limits of those that ask. ``probes`` more calls are allowed while ``probing``, the next ``probe_us`` from now.
    ``waiting`` by class; ``blocked`` lanes and tenants are out of the order until another limit has room. ``asked_us``:
    since somebody last asked for a permit; None: never.
    """

    carrier_id: UUID
    trunk: ScopeNow
    shared: tuple[ScopeNow, ...]
    switches: tuple[ScopeNow, ...]
    state: State
    why: str
    probes: int
    probe_us: int
    urgent_share: float
    bulk_floor: float
    waiting: dict[str, Waiting]
    blocked: int
    asked_us: int | None
    held: Held

    @property
    def next_us(self) -> int:
        """From now until every rate on the carrier's side allows the next call."""
        return max(scope.next_us for scope in (self.trunk, *self.shared))

    @property
    def cps(self) -> float:
        """Calls per second that can leave through it just now, by the slowest of its rates."""
        return min((scope.cps for scope in (self.trunk, *self.shared) if scope.cps is not None), default=0.0)


def of_scope(scope: ScopeNow) -> Held | None:
    """The limit of the scope that is reached, if any."""
    if scope.paused:
        return Held("paused", scope.scope)
    if scope.full:
        return Held("channels", scope.scope, scope.limit, scope.counted)
    if scope.interval_us == 0:
        return Held("cps", scope.scope, 0.0, None)
    if scope.next_us > 0:
        return Held("cps", scope.scope, scope.cps, None, scope.next_us)
    return None


def of_house(epoch: int | None, rebuilding: bool) -> Held | None:
    """Whether the budget as a whole gives nothing."""
    if epoch is not None:
        return None
    return Held("rebuilding") if rebuilding else Held("closed")


def carriers(
    redis: Redis, ids: Iterable[UUID], *, switches: Sequence[str] = (), now_us: int | None = None
) -> list[CarrierNow]:
    """Each of ``ids`` as it is now, in their order. ``switches``: those in service, beside the ones that asked last.

    Pipelines only: six round trips, and one command for each tenant in a carrier's order. Raises ``RedisError``.
    """
    known = list(ids)
    now = clock(redis, now_us)
    names = [carrier_scope(one) for one in known]
    opened, rebuilding = redis_house(redis)
    fields = read_fields(redis, names)
    asking = {one: {*switches, *_asking(fields[carrier_scope(one)])} for one in known}
    more = {one: [*fields[carrier_scope(one)]["more"].split(",")] for one in known}
    others = {"global", *(name for listed in more.values() for name in listed if name)}
    others |= {f"switch:{name}" for found in asking.values() for name in found}
    fields |= read_fields(redis, sorted(others))
    scopes = count(redis, fields, now)
    waiting = _waiting(redis, known)
    blocked = ask(redis, [("HLEN", f"{PREFIX}blocked:{one}") for one in known])
    found = []
    for one, out in zip(known, blocked, strict=True):
        own = fields[carrier_scope(one)]
        shared = (*(scopes[name] for name in more[one] if name), scopes["global"])
        pumps = tuple(scopes[f"switch:{name}"] for name in sorted(asking[one]))
        found.append(
            _carrier(one, scopes[carrier_scope(one)], shared, pumps, own, waiting[one], int(out), now, opened, rebuilding)
        )
    return found


def redis_house(redis: Redis) -> tuple[int | None, bool]:
    """The open epoch, and whether a rebuild is under way."""
    epoch, rebuilding = cast("list[bytes | None]", redis.mget(f"{PREFIX}epoch", f"{PREFIX}rebuilding"))
    return number(epoch), rebuilding is not None


def _asking(fields: Fields) -> list[str]:
    """The switches whose pumps have a turn."""
    return re.findall(r"([^=,]+)=\d+", fields["turns"])


def _waiting(redis: Redis, known: Sequence[UUID]) -> dict[UUID, dict[str, Waiting]]:
    """By carrier and class."""
    orders = [(one, priority) for one in known for priority in PRIORITIES]
    members = ask(redis, [("ZRANGE", f"{PREFIX}to:{one}:{priority}", 0, -1) for one, priority in orders])
    heaps: list[tuple[Any, ...]] = []
    for (one, priority), raw in zip(orders, members, strict=True):
        # '^' and the id: a tenant's urgent calls beyond its share, waiting among the normal ones.
        heaps += [
            ("ZCARD", f"{PREFIX}lo:{one}:{'urgent' if name.startswith('^') else priority}:{name.lstrip('^')}")
            for name in texts(raw)
        ]
    lengths = iter(ask(redis, heaps))
    found: dict[UUID, dict[str, Waiting]] = {one: {} for one in known}
    for (one, priority), raw in zip(orders, members, strict=True):
        found[one][priority] = Waiting(len(raw), sum(int(next(lengths)) for _ in raw))
    return found


def _carrier(
    carrier_id: UUID,
    trunk: ScopeNow,
    shared: tuple[ScopeNow, ...],
    pumps: tuple[ScopeNow, ...],
    own: Fields,
    waiting: dict[str, Waiting],
    blocked: int,
    now: int,
    epoch: int | None,
    rebuilding: bool,
) -> CarrierNow:
    state = cast(State, own["state"] or "ok")
    asked = number(own["asked"] or None)
    probes = number(own["probes"] or None) or 0
    probe_us = max(0, (number(own["probe_at"] or None) or 0) - now)
    asked_us = None if asked is None else max(0, now - asked)
    held = (
        of_house(epoch, rebuilding)
        or of_trunk(trunk, shared, state, own["why"], asked_us, pumps)
        or (_probing(carrier_id, probes, probe_us) if state == "probing" else None)
        or (Held("idle") if not any(one.tenants for one in waiting.values()) else None)
        or _pace((trunk, *shared))
    )
    return CarrierNow(
        carrier_id,
        trunk,
        shared,
        pumps,
        state,
        own["why"],
        probes,
        probe_us,
        float(own["urgent_share"] or 1),
        float(own["bulk_floor"] or 0),
        waiting,
        blocked,
        asked_us,
        held,
    )


def of_trunk(
    trunk: ScopeNow,
    shared: Sequence[ScopeNow],
    state: State,
    why: str,
    asked_us: int | None,
    pumps: Sequence[ScopeNow] = (),
) -> Held | None:
    """What holds a carrier as a whole, in the order in which a permit is refused; None: only its pace, or nothing."""
    if not trunk.known:
        return Held("unknown", trunk.scope)
    if trunk.paused:
        return Held("paused", trunk.scope)
    if trunk.interval_us == 0:
        return Held("cps", trunk.scope, 0.0)
    if state == "stopped":
        return Held("stopped", trunk.scope, why=why)
    if asked_us is None or asked_us > ASKED_US:
        return Held("unasked", trunk.scope, wait_us=None)
    for scope in (trunk, *shared):
        if scope.full or scope.paused:
            return of_scope(scope)
    reached = [scope for scope in pumps if scope.full or scope.paused]
    return of_scope(reached[0]) if reached and len(reached) == len(pumps) else None


def _probing(carrier_id: UUID, probes: int, probe_us: int) -> Held | None:
    if probes <= 0:
        return Held("probing", carrier_scope(carrier_id), 0, None)
    return Held("probing", carrier_scope(carrier_id), probes, None, probe_us) if probe_us else None


def _pace(scopes: Sequence[ScopeNow]) -> Held:
    """The slowest of the rates: the limit that a healthy carrier with work runs at."""
    slowest = max(scopes, key=lambda scope: (scope.next_us, scope.interval_us or 0))
    return Held("cps", slowest.scope, slowest.cps, None, slowest.next_us)
