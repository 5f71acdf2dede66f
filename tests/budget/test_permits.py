"""The permit on a real Redis: pacing, channels, fair order, fences, the epoch."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID, uuid4

from budget import lanes, permits
from budget.permits import Answer
from budget.push import push
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from tests.budget.bench import CARRIER, HOUR, TENANT, Bench, wakes

TRUNK = carrier_scope(CARRIER)


def test_without_epoch_nothing_is_granted(bench: Bench) -> None:
    bench.carrier()
    bench.fill(bench.lane(), 1)
    bench.redis.delete(f"{PREFIX}epoch")
    assert bench.refusal().limit == "not_ready"


def test_unknown_carrier_is_not_ready(bench: Bench) -> None:
    assert bench.refusal(uuid4()).limit == "not_ready"


def test_fifo_within_a_lane_and_each_once(bench: Bench) -> None:
    bench.carrier()
    lane = bench.lane()
    ids = bench.fill(lane, 5)
    assert push(bench.redis, [(ids[0], lane)]) == [ids[0]]
    assert [bench.take().attempt_id for _ in ids] == ids
    assert bench.refusal().limit == "empty"
    # Popped ones are leased: a second push must not dial them again.
    assert push(bench.redis, [(i, lane) for i in ids]) == ids
    assert bench.refusal().limit == "empty"


def test_slots_are_spaced_by_the_interval_and_bounded_by_the_horizon(bench: Bench) -> None:
    """However long this test is kept waiting between two requests."""
    bench.carrier(interval=60_000)
    bench.fill(bench.lane(), 10)
    horizon = bench.settings.slot_horizon_ms * 1000
    slots = []
    while grants := (answer := bench.grant(want=3)).grants:
        assert all(grant.slot_us <= horizon for grant in grants)
        slots += [bench.slot(grant) for grant in grants]
    assert answer.limit in (TRUNK, "empty")
    assert all(later - earlier >= 60_000 for earlier, later in pairwise(slots))
    assert bench.number(TRUNK, "tat") == slots[-1] + 60_000


def test_beyond_the_horizon_no_slot_is_reserved(bench: Bench) -> None:
    bench.carrier(interval=HOUR)
    bench.fill(bench.lane(), 2)
    bench.take()
    answer = bench.refusal()
    assert answer.limit == TRUNK
    assert answer.paced
    assert answer.next_us is not None
    assert 0 < answer.next_us < HOUR


def test_channels_are_never_above_the_limit_and_linger_counts(bench: Bench) -> None:
    bench.carrier(channels=2, linger_us=HOUR)
    bench.fill(bench.lane(), 4)
    first, _second = bench.take(), bench.take()
    assert bench.refusal() == Answer((), TRUNK, None)
    assert permits.release(bench.redis, first.attempt_id, first.fence)
    waiting = bench.refusal()
    assert waiting.limit == TRUNK
    assert waiting.next_us is not None
    assert 0 < waiting.next_us <= HOUR
    bench.redis.zadd(f"{PREFIX}linger:{TRUNK}", {f"{first.attempt_id}:{first.fence}": 1}, xx=True)
    assert bench.take()


def test_only_the_owner_releases(bench: Bench) -> None:
    bench.carrier(channels=1)
    bench.fill(bench.lane(), 2)
    grant = bench.take()
    assert not permits.release(bench.redis, grant.attempt_id, grant.fence - 1, linger_us=0)
    assert bench.refusal().limit == TRUNK
    assert permits.release(bench.redis, grant.attempt_id, grant.fence, linger_us=0)
    assert not permits.release(bench.redis, grant.attempt_id, grant.fence, linger_us=0)
    assert bench.take()


def test_requeue_goes_to_the_front_and_keeps_the_slot_burned(bench: Bench) -> None:
    bench.carrier(interval=1000)
    lane = bench.lane()
    ids = bench.fill(lane, 3)
    grant = bench.take()
    tat = bench.number(TRUNK, "tat")
    assert permits.requeue(bench.redis, grant.attempt_id, grant.fence)
    assert not permits.requeue(bench.redis, grant.attempt_id, grant.fence)
    assert bench.number(TRUNK, "tat") == tat
    assert bench.redis.lrange(f"rq:queue:{lane}", 0, -1) == [str(i).encode() for i in ids]
    again = bench.take()
    assert again.attempt_id == ids[0]
    assert again.fence > grant.fence


def test_a_call_put_back_into_a_lane_that_ran_empty_is_served(bench: Bench) -> None:
    bench.carrier()
    [only] = bench.fill(bench.lane(), 1)
    grant = bench.take()
    assert bench.refusal().limit == "empty"
    with wakes(bench) as heard:
        assert permits.requeue(bench.redis, grant.attempt_id, grant.fence)
    assert heard == [f"{CARRIER} * 0"]
    assert bench.take().attempt_id == only


def test_plain_rq_enqueue_is_granted_once_the_lane_is_stated(bench: Bench) -> None:
    from rq import Queue
    from rq.serializers import JSONSerializer

    bench.carrier()
    attempt, name = uuid4(), f"dial.normal.{TENANT.hex}.all"
    Queue(name, connection=bench.redis, serializer=JSONSerializer).enqueue("controller.dial.dial", job_id=str(attempt))
    assert bench.refusal().limit == "empty"
    assert name in lanes.known_lanes(bench.redis)
    bench.lane()
    assert bench.take().attempt_id == attempt


def test_what_is_no_attempt_is_dropped_and_the_next_one_served(bench: Bench) -> None:
    bench.carrier()
    lane = bench.lane()
    bench.redis.rpush(f"rq:queue:{lane}", "not-an-attempt")
    ids = bench.fill(lane, 1)
    assert bench.take().attempt_id == ids[0]


def test_what_is_under_way_is_not_granted_again(bench: Bench) -> None:
    """By another hand than ours it can come into a lane once more, claimed or not."""
    bench.carrier()
    lane = bench.lane()
    ids = bench.fill(lane, 2)
    first = bench.take()
    bench.redis.lpush(f"rq:queue:{lane}", str(first.attempt_id))
    assert bench.take().attempt_id == ids[1]
    assert permits.mark_claimed(bench.redis, first.attempt_id, first.fence)
    bench.redis.rpush(f"rq:queue:{lane}", str(first.attempt_id))
    bench.lane()
    assert bench.refusal().limit == "empty"
    assert bench.lease(first.attempt_id)[0] == str(first.fence)


def test_a_lane_that_loses_its_carrier_is_not_served_by_it(bench: Bench) -> None:
    other = UUID(int=99)
    bench.carrier()
    bench.carrier(other)
    lane = bench.lane()
    ids = bench.fill(lane, 1)
    bench.lane(carriers=(other,))
    assert bench.refusal().limit == "empty"
    assert bench.take(other).attempt_id == ids[0]


def test_another_redis_process_closes_the_epoch(bench: Bench) -> None:
    bench.carrier()
    bench.fill(bench.lane(), 1)
    bench.redis.set(f"{PREFIX}run_id", "the one before the restart")
    bench.redis.connection_pool.disconnect()
    assert bench.refusal().limit == "not_ready"


def test_overdue_pops_are_found_until_claimed(bench: Bench) -> None:
    bench.carrier()
    bench.fill(bench.lane(), 2)
    one, two = bench.take(), bench.take()
    assert permits.mark_claimed(bench.redis, one.attempt_id, one.fence)
    assert not permits.mark_claimed(bench.redis, two.attempt_id, two.fence + 1)
    late = permits.redis_now_us(bench.redis) + 10_000_000
    assert permits.overdue_pops(bench.redis, late, 10) == [(two.attempt_id, two.fence)]


def test_adopted_leases_count_and_missing_is_told(bench: Bench) -> None:
    bench.carrier(channels=1)
    lane = bench.lane()
    lost = uuid4()
    bench.fill(lane, 1)
    lease = permits.Lease(uuid4(), 5, CARRIER, "fs1")
    assert permits.adopt(bench.redis, bench.settings, lease, lane)
    assert not permits.adopt(bench.redis, bench.settings, lease, lane)
    assert bench.refusal().limit == TRUNK
    assert permits.leases(bench.redis, [CARRIER]) == [lease]
    assert lanes.missing(bench.redis, [(lease.attempt_id, lane), (lost, lane)]) == [(lost, lane)]
    assert permits.renew(bench.redis, bench.settings, [lease.attempt_id, lost]) == 1
