"""A lane as it is now: how much it holds, and what it waits for at each carrier that may serve it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from redis import Redis

from budget.explain_carriers import Held, of_house, of_scope, of_trunk, redis_house
from budget.explain_scopes import Fields, ScopeNow, ask, clock, count, read_fields
from budget.lanes import QUEUE, Serving
from budget.replies import number, text
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from calls.lanes import parse_lane

#: us; as in lua/grant.lua: a sister of the same tier is waited for so long, a carrier must have been asked for so lately.
SISTER_US = 250_000
SEEN_US = 1_600_000

#: Of several carriers one is enough, so the least of their reasons is the lane's.
_MILDEST = (
    "turn", "cps", "order", "channels", "probing", "lost", "paused", "stopped", "unasked", "unknown", "rebuilding", "closed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LaneAt:
    """A lane at one of its carriers. ``before``: tenants before its own in the carrier's order of its class; None: it is
    in no order there. ``left_to``: the carrier that should rather take the call. ``trunk``, ``shared``: the limits that the
    carrier's calls count in.
    """

    carrier_id: UUID
    tier: int
    weight: int
    held: Held
    trunk: ScopeNow
    shared: tuple[ScopeNow, ...]
    urgent_share: float
    bulk_floor: float
    before: int | None = None
    left_to: UUID | None = None


@dataclass(frozen=True, slots=True)
class LaneNow:
    """``length`` attempts in Redis; ``overflow``: older calls wait behind them in Postgres; ``unlaned``: nobody has said yet
    who serves it. ``scopes``: the limits of its own side, the tenant's first. ``spill_us``: a better tier is waited for so
    long. ``held``: what holds it as a whole.
    """

    name: str
    length: int
    overflow: bool
    unlaned: bool
    scopes: tuple[ScopeNow, ...]
    carriers: tuple[LaneAt, ...]
    spill_us: int
    held: Held


@dataclass(frozen=True, slots=True)
class _Place:
    """A lane in a carrier's books: how many tenants of its class are there, and before its own; the scope it waits for."""

    tenants: int
    before: int | None
    blocked: str | None


@dataclass(frozen=True, slots=True)
class _Picture:
    """All that was read for one lane; ``had``: what each carrier of the route has been given, by its weight."""

    now: int
    house: Held | None
    written: dict[str, str]
    serving: list[Serving]
    length: int
    fields: dict[str, Fields]
    scopes: dict[str, ScopeNow]
    places: dict[UUID, _Place]
    had: dict[UUID, float]

    def of(self, carrier: UUID) -> Fields:
        return self.fields[carrier_scope(carrier)]

    def trunk(self, carrier: UUID) -> ScopeNow:
        return self.scopes[carrier_scope(carrier)]

    def shared(self, carrier: UUID) -> tuple[ScopeNow, ...]:
        more = _names(self.of(carrier)["more"])
        return (*(self.scopes[name] for name in more), self.scopes["global"])


def lane(redis: Redis, name: str, *, now_us: int | None = None) -> LaneNow:
    """The lane ``name`` as it is now; eight round trips at most. Raises ``ValueError`` for what is no lane,
    ``RedisError``."""
    told = parse_lane(name)
    now = clock(redis, now_us)
    length, overflow, unlaned, conf, had = ask(
        redis,
        [
            ("LLEN", f"{QUEUE}{name}"),
            ("SISMEMBER", f"{PREFIX}overflow", name),
            ("SISMEMBER", f"{PREFIX}unlaned", name),
            ("HGETALL", f"{PREFIX}lane:{name}"),
            ("HGETALL", f"{PREFIX}rvt:{told.route}"),
        ],
    )
    house = of_house(*redis_house(redis))
    written = _written(conf)
    serving = servings(written.get("carriers", ""))
    places = _where(redis, name, str(told.tenant_id), told.priority, [one.carrier_id for one in serving])
    waits = [place.blocked for place in places.values() if place.blocked]
    fields = read_fields(redis, [*told.scopes, "global", *(carrier_scope(one.carrier_id) for one in serving), *waits])
    more = {scope for one in serving for scope in _names(fields[carrier_scope(one.carrier_id)]["more"])}
    fields |= read_fields(redis, sorted(more - fields.keys()))
    given = {UUID(one): float(value) for one, value in _written(had).items()}
    picture = _Picture(now, house, written, serving, int(length), fields, count(redis, fields, now), places, given)
    found = tuple(_lane_at(one, picture) for one in serving)
    own = tuple(picture.scopes[scope] for scope in told.scopes)
    whole = _whole(int(length), bool(overflow), bool(unlaned), house, own, found)
    spill = int(written.get("spill") or 0)
    return LaneNow(name, int(length), bool(overflow), bool(unlaned), own, found, spill, whole)


def _lane_at(one: Serving, picture: _Picture) -> LaneAt:
    own, place = picture.of(one.carrier_id), picture.places[one.carrier_id]
    trunk, shared = picture.trunk(one.carrier_id), picture.shared(one.carrier_id)
    asked = number(own["asked"] or None)
    asked_us = None if asked is None else max(0, picture.now - asked)
    stuck = of_trunk(trunk, shared, "stopped" if own["state"] == "stopped" else "ok", own["why"], asked_us)
    left_to = None if stuck or place.before is None else _left_to(one, picture)
    held = picture.house or stuck or _at(place, picture.scopes, trunk, own, left_to, picture.now)
    return LaneAt(
        one.carrier_id,
        one.tier,
        one.weight,
        held,
        trunk,
        shared,
        float(own["urgent_share"] or 1),
        float(own["bulk_floor"] or 0),
        place.before,
        left_to,
    )


def _where(redis: Redis, name: str, tenant: str, priority: str, ids: Sequence[UUID]) -> dict[UUID, _Place]:
    commands: list[tuple[Any, ...]] = []
    for one in ids:
        commands += [
            ("ZCARD", f"{PREFIX}to:{one}:{priority}"),
            ("ZRANK", f"{PREFIX}to:{one}:{priority}", tenant),
            # A tenant's urgent calls beyond its share wait among the normal ones.
            ("ZRANK", f"{PREFIX}to:{one}:normal", f"^{tenant}"),
            ("ZSCORE", f"{PREFIX}lo:{one}:{priority}:{tenant}", name),
            ("HMGET", f"{PREFIX}blocked:{one}", name, f"@{priority}|{tenant}"),
        ]
    replies = ask(redis, commands)
    found = {}
    for i, one in enumerate(ids):
        tenants, rank, demoted, score, blocked = replies[5 * i : 5 * i + 5]
        before = rank if rank is not None or priority != "urgent" else demoted
        waits = next((text(scope) for scope in blocked if scope is not None), None)
        found[one] = _Place(int(tenants), None if score is None or before is None or waits else int(before), waits)
    return found


def _at(place: _Place, scopes: dict[str, ScopeNow], trunk: ScopeNow, own: Fields, left_to: UUID | None, now: int) -> Held:
    if place.blocked is not None:
        scope = scopes[place.blocked]
        # It may have got room this moment; then it is that rate's turn that is waited for.
        return of_scope(scope) or Held("cps", scope.scope, scope.cps, None, 0)
    if own["state"] == "probing":
        left, at = number(own["probes"] or None) or 0, number(own["probe_at"] or None) or 0
        return Held("probing", trunk.scope, left, None, max(0, at - now) if left else None)
    if left_to is not None:
        return Held("order", carrier_scope(left_to))
    if place.before is None:
        return Held("lost", trunk.scope)
    if place.before > 0:
        return Held("turn", trunk.scope, trunk.cps, place.before, trunk.next_us)
    return Held("cps", trunk.scope, trunk.cps, None, trunk.next_us)


def _left_to(mine: Serving, picture: _Picture) -> UUID | None:
    """As ``left_to_another`` of lua/grant.lua."""
    if len(picture.serving) < 2:
        return None
    spill = int(picture.written.get("spill") or 0)
    deferred, at = number(picture.written.get(f"d:{mine.carrier_id}")), number(picture.written.get("at")) or 0
    waited = picture.now - max(picture.now if deferred is None else deferred, at)
    for one in picture.serving:
        better = one.tier < mine.tier
        if one.carrier_id == mine.carrier_id or one.tier > mine.tier or waited >= (spill if better else SISTER_US):
            continue
        trunk, own = picture.trunk(one.carrier_id), picture.of(one.carrier_id)
        if (own["state"] or "ok") != "ok" or not 0 <= picture.now - (number(own["asked"] or None) or 0) <= SEEN_US:
            continue
        if trunk.stopped or not trunk.interval_us or trunk.full:
            continue
        if better:
            if trunk.next_us + picture.length * trunk.interval_us * picture.places[one.carrier_id].tenants <= spill:
                return one.carrier_id
        elif picture.had.get(one.carrier_id, 0.0) < picture.had.get(mine.carrier_id, 0.0):
            return one.carrier_id
    return None


def _whole(
    length: int, overflow: bool, unlaned: bool, house: Held | None, scopes: Sequence[ScopeNow], found: Sequence[LaneAt]
) -> Held:
    """What holds the lane: the budget, its own limits, or the least of what holds it at its carriers."""
    if house is not None:
        return house
    if not length and not overflow:
        return Held("empty")
    if unlaned or not found:
        return Held("no_route")
    for scope in scopes:
        if scope.paused or scope.full or scope.interval_us == 0:
            reached = of_scope(scope)
            if reached is not None:
                return reached
    if not length:
        return Held("backlog")
    for scope in scopes:
        waits = any(one.held.scope == scope.scope for one in found)
        if waits and scope.next_us > 0:
            return Held("cps", scope.scope, scope.cps, None, scope.next_us)
    return min((one.held for one in found), key=lambda held: _MILDEST.index(held.name))


def servings(written: str) -> list[Serving]:
    """The carriers of a lane as it states them."""
    found = []
    for entry in filter(None, written.split(",")):
        carrier, tier, weight = entry.split(":")
        found.append(Serving(UUID(carrier), int(tier), int(weight)))
    return found


def _written(reply: Any) -> dict[str, str]:
    """A hash, whichever protocol it came by."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {text(field): text(value) for field, value in pairs}


def _names(written: str) -> list[str]:
    return [name for name in written.split(",") if name]
