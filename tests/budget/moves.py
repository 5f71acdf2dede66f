"""What can happen to the budget, one move each; every move leaves the model as the budget should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar
from uuid import UUID

from rq import Queue
from rq.serializers import JSONSerializer

from budget import permits, scopes
from budget.lanes import set_overflow
from budget.push import push
from budget.scopes import carrier_scope
from budget.scripts import run
from tests.budget.world import (
    CARRIERS,
    LANES,
    MS,
    SECOND,
    SHARED,
    SWITCHES,
    Held,
    Limit,
    World,
    parse_lane,
    promise,
)

T = TypeVar("T")
#: Of the calls just granted, how many are claimed at once.
COUNTS = [0, 0, 1, 5]


class Chooser(Protocol):
    """Where the moves' choices come from: Hypothesis or a seed."""

    def __call__(self, options: Sequence[T]) -> T: ...


def push_some(world: World, choose: Chooser) -> None:
    lane = choose(LANES)
    ids = [world.new_id() for _ in range(choose([1, 1, 3]))]
    again = choose([*world.waiting[lane], None])
    known = [one for one in (again, *list(world.leases)[:1]) if one is not None and len(one) == 36]
    known = [one for one in known if one not in world.plain and choose([True, False])]
    items = [(UUID(one), lane) for one in (*ids, *known)]
    promise(push(world.redis, items) == [one for one, _ in items], "a push without a window lanes everything")
    world.waiting[lane] += ids
    if lane in world.unstated and any(world.serving[lane]):
        world.unstated.discard(lane)


def push_new_behind_old(world: World, choose: Chooser) -> None:
    """As the API does: nothing beyond the window, nothing while older calls wait."""
    lane, window = choose(LANES), choose([1, 2, 4])
    ids = [world.new_id() for _ in range(choose([1, 3]))]
    laned = [str(one) for one in push(world.redis, [(UUID(one), lane) for one in ids], window=window)]
    room = 0 if lane in world.over else max(0, window - len(world.waiting[lane]))
    promise(laned == ids[:room], "a push with a window", laned, ids, room, lane in world.over)
    world.waiting[lane] += laned
    if laned:
        world.unstated.discard(lane)
    if room < len(ids):
        world.over.add(lane)


def overflow_ends(world: World, choose: Chooser) -> None:
    set_overflow(world.redis, [], LANES)
    world.over.clear()


def enqueue_plainly(world: World, choose: Chooser) -> None:
    """By RQ's own hand: something new, something that is under way already, or no attempt at all."""
    lane = choose(LANES)
    one = choose([world.new_id(), *list(world.leases)[:2], "nonsense"])
    Queue(lane, connection=world.redis, serializer=JSONSerializer).enqueue("controller.dial.dial", job_id=one)
    world.waiting[lane].append(one)
    world.plain.add(one)
    if len(world.waiting[lane]) == 1 or lane in world.unstated:
        world.unstated.add(lane)


def grant(world: World, choose: Chooser) -> None:
    answer = world.ask(choose(CARRIERS), choose(SWITCHES), choose([1, 1, 2, 5]))
    if choose([True, True, False]):
        for permit in answer.grants:
            promise(permits.mark_claimed(world.redis, permit.attempt_id, permit.fence), "its owner claims it")
            world.popped.pop(str(permit.attempt_id))


def lose_a_reply(world: World, choose: Chooser) -> None:
    world.ask(choose(CARRIERS), choose(SWITCHES), choose([1, 3]))


def pump(world: World, choose: Chooser) -> None:
    """Pumps that come again and again, each time when the first of them is told to."""
    want, rounds = choose([1, 1, 5]), choose([1, 4, 12])
    for _ in range(rounds):
        waits = [100 * MS]
        for carrier in CARRIERS:
            answer = world.ask(carrier, choose(SWITCHES), want)
            if answer.paced and answer.next_us is not None:
                waits.append(answer.next_us)
            for permit in answer.grants[: choose(COUNTS)]:
                permits.mark_claimed(world.redis, permit.attempt_id, permit.fence)
                world.popped.pop(str(permit.attempt_id))
        world.tick(max(MS, min(waits)))


def look(world: World, choose: Chooser) -> None:
    """What was changed shows at once: there is work, and everybody asks."""
    backlog(world, choose)
    for carrier in CARRIERS:
        world.ask(carrier, choose(SWITCHES), choose([1, 5]))


def backlog(world: World, choose: Chooser) -> None:
    """Enough for everybody."""
    short = [(world.new_id(), lane) for lane in LANES for _ in range(4 - len(world.waiting[lane]))]
    push(world.redis, [(UUID(one), lane) for one, lane in short])
    for one, lane in short:
        world.waiting[lane].append(one)
        world.unstated.discard(lane)


def hang_up(world: World, choose: Chooser) -> None:
    """Most calls end."""
    ended: list[tuple[UUID, int]] = []
    for one, held in list(world.leases.items()):
        if choose([True, True, True, False]):
            ended.append((UUID(one), held.fence))
            world.drop(one, world.limits.get(carrier_scope(held.carrier), Limit()).linger_us)
    promise(permits.release_all(world.redis, ended) == len(ended), "their owner releases them")
    choose([look, pump])(world, choose)


def some_lease(world: World, choose: Chooser) -> tuple[str, Held] | None:
    return choose(list(world.leases.items())) if world.leases else None


def claim(world: World, choose: Chooser) -> None:
    if found := some_lease(world, choose):
        one, held = found
        promise(permits.mark_claimed(world.redis, UUID(one), held.fence), "its owner claims it")
        world.popped.pop(one, None)


def release(world: World, choose: Chooser) -> None:
    if found := some_lease(world, choose):
        one, held = found
        linger = choose([None, 0, 300 * MS])
        own = world.limits.get(carrier_scope(held.carrier), Limit()).linger_us
        promise(permits.release(world.redis, UUID(one), held.fence, linger_us=linger), "its owner releases it")
        world.drop(one, own if linger is None else linger)


def refuse(world: World, choose: Chooser) -> None:
    """Some of those just granted, at once or after their slots, in any order; or any."""
    backlog(world, choose)
    fresh = [str(grant.attempt_id) for carrier in CARRIERS for grant in world.ask(carrier, choose(SWITCHES), 5).grants]
    world.tick(choose([0, 0, 200 * MS]))
    for one in choose([fresh, fresh[::2], fresh[::-1], list(world.leases)[:1]]):
        trunk = carrier_scope(world.leases[one].carrier)
        what = int(run(world.redis, "refuse", one, world.leases[one].fence))
        promise(what > 0, "its owner refuses it")
        world.drop(one, 0)
        if what == 2:
            slots = world.slots[trunk]
            promise(slots[-1][1] == one, "a slot given back although later ones are out", one, slots[-3:])
            promise(slots[-1][0] > world.true, "a slot given back that has passed")
            slots.pop()


def requeue(world: World, choose: Chooser) -> None:
    if found := some_lease(world, choose):
        back(world, *found)


def back(world: World, one: str, held: Held) -> None:
    promise(permits.requeue(world.redis, UUID(one), held.fence), "its owner requeues it")
    world.drop(one, 0)
    world.waiting[held.lane].insert(0, one)
    world.unstated.discard(held.lane)


def take_anothers(world: World, choose: Chooser) -> None:
    """A late hand with the fence of an earlier permit."""
    if found := some_lease(world, choose):
        one, held = found
        verb = choose([permits.release, permits.requeue, permits.refuse, permits.mark_claimed])
        promise(not verb(world.redis, UUID(one), held.fence + choose([-1, 1])), "another's permit was taken", verb.__name__)


def give_back_overdue(world: World, choose: Chooser) -> None:
    for attempt, fence in permits.overdue_pops(world.redis, world.true + world.shift, 10):
        held = world.leases.get(str(attempt))
        promise(held is not None and held.fence == fence, "overdue without a lease")
        promise(world.popped[str(attempt)] <= world.true + world.shift, "given back before its time")
        assert held is not None
        back(world, str(attempt), held)


def renew(world: World, choose: Chooser) -> None:
    ids = [UUID(one) for one in world.leases]
    promise(permits.renew(world.redis, world.settings, ids) == len(ids), "renewed leases")


def wait(world: World, choose: Chooser) -> None:
    world.tick(choose([1, MS, 20 * MS, 100 * MS, 100 * MS, 400 * MS, 1100 * MS]))


def sleep(world: World, choose: Chooser) -> None:
    """Longer than any lease or deadline lasts: nothing is freed by that."""
    world.tick(choose([6 * SECOND, 100 * SECOND]))
    look(world, choose)


def sweep(world: World, choose: Chooser) -> None:
    scopes.sweep(world.redis)
    world.check(swept=True)


def adopt(world: World, choose: Chooser) -> None:
    """A live call that the budget did not know, or did."""
    one, carrier, lane = choose([world.new_id(), *list(world.leases)[:1]]), choose(CARRIERS), choose(LANES)
    lease = permits.Lease(UUID(one), 1, carrier, choose(SWITCHES))
    new = permits.adopt(world.redis, world.settings, lease, lane)
    promise(new == (one not in world.leases), "adopts what has no lease")
    if new:
        world.leases[one] = adopted(lease, lane)


def adopted(lease: permits.Lease, lane: str) -> Held:
    counted = (carrier_scope(lease.carrier_id), *SHARED[lease.carrier_id], f"switch:{lease.switch}", "global")
    return Held(lease.fence, lane, lease.carrier_id, (*counted, *parse_lane(lane).scopes))
