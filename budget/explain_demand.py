"""What bears on a queued call's waiting time, read from Redis; the sum is done in budget/explain_eta.py."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from redis import Redis

from budget.explain_eta import Demand, Eta, Hold, Own, Rival, Supply, estimate
from budget.explain_lanes import LaneAt, LaneNow, servings
from budget.explain_scopes import ScopeNow, read_scopes
from budget.scopes import carrier_scope
from budget.scripts import run
from calls.lanes import PRIORITIES, parse_lane

#: What only time, or other calls' ends, will lift. Of all else nobody knows when it passes.
PASSES = frozenset({"cps", "turn", "order", "channels", "backlog"})
#: Tenants of one class that are looked at in a carrier's order; of more, so many stand for all.
SAMPLE = 32

#: Attempts of these tenants that are queued, those behind their lanes' windows too.
Queued = Callable[[Collection[UUID]], Mapping[UUID, int]]


@dataclass(frozen=True, slots=True)
class _Order:
    """A carrier's order as a forecast sees it; see lua/explain_order.lua."""

    own: float | None
    present: float
    lanes: list[list[Any]]
    counts: dict[str, int]
    some: dict[str, list[list[Any]]]
    blocked: int
    away: list[list[Any]]


def forecast(
    redis: Redis,
    now: LaneNow,
    place: int,
    *,
    holds: Mapping[UUID, Hold],
    arriving: Mapping[str, float],
    queued: Queued,
    served: Mapping[UUID, float] | None = None,
    now_us: int | None = None,
) -> Eta | None:
    """When the call at ``place`` (1: next) of the lane will be dialed; None while that cannot be told.

    ``holds``: how long each carrier's calls kept their channel of late; ``arriving``: calls/s of each class of late on
    these carriers; ``served``: calls/s that each has taken of late, if there was work for it all the time. Raises
    ``RedisError``.
    """
    usable = [one for one in now.carriers if one.held.name in PASSES]
    if now.held.name not in PASSES or not usable:
        return None
    told = parse_lane(now.name)
    orders = {one.carrier_id: _order(redis, one.carrier_id, told.priority, told.tenant_id) for one in usable}
    behind = {UUID(_tenant(m[0])) for order in orders.values() for some in order.some.values() for m in some if m[4]}
    behind |= {UUID(m[2]) for order in orders.values() for m in order.away if m[5]}
    waiting = queued(behind | {told.tenant_id}) if behind or now.overflow else {}
    rates = _rates(redis, usable, orders, now_us)
    spill_s = now.spill_us / 1e6
    best: Eta | None = None
    for step, tier in enumerate(sorted({one.tier for one in usable})):
        pool = [one for one in usable if one.tier <= tier]
        demand = _demand(now, told.tenant_id, told.priority, place, pool, orders, rates, waiting, holds, arriving)
        found = estimate(replace(demand, used=_used(pool, served)))
        if found is not None:
            later = Eta(max(found.p50, step * spill_s), max(found.p90, step * spill_s))
            best = later if best is None else Eta(min(best.p50, later.p50), min(best.p90, later.p90))
        if best is not None and best.p50 <= (step + 1) * spill_s:
            break  # a worse tier is not asked for it
    return best


def _order(redis: Redis, carrier: UUID, priority: str, tenant: UUID) -> _Order:
    read = json.loads(run(redis, "explain_order", str(carrier), priority, str(tenant), SAMPLE))
    own = read["own"]
    counts: dict[str, int] = {name: int(read[name]["count"]) for name in PRIORITIES}
    # An empty table of Lua's is neither a list nor an object.
    some: dict[str, list[list[Any]]] = {name: list(read[name]["some"] or []) for name in PRIORITIES}
    return _Order(
        None if own is False else float(own),
        float(read["present"]),
        list(read["lanes"] or []),
        counts,
        some,
        read["blocked"],
        list(read["away"] or []),
    )


def _tenant(member: str) -> str:
    return member.removeprefix("^")


def _rates(redis: Redis, usable: Sequence[LaneAt], orders: Mapping[UUID, _Order], now_us: int | None) -> dict[UUID, float]:
    """Calls/s of every carrier that any of those who wait may use."""
    named = {
        one.carrier_id for order in orders.values() for some in order.some.values() for m in some for one in servings(m[5])
    }
    known = {one.carrier_id: one.trunk for one in usable}
    others = sorted(named - known.keys())
    scopes = read_scopes(redis, [carrier_scope(one) for one in others], now_us).scopes if others else {}
    known |= {one: scopes[carrier_scope(one)] for one in others}
    return {one: 0.0 if trunk.stopped else trunk.cps or 0.0 for one, trunk in known.items()}


def _demand(
    now: LaneNow,
    tenant: UUID,
    priority: str,
    place: int,
    pool: Sequence[LaneAt],
    orders: Mapping[UUID, _Order],
    rates: Mapping[UUID, float],
    waiting: Mapping[UUID, int],
    holds: Mapping[UUID, Hold],
    arriving: Mapping[str, float],
) -> Demand:
    ids = {one.carrier_id for one in pool}
    common = set.intersection(*({scope.scope for scope in one.shared} for one in pool)) if len(pool) > 1 else set()
    merged = _merged([holds[one] for one in ids if one in holds])
    supplies = tuple(
        tuple(_supply(scope, holds.get(one.carrier_id)) for scope in (one.trunk, *one.shared) if scope.scope not in common)
        for one in pool
    )
    together = [scope for scope in pool[0].shared if scope.scope in common]
    at, weight = _rank(now.name, place, tenant, [orders[one.carrier_id] for one in pool], waiting)
    own = tuple(
        Own(_supply(scope, merged), at if scope.kind == "tenant" else place)
        for scope in now.scopes
        if scope.limit is not None or scope.interval_us is not None
    )
    return Demand(
        priority,
        at,
        weight,
        supplies,
        tuple(_supply(scope, merged) for scope in together),
        {name: _rivals(name, priority, tenant, ids, orders, rates, waiting, merged) for name in PRIORITIES},
        arriving,
        own,
        max(one.urgent_share for one in pool),
        min(one.bulk_floor for one in pool),
    )


def _used(pool: Sequence[LaneAt], served: Mapping[UUID, float] | None) -> float | None:
    """Of the slots that the carriers' pace allows, how many were used; None where channels may have been the reason."""
    paces = [[scope.cps for scope in (one.trunk, *one.shared) if scope.cps] for one in pool]
    if served is None or not all(paces) or any(one.held.name == "channels" for one in pool):
        return None
    return sum(served.get(one.carrier_id, 0.0) for one in pool) / sum(map(min, paces))


def _supply(scope: ScopeNow, hold: Hold | None) -> Supply:
    kept = None if hold is None else replace(hold, mean_s=hold.mean_s + scope.linger_us / 1e6)
    return Supply(
        scope.cps,
        scope.stated_cps,
        scope.recover_us / 1e6,
        scope.next_us / 1e6,
        scope.limit,
        scope.left or 0,
        kept,
    )


def _merged(holds: Sequence[Hold]) -> Hold | None:
    calls = sum(hold.calls for hold in holds)
    if not calls:
        return None
    mean = sum(hold.mean_s * hold.calls for hold in holds) / calls
    square = sum((hold.sd_s**2 + hold.mean_s**2) * hold.calls for hold in holds) / calls
    return Hold(mean, math.sqrt(max(0.0, square - mean**2)), calls)


def _rank(lane: str, place: int, tenant: UUID, orders: Sequence[_Order], waiting: Mapping[UUID, int]) -> tuple[float, float]:
    """The call's place among all of its tenant's of the class, and the tenant's weight."""
    weight, best = 1.0, None
    for order in orders:
        mine = next((one for one in order.lanes if one[0] == lane), None)
        score, share = (mine[1], mine[3]) if mine is not None else (min((o[1] for o in order.lanes), default=0.0), 1.0)
        at = float(place)
        for name, other, length, part, overflow, _ in order.lanes:
            if name != lane:
                turns = math.floor(((place - 1) / share - (other - score)) * part + 1e-6) + 1
                at += min(waiting.get(tenant, length) if overflow else length, max(0, turns))
        best = at if best is None else min(best, at)
        weight = next((float(one[5]) for one in order.lanes), weight)
    return (float(place) if best is None else best), weight


def _rivals(
    name: str,
    priority: str,
    tenant: UUID,
    ids: Collection[UUID],
    orders: Mapping[UUID, _Order],
    rates: Mapping[UUID, float],
    waiting: Mapping[UUID, int],
    hold: Hold | None,
) -> list[Rival]:
    """The other tenants of a class on these carriers, each once; of the tenant's own other classes too."""
    found: dict[str, Rival] = {}
    for carrier in ids:
        order = orders[carrier]
        mine = order.present if order.own is None else order.own
        some = order.some[name]
        others = [m for m in some if not (name == priority and _tenant(m[0]) == str(tenant))]
        many = max(1.0, (order.counts[name] - (len(some) - len(others))) / len(others)) if others else 1.0
        for member, score, weight, length, overflow, carriers, *limit in others:
            if member not in found:
                size = waiting.get(UUID(_tenant(member)), length) if overflow else length
                part = _part(carriers, ids, rates)
                found[member] = Rival(float(score) - mine, float(weight), float(size), part, many, _own_limit(limit, hold))
        many = max(1.0, order.blocked / len(order.away)) if order.away else 1.0
        for of, item, owner, weight, length, overflow, carriers, *limit in order.away:
            if of == name and item not in found:
                size = waiting.get(UUID(owner), length) if overflow else length
                part = _part(carriers, ids, rates)
                found[item] = Rival(0.0, float(weight), float(size), part, many, _own_limit(limit, hold))
    return list(found.values())


def _own_limit(limit: Sequence[int], hold: Hold | None) -> Supply | None:
    """What another's limit leaves it: its channels (-1: any number), those in use, us between its calls (-1: no rate)."""
    channels, used, interval_us = limit
    if channels < 0 and interval_us < 0:
        return None
    rate = None if interval_us < 0 else 1e6 / interval_us if interval_us else 0.0
    return Supply(rate, rate, channels=None if channels < 0 else channels, free=max(0, channels - used), hold=hold)


def _part(carriers: str, ids: Collection[UUID], rates: Mapping[UUID, float]) -> float:
    """Of a lane's calls, those that will go by the carriers ``ids``."""
    all_of_them = _total(rates, (one.carrier_id for one in servings(carriers)))
    ours = _total(rates, (one.carrier_id for one in servings(carriers) if one.carrier_id in ids))
    return ours / all_of_them if all_of_them else 1.0


def _total(rates: Mapping[UUID, float], ids: Iterable[UUID]) -> float:
    return sum(rates.get(one, 0.0) for one in ids)
