"""What happens to the house: limits, carriers, lanes, the clock, Redis itself; and how often each move is made."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from budget import epoch, health, permits
from budget.hold import hold
from budget.lanes import Serving
from budget.push import push
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from tests.budget.moves import (
    Chooser,
    adopt,
    adopted,
    backlog,
    claim,
    enqueue_plainly,
    give_back_overdue,
    grant,
    hang_up,
    look,
    lose_a_reply,
    overflow_ends,
    pump,
    push_new_behind_old,
    push_some,
    refuse,
    release,
    renew,
    requeue,
    sleep,
    sweep,
    take_anothers,
    wait,
)
from tests.budget.world import (
    CARRIERS,
    GAP,
    LANES,
    MS,
    REST,
    SCOPES,
    SECOND,
    SHARED,
    SWITCHES,
    TRUNKS,
    Limit,
    World,
    of_carrier,
    promise,
)

HOLD = REST + 500 * MS


def open_house(world: World, choose: Chooser) -> None:
    """Few limits and every carrier well: what happens next shows."""
    for scope in SCOPES:
        if scope in world.limits:
            world.forget_limit(scope)
    for one in CARRIERS:
        world.set_limit(carrier_scope(one), Limit(choose([3, 30]), choose([1, 3, 20]), False, choose([0, 500 * MS])))
        health.set_health(world.redis, one, "ok", "", probes=0, probe_interval_us=0)
        world.health[one] = ("ok", 0)


def set_limit(world: World, choose: Chooser) -> None:
    scope = choose([*TRUNKS, *SCOPES])
    most = choose([None, 0, 1, 2, 4, 8])
    cps = choose([None, None, 0, 1, 3, 10, 30])
    linger = choose([0, 0, 50 * MS, 500 * MS]) if scope in TRUNKS else 0
    world.set_limit(scope, Limit(most, cps, choose([False, False, False, True]), linger))
    look(world, choose)


def open_limit(world: World, choose: Chooser) -> None:
    scope = choose([*TRUNKS, *SCOPES])
    world.set_limit(scope, Limit(8, 30) if scope in TRUNKS else Limit(choose([None, 2, 4])))


def forget_limit(world: World, choose: Chooser) -> None:
    world.forget_limit(choose(SCOPES))


def lower_a_rate(world: World, choose: Chooser) -> None:
    """While calls go: at some carrier, where it was or where there was none, where it was nothing for a moment."""
    scope = choose([*TRUNKS, "account:acme", "global"])
    world.set_limit(scope, Limit(30, choose([20, None])))
    pump(world, choose)
    if choose([True, False]):
        world.set_limit(scope, Limit(30, 0))
    world.set_limit(scope, Limit(30, choose([1, 3])))
    look(world, choose)
    world.tick(200 * MS)
    pump(world, choose)


def set_health(world: World, choose: Chooser) -> None:
    one, state = choose(CARRIERS), choose(["ok", "ok", "stopped", "probing"])
    probes = choose([0, 1, 2])
    health.set_health(world.redis, one, state, "a reason", probes=probes, probe_interval_us=50 * MS)  # type: ignore[arg-type]
    world.health[one] = (state, probes)
    backlog(world, choose)
    pump(world, choose)


def refuse_by_carrier(world: World, choose: Chooser) -> None:
    one = choose(CARRIERS)
    if health.slow(world.redis, world.settings, one, "cps", REST):
        world.not_before[carrier_scope(one)] = world.true + REST


def rest(world: World, choose: Chooser) -> None:
    one, us = choose(CARRIERS), choose([10 * MS, REST])
    hold(world.redis, one, us)
    for scope in (carrier_scope(one), *SHARED[one]):
        world.not_before[scope] = max(world.not_before.get(scope, 0), world.true + us)


def set_clock(world: World, choose: Chooser) -> None:
    """Our own rates begin anew then; the carriers' do not."""
    world.shift += choose([3600 * SECOND, 10 * GAP, -GAP, -3600 * SECOND])
    world.tick(0)
    for scope in list(world.slots):
        if not of_carrier(scope):
            del world.slots[scope]
    latest = world.true + world.shift + int(world.settings.popped_deadline_s * SECOND)
    world.popped = {one: end if end <= latest else 0 for one, end in world.popped.items()}  # 0: its time begins again


def restate(world: World, choose: Chooser) -> None:
    lane = choose(LANES)
    serving = choose([
        tuple(map(Serving, CARRIERS[:2])), (Serving(CARRIERS[0]),), (Serving(CARRIERS[2]),), (Serving(CARRIERS[0]),),
        (Serving(CARRIERS[1], 1), Serving(CARRIERS[2], 2)), tuple(map(Serving, CARRIERS)), (),
    ])  # fmt: skip
    world.state(lane, serving)


def forget_everything(world: World, choose: Chooser) -> None:
    """Redis is wiped, somebody asks meanwhile, the leader rebuilds from what Postgres and the switches know."""
    if choose([True, False]):
        open_house(world, choose)
        hang_up(world, choose)
        backlog(world, choose)
    live = dict(world.leases)
    lost = {name: [one for one in ids if len(one) == 36 and one not in live] for name, ids in world.waiting.items()}
    if choose([True, False]):
        for pattern in (f"{PREFIX}*", "rq:queue:*"):
            if keys := [key for key in world.redis.scan_iter(match=pattern) if not key.endswith(b":now")]:
                world.redis.delete(*keys)
        world.waiting, world.leases, world.popped = {name: [] for name in LANES}, {}, {}
        world.over.clear()
        pushed = world.new_id()
        push(world.redis, [(UUID(pushed), LANES[0])])  # the API goes on
        world.waiting[LANES[0]].append(pushed)
        lost[LANES[0]].append(pushed)
    number, world.epoch = world.epoch + 1, 0
    world.unstated = set(LANES)
    epoch.begin(world.redis, epoch.marks(world.redis), number)
    for carrier in CARRIERS:
        world.ask(carrier, choose(SWITCHES), 2)
    clock = world.redis.get(f"{PREFIX}now")
    epoch.wipe(world.redis, number)
    assert clock is not None
    world.redis.set(f"{PREFIX}now", clock)
    world.waiting, world.leases, world.popped = {name: [] for name in LANES}, {}, {}
    world.over.clear()
    for scope, limit in world.limits.items():
        world.set_limit(scope, limit)
    for one, held in live.items():
        switch = next(s for s in held.scopes if s.startswith("switch:")).removeprefix("switch:")
        lease = permits.Lease(UUID(one), held.fence, held.carrier, switch)
        promise(permits.adopt(world.redis, world.settings, lease, held.lane), "adopted")
        world.leases[one] = adopted(lease, held.lane)
    for carrier in CARRIERS:
        for n, end in enumerate(world.lingers.get(carrier_scope(carrier), [])):
            if end > world.true:
                permits.linger(world.redis, carrier, UUID(int=n), n, end - world.true)
    holds = [(scope, HOLD) for scope in (*TRUNKS, "account:acme", "ip:192.0.2.1")]
    epoch.open_epoch(world.redis, number, epoch.run_id(world.redis), holds)
    world.epoch = number
    world.health = dict.fromkeys(CARRIERS, ("ok", 0))
    known: set[str] = set()
    for name in LANES:
        world.state(name, world.serving[name])
        ids = [one for one in dict.fromkeys(lost[name]) if one not in known]  # by RQ's hand it may have been in two lanes
        known.update(ids)
        push(world.redis, [(UUID(one), name) for one in ids])
        world.waiting[name] = ids
        world.unstated.discard(name)


#: Each with how often it happens.
MOVES: dict[Callable[[World, Chooser], None], int] = {
    push_some: 6, push_new_behind_old: 3, overflow_ends: 1, enqueue_plainly: 3, backlog: 5, grant: 10, pump: 16,
    lose_a_reply: 2, claim: 2, release: 6, hang_up: 5, refuse: 5, requeue: 3, take_anothers: 3, give_back_overdue: 3,
    renew: 1, set_limit: 9, open_limit: 5, forget_limit: 2, open_house: 4, lower_a_rate: 3, set_health: 6,
    refuse_by_carrier: 1, rest: 1, wait: 6, sleep: 2, set_clock: 2, sweep: 1, adopt: 1, restate: 3, forget_everything: 3,
}  # fmt: skip
