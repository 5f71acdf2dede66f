"""The budget on a real Redis and a virtual clock, and beside it a model of what it must do; :meth:`World.check` compares."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from redis import Redis

from budget import lanes, permits, scopes
from budget.lanes import LaneSpec, Serving
from budget.permits import Answer, Grant
from budget.scopes import CarrierSpec, ScopeLimits, carrier_scope, interval_us
from budget.scripts import PREFIX, on_virtual_time
from calls.lanes import Lane
from calls.lanes import parse_lane as parsed
from settings import Settings
from tests.budget.bench import open_epoch

MS, SECOND = 1000, 1_000_000
WINDOW, JITTER, GAP = SECOND, 20 * MS, 1_500_000
REST = WINDOW + JITTER
CARRIERS = [UUID(int=n) for n in (1, 2, 3)]
SHARED: dict[UUID, tuple[str, ...]] = {
    CARRIERS[0]: ("account:acme",), CARRIERS[1]: ("account:acme", "ip:192.0.2.1"), CARRIERS[2]: (),
}  # fmt: skip
TENANTS = [UUID(int=n) for n in (10, 11, 12)]
SWITCHES = ["fs1", "fs2"]
KINDS = (("urgent", ""), ("normal", ".c-x.a-team"), ("bulk", ""))
LANES = [f"dial.{priority}.{tenant.hex}.all{more}" for tenant in TENANTS for priority, more in KINDS]
TRUNKS = [carrier_scope(one) for one in CARRIERS]
SCOPES = [
    "account:acme", "ip:192.0.2.1", "switch:fs1", "switch:fs2", "global", "agents:team",
    *(f"tenant:{t}" for t in TENANTS), f"campaign:{TENANTS[0].hex}:x",
]  # fmt: skip


#: Everything that :meth:`World.check` wants to know, in one look.
LOOK = (Path(__file__).parent / "look.lua").read_text("utf-8")


class Broken(AssertionError):
    """The budget broke a promise."""


parse_lane = cache(parsed)


def promise(kept: object, text: str, *facts: object) -> None:
    if not kept:
        raise Broken(f"{text}: {facts}" if facts else text)


def of_carrier(scope: str) -> bool:
    return scope.startswith(("carrier:", "account:", "ip:"))


@dataclass(frozen=True)
class Limit:
    """What a scope is held to: calls at once, calls a second."""

    most: int | None = None
    cps: int | None = None
    paused: bool = False
    linger_us: int = 0

    def stated(self, scope: str) -> ScopeLimits:
        interval = None if self.cps is None else interval_us(self.cps, 1000, JITTER / MS)
        return ScopeLimits(scope, self.most, interval, self.linger_us, self.paused, GAP, REST)


@dataclass
class Held:
    """A lease."""

    fence: int
    lane: str
    carrier: UUID
    scopes: tuple[str, ...]


@dataclass
class World:
    """Times are the true time's; the clock is ``shift`` away from it."""

    redis: Redis
    settings: Settings
    true: int = 1_700_000_000_000_000
    shift: int = 0
    epoch: int = 0
    fence: int = 0
    limits: dict[str, Limit] = field(default_factory=dict)
    health: dict[UUID, tuple[str, int]] = field(default_factory=dict)
    serving: dict[str, tuple[Serving, ...]] = field(default_factory=dict)
    waiting: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in LANES})
    leases: dict[str, Held] = field(default_factory=dict)
    #: Not claimed, until when by the clock.
    popped: dict[str, int] = field(default_factory=dict)
    lingers: dict[str, list[int]] = field(default_factory=dict)
    slots: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    not_before: dict[str, int] = field(default_factory=dict)
    unstated: set[str] = field(default_factory=set)
    over: set[str] = field(default_factory=set)
    plain: set[str] = field(default_factory=set)
    born: int = 0

    # The house

    def begin(self) -> None:
        """An empty Redis, an epoch, every carrier and lane."""
        for pattern in (f"{PREFIX}*", "rq:*"):
            if keys := list(self.redis.scan_iter(match=pattern, count=1000)):
                self.redis.delete(*keys)
        on_virtual_time(self.redis)
        self.tick(0)
        self.epoch = 1
        open_epoch(self.redis, 1)
        for one in CARRIERS:
            self.set_limit(carrier_scope(one), Limit(4, 10))
            self.health[one] = ("ok", 0)
        for n, name in enumerate(LANES):
            self.state(name, tuple(map(Serving, CARRIERS[:2])) if n % 2 else (Serving(CARRIERS[n % 3]),))

    def tick(self, us: int) -> None:
        self.true += us
        self.redis.set(f"{PREFIX}now", self.true + self.shift)

    def new_id(self) -> str:
        self.born += 1
        return str(UUID(int=(7 << 100) + self.born))

    def set_limit(self, scope: str, limit: Limit) -> None:
        self.limits[scope] = limit
        stated = limit.stated(scope)
        if scope in TRUNKS:
            scopes.set_carriers(self.redis, [CarrierSpec(stated, SHARED[CARRIERS[TRUNKS.index(scope)]])])
        else:
            scopes.set_scopes(self.redis, [stated])

    def forget_limit(self, scope: str) -> None:
        self.limits.pop(scope, None)
        scopes.forget_scopes(self.redis, [scope])

    def state(self, name: str, serving: tuple[Serving, ...]) -> None:
        self.serving[name] = serving
        lane = parse_lane(name)
        lanes.set_lane(self.redis, LaneSpec(name, lane.tenant_id, lane.priority, 1, serving, 1.0, 100 * MS))
        self.unstated.discard(name)

    # What happens

    def ask(self, carrier: UUID, switch: str, want: int) -> Answer:
        """A request for permits, held against everything that is promised of its answer."""
        sure = self.sure(carrier)
        answer = permits.grant(self.redis, self.settings, carrier, switch, want=want)
        state, probes = self.health[carrier]
        if answer.grants:
            promise(self.epoch > 0, "granted although the budget is not open")
            promise(not self.limits[carrier_scope(carrier)].paused, "granted by a paused carrier")
            promise(state != "stopped", "granted by a stopped carrier")
            promise(state != "probing" or len(answer.grants) <= probes, "more calls than the probing allows", probes)
            if state == "probing":
                self.health[carrier] = (state, probes - len(answer.grants))
        for grant in answer.grants:
            self.granted(grant, carrier, switch)
        names = [grant.lane.split(".")[1] for grant in answer.grants]
        if sure and sure[0] == "urgent" and names:
            promise(names[0] == "urgent", "an urgent call that could go was passed over", names)
        idle = not answer.grants and (answer.limit in ("empty", "order") or answer.limit.partition(":")[0] in
                                      ("tenant", "campaign", "agents"))  # fmt: skip
        promise(not (idle and sure), "idle although a call could go", answer, sure)
        self.trim()
        return answer

    def granted(self, grant: Grant, carrier: UUID, switch: str) -> None:
        one = str(grant.attempt_id)
        lane = parse_lane(grant.lane)
        promise(one not in self.leases, "granted twice", one)
        promise(carrier in [s.carrier_id for s in self.serving[grant.lane]], "granted by a carrier that does not serve it")
        promise(grant.fence > self.fence, "a fence that does not grow", grant.fence, self.fence)
        promise(grant.epoch == self.epoch, "a permit of another epoch")
        promise(grant.slot_us >= self.settings.slot_lead_ms * MS, "a slot that is nearer than the lead", grant.slot_us)
        self.fence = grant.fence
        list_ = self.waiting[grant.lane]
        while list_ and list_[0] != one and (list_[0] in self.leases or len(list_[0]) < 36):
            list_.pop(0)
        promise(bool(list_) and list_[0] == one, "not the first of its lane", one, list_)
        list_.pop(0)
        counted = (carrier_scope(carrier), *SHARED[carrier], f"switch:{switch}", "global", *lane.scopes)
        self.leases[one] = Held(grant.fence, grant.lane, carrier, counted)
        self.popped[one] = self.true + self.shift + int(self.settings.popped_deadline_s * SECOND)
        slot = self.true + grant.slot_us
        for scope in counted:
            limit = self.limits.get(scope, Limit())
            promise(not limit.paused and limit.cps != 0, "granted although paused", scope)
            if limit.most is not None:
                promise(self.count(scope) <= limit.most, "more calls than the limit", scope, self.count(scope), limit)
            past = self.slots.setdefault(scope, [])
            if limit.cps is not None:
                near = [s for s, _ in past if s > slot - REST]
                promise(len(near) < limit.cps, "more calls in a window than the limit", scope, limit.cps, sorted(near), slot)
                promise(slot >= self.not_before.get(scope, 0), "a slot before the rest was over", scope)
            past.append((slot, one))
            del past[:-60]

    def count(self, scope: str) -> int:
        self.lingers[scope] = [end for end in self.lingers.get(scope, []) if end > self.true]
        return sum(scope in held.scopes for held in self.leases.values()) + len(self.lingers[scope])

    def drop(self, one: str, linger_us: int) -> Held:
        held = self.leases.pop(one)
        self.popped.pop(one, None)
        for scope in held.scopes:
            if of_carrier(scope) and linger_us > 0:
                self.lingers.setdefault(scope, []).append(self.true + linger_us)
        return held

    def trim(self) -> None:
        """What a request has thrown out of the lanes: no attempts, or attempts under way."""
        for name, list_ in self.waiting.items():
            if not list_ or (list_[0] not in self.leases and len(list_[0]) == 36):
                continue
            length = int(self.redis.llen(f"rq:queue:{name}"))
            while len(list_) > length and (list_[0] in self.leases or len(list_[0]) < 36):
                list_.pop(0)

    # What must hold

    def open_for(self, scope: str) -> bool:
        """The scope has room, and no rate that could say otherwise."""
        limit = self.limits.get(scope, Limit())
        full = limit.most is not None and self.count(scope) >= limit.most
        return not (limit.paused or full or limit.cps is not None)

    def sure(self, carrier: UUID) -> list[str]:
        """Classes of which a call could surely go through this carrier, as far as its lane is concerned."""
        found = set()
        for name, serving in self.serving.items():
            alone = [s.carrier_id for s in serving] == [carrier] and name not in self.unstated
            if alone and any(len(one) == 36 and one not in self.leases for one in self.waiting[name]):
                lane = parse_lane(name)
                if all(self.open_for(scope) for scope in lane.scopes):
                    found.add(lane.priority)
        return [name for name in ("urgent", "normal", "bulk") if name in found]

    def check(self, *, swept: bool = False) -> None:
        """Everything that must hold after every step."""
        names = [name for name in LANES if self.waiting[name] and name not in self.unstated and self.epoch]
        asked = [(name, parse_lane(name), s.carrier_id) for name in names for s in self.serving[name]]
        places = [(name, lane.priority, str(lane.tenant_id), str(carrier)) for name, lane, carrier in asked]
        question = json.dumps({"trunks": TRUNKS, "scopes": SCOPES, "lanes": LANES, "places": places})
        raw = cast(Any, self.redis).eval(LOOK, 0, PREFIX, question)
        replies = json.loads(raw)
        listed = replies["lanes"]
        for trunk, members in zip(TRUNKS, replies["leases"], strict=True):
            model = {one for one, lease in self.leases.items() if trunk in lease.scopes}
            promise(set(members) == model, "counted calls are not the leased ones", trunk, members, model)
        for scope, count in zip(SCOPES, replies["held"], strict=True):
            leased = sum(scope in lease.scopes for lease in self.leases.values())
            promise(count == leased, "not as many calls counted as leased", scope, count, leased)
        for name, ids in zip(LANES, listed, strict=True):
            promise(list(ids) == self.waiting[name], "a lane does not hold what it should", name, ids, self.waiting[name])
        promise(set(replies["popped"]) == set(self.popped), "popped and not claimed", replies["popped"], self.popped)
        there = {one for list_ in self.waiting.values() for one in list_} | set(self.leases)
        promise(set(replies["known"]) <= there, "an attempt that is nowhere is locked out", set(replies["known"]) - there)
        for (name, lane, carrier), found in zip(asked, replies["places"], strict=True):
            self.check_place(name, lane, carrier, found, swept)

    def check_place(self, name: str, lane: Lane, carrier: UUID, found: dict[str, Any], swept: bool) -> None:
        """No lane with work is neither in order nor waiting at a carrier that may serve it."""
        own, whole = found["own"], found["whole"]
        in_order = found["order"] or (lane.priority == "urgent" and found["demoted"])
        promise(own or found["place"], "neither in order nor waiting", name, carrier)
        promise(own or whole or in_order, "its tenant is neither in order nor waiting", name, carrier)
        for scope in filter(None, (own, whole)):
            promise(found["told"], "waits for a scope that does not know it", scope, name, carrier)
            promise(not (swept and self.open_for(scope)), "waits for a scope that has room", scope, name, carrier)
