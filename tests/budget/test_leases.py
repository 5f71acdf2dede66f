"""Leases after the grant, on a real Redis: refused, renewed or suspect, and what cannot be read."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from budget import permits
from budget.hold import hold
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from tests.budget.bench import CARRIER, HOUR, TENANT, Bench

TRUNK = carrier_scope(CARRIER)


@pytest.fixture
def wide(bench: Bench) -> Bench:
    """Slots lie far ahead, so that what may still be given back does not depend on the test's speed."""
    bench.settings = bench.settings.model_copy(update={"slot_lead_ms": HOUR / 1000, "slot_horizon_ms": 10 * HOUR // 1000})
    return bench


def test_a_refused_permit_gives_its_slot_to_the_next_call(wide: Bench) -> None:
    wide.carrier(interval=HOUR, channels=1, linger_us=HOUR)
    _, following = wide.fill(wide.lane(), 2)
    refused = wide.take()
    slot = wide.slot(refused)
    assert permits.refuse(wide.redis, refused.attempt_id, refused.fence)
    assert not permits.refuse(wide.redis, refused.attempt_id, refused.fence)
    assert wide.number(TRUNK, "tat") == slot
    grant = wide.take()  # no linger either
    assert grant.attempt_id == following
    assert slot <= wide.slot(grant) < slot + HOUR


def test_many_refused_in_a_row_cost_one_slot(wide: Bench) -> None:
    wide.carrier(interval=HOUR, channels=100)
    *_, last = wide.fill(wide.lane(), 20)
    slots = []
    for _ in range(19):
        grant = wide.take()
        slots.append(wide.slot(grant))
        assert permits.refuse(wide.redis, grant.attempt_id, grant.fence)
    grant = wide.take()
    assert grant.attempt_id == last
    assert wide.slot(grant) < slots[0] + HOUR


def test_only_the_last_slot_is_given_back_and_then_the_one_before(wide: Bench) -> None:
    wide.carrier(interval=HOUR)
    wide.fill(wide.lane(priority="urgent"), 2)  # only these reserve a slot so far ahead
    first, second = wide.take(), wide.take()
    last = wide.slot(second)
    tat = wide.number(TRUNK, "tat")
    assert permits.refuse(wide.redis, first.attempt_id, first.fence)
    assert wide.number(TRUNK, "tat") == tat, "a later slot is out"
    assert permits.refuse(wide.redis, second.attempt_id, second.fence)
    assert wide.number(TRUNK, "tat") == last


def test_slots_are_given_back_from_the_end(wide: Bench) -> None:
    wide.carrier(interval=HOUR)
    wide.fill(wide.lane(priority="urgent"), 2)  # only these reserve a slot so far ahead
    first, second = wide.take(), wide.take()
    slot = wide.slot(first)
    assert permits.refuse(wide.redis, second.attempt_id, second.fence)
    assert permits.refuse(wide.redis, first.attempt_id, first.fence)
    assert wide.number(TRUNK, "tat") == slot


@pytest.mark.parametrize("rest_us", [1, 100 * HOUR])
def test_a_hold_since_keeps_the_slot_spent(wide: Bench, rest_us: int) -> None:
    """Also a hold that ends before the slot: the carrier was to rest from then on."""
    wide.carrier(interval=HOUR)
    wide.fill(wide.lane(), 1)
    grant = wide.take()
    tat = wide.slot(grant) + HOUR
    hold(wide.redis, CARRIER, rest_us)
    assert permits.refuse(wide.redis, grant.attempt_id, grant.fence)
    assert wide.number(TRUNK, "tat") > tat


def test_a_slot_that_has_passed_stays_spent(wide: Bench) -> None:
    wide.carrier(interval=HOUR)
    wide.fill(wide.lane(), 1)
    grant = wide.take()
    past = permits.redis_now_us(wide.redis) - 1
    words = wide.lease(grant.attempt_id)
    words[5:7] = [str(past), str(past + HOUR)]
    wide.redis.set(f"{PREFIX}lease:{grant.attempt_id}", " ".join(words))
    wide.redis.hset(f"{PREFIX}s:{TRUNK}", "tat", past + HOUR)
    assert permits.refuse(wide.redis, grant.attempt_id, grant.fence)
    assert wide.number(TRUNK, "tat") == past + HOUR


def test_only_the_owner_refuses(wide: Bench) -> None:
    wide.carrier(interval=HOUR)
    wide.fill(wide.lane(), 1)
    grant = wide.take()
    tat = wide.number(TRUNK, "tat")
    assert not permits.refuse(wide.redis, grant.attempt_id, grant.fence + 1)
    assert wide.number(TRUNK, "tat") == tat
    assert [x.attempt_id for x in permits.leases(wide.redis, [CARRIER])] == [grant.attempt_id]


def test_what_was_adopted_has_no_slot_to_give_back(bench: Bench) -> None:
    bench.carrier(interval=HOUR)
    lease = permits.Lease(uuid4(), 5, CARRIER, "fs1")
    permits.adopt(bench.redis, bench.settings, lease, bench.lane())
    assert permits.refuse(bench.redis, lease.attempt_id, lease.fence)
    assert bench.redis.hget(f"{PREFIX}s:{TRUNK}", "tat") is None


@pytest.mark.parametrize("give_back", [permits.requeue, permits.refuse])
def test_the_tenant_is_not_charged_for_what_it_did_not_get(wide: Bench, give_back: object) -> None:
    wide.carrier(interval=1)
    unlucky, other = TENANT, UUID(int=30)
    wide.fill(wide.lane(unlucky), 10)
    wide.fill(wide.lane(other), 10)
    served = []
    for _ in range(8):
        grant = wide.take()
        served.append(UUID(grant.lane.split(".")[2]))
        if served == [unlucky]:
            assert callable(give_back)
            assert give_back(wide.redis, grant.attempt_id, grant.fence)
    assert served.count(unlucky) == 5  # the first of them does not count


def test_suspect_is_what_nobody_renewed(bench: Bench) -> None:
    bench.carrier()
    lane = bench.lane()
    old, renewed, young = (permits.Lease(uuid4(), n, CARRIER, "fs1") for n in (1, 2, 3))
    for lease in (old, renewed, young):
        permits.adopt(bench.redis, bench.settings, lease, lane)
    for lease in (old, renewed):
        bench.redis.zadd(f"{PREFIX}held:{TRUNK}", {str(lease.attempt_id): 1})
    assert permits.renew(bench.redis, bench.settings, [renewed.attempt_id]) == 1
    assert permits.suspects(bench.redis, [CARRIER]) == [old]
    assert len(permits.leases(bench.redis, [CARRIER, UUID(int=77)])) == 3


def test_leases_tell_whether_they_are_popped_and_since_when(bench: Bench) -> None:
    bench.carrier()
    bench.fill(bench.lane(), 2)
    before = permits.redis_now_us(bench.redis)
    one, two = bench.take(), bench.take()
    permits.mark_claimed(bench.redis, one.attempt_id, one.fence)
    found = {x.attempt_id: x for x in permits.leases(bench.redis, [CARRIER])}
    assert not found[one.attempt_id].popped
    assert found[two.attempt_id].popped
    assert before <= found[one.attempt_id].granted_us <= found[two.attempt_id].granted_us


STRAYS = ["x" * 36, "01234567-89AB-CDEF-0123-456789ABCDEF", "0123456789abcdef0123456789abcdef", "", "\xff" * 36]


@pytest.mark.parametrize("stray", STRAYS)
def test_what_is_no_attempts_id_is_dropped_wherever_it_stands(bench: Bench, stray: str) -> None:
    bench.carrier()
    lane = bench.lane()
    raw = stray.encode("latin-1")
    bench.redis.rpush(f"rq:queue:{lane}", raw)
    bench.redis.sadd(f"{PREFIX}in", raw)
    bench.redis.zadd(f"{PREFIX}held:{TRUNK}", {raw: 1})
    bench.redis.zadd(f"{PREFIX}popped", {raw: 1})
    [attempt] = bench.fill(lane, 1)
    assert bench.take().attempt_id == attempt
    assert raw not in bench.redis.smembers(f"{PREFIX}in")
    assert bench.redis.llen(f"rq:queue:{lane}") == 0
    far = permits.redis_now_us(bench.redis) + HOUR
    assert [a for a, _ in permits.overdue_pops(bench.redis, far, 10)] == [attempt]
    assert [x.attempt_id for x in permits.leases(bench.redis, [CARRIER])] == [attempt]
    assert bench.redis.zcard(f"{PREFIX}held:{TRUNK}") == bench.redis.zcard(f"{PREFIX}popped") == 1


def test_a_lease_without_its_parts_is_dropped(bench: Bench) -> None:
    bench.carrier()
    attempt = str(uuid4())
    bench.redis.zadd(f"{PREFIX}held:{TRUNK}", {attempt: 1})
    bench.redis.set(f"{PREFIX}lease:{attempt}", "seven words would not be enough either")
    assert permits.leases(bench.redis, [CARRIER]) == []
    assert bench.redis.exists(f"{PREFIX}lease:{attempt}") == bench.redis.zcard(f"{PREFIX}held:{TRUNK}") == 0
