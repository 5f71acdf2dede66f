"""The permit on a real Redis: pacing, channels, fair order, fences, the epoch."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from uuid import UUID, uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from budget import lanes, permits
from budget.permits import Grant, Refusal
from budget.push import push
from tests.budget.bench import CARRIER, HOUR, TENANT, Bench


def test_without_epoch_nothing_is_granted(bench: Bench) -> None:
    bench.carrier()
    bench.fill(bench.lane(), 1)
    bench.redis.delete("tl1:epoch")
    assert bench.refusal().limit == "not_ready"


def test_unknown_carrier_is_not_ready(bench: Bench) -> None:
    assert bench.refusal(uuid4()).limit == "not_ready"


def test_fifo_within_a_lane_and_each_once(bench: Bench) -> None:
    bench.carrier()
    lane = bench.lane()
    ids = bench.fill(lane, 5)
    assert push(bench.redis, [(ids[0], lane)]) == 0
    assert [bench.take().attempt_id for _ in ids] == ids
    assert bench.refusal().limit == "empty"
    # Popped ones are leased: a second push must not dial them again.
    assert push(bench.redis, [(i, lane) for i in ids]) == 0


def test_slots_are_spaced_by_the_interval_and_bounded_by_the_horizon(bench: Bench) -> None:
    """However long this test is kept waiting between two requests."""
    bench.carrier(interval=60_000)
    bench.fill(bench.lane(), 10)
    horizon = bench.settings.slot_horizon_ms * 1000
    slots = []
    while isinstance(answer := bench.grant(), Grant):
        assert answer.slot_us <= horizon
        slots.append(bench.slot(answer))
    assert answer.limit in ("cps", "empty")
    assert all(later - earlier >= 60_000 for earlier, later in pairwise(slots))
    assert bench.number(f"tat:{CARRIER}") == slots[-1] + 60_000


def test_beyond_the_horizon_no_slot_is_reserved(bench: Bench) -> None:
    bench.carrier(interval=HOUR)
    bench.fill(bench.lane(), 2)
    bench.take()
    answer = bench.refusal()
    assert answer.limit == "cps"
    assert answer.retry_us is not None
    assert 0 < answer.retry_us < HOUR


def test_channels_are_never_above_the_limit_and_linger_counts(bench: Bench) -> None:
    bench.carrier(channels=2, linger_us=HOUR)
    bench.fill(bench.lane(), 4)
    first, _second = bench.take(), bench.take()
    assert bench.refusal() == Refusal("channels", None)
    assert permits.release(bench.redis, first.attempt_id, first.fence)
    waiting = bench.refusal()
    assert waiting.limit == "channels"
    assert waiting.retry_us is not None
    assert 0 < waiting.retry_us <= HOUR
    bench.redis.zadd(f"tl1:linger:{CARRIER}", {f"{first.attempt_id}:{first.fence}": 1}, xx=True)
    assert bench.take()


def test_only_the_owner_releases(bench: Bench) -> None:
    bench.carrier(channels=1)
    bench.fill(bench.lane(), 2)
    grant = bench.take()
    assert not permits.release(bench.redis, grant.attempt_id, grant.fence - 1, linger_us=0)
    assert bench.refusal().limit == "channels"
    assert permits.release(bench.redis, grant.attempt_id, grant.fence, linger_us=0)
    assert not permits.release(bench.redis, grant.attempt_id, grant.fence, linger_us=0)
    assert bench.take()


def test_requeue_goes_to_the_front_and_keeps_the_slot_burned(bench: Bench) -> None:
    bench.carrier(interval=1000)
    lane = bench.lane()
    ids = bench.fill(lane, 3)
    grant = bench.take()
    tat = bench.redis.get(f"tl1:tat:{CARRIER}")
    assert permits.requeue(bench.redis, grant.attempt_id, grant.fence)
    assert not permits.requeue(bench.redis, grant.attempt_id, grant.fence)
    assert bench.redis.get(f"tl1:tat:{CARRIER}") == tat
    assert bench.redis.lrange(f"rq:queue:{lane}", 0, -1) == [str(i).encode() for i in ids]
    assert bench.redis.lrange(f"rq:queue:{lane}:intermediate", 0, -1) == []
    again = bench.take()
    assert again.attempt_id == ids[0]
    assert again.fence > grant.fence


def test_tenants_share_by_weight_and_a_newcomer_waits_its_turn_only(bench: Bench) -> None:
    bench.carrier(channels=1000)
    flood, small, heavy = (UUID(int=n) for n in (10, 11, 12))
    bench.fill(bench.lane(flood), 200)
    for _ in range(50):
        bench.take()
    bench.fill(bench.lane(small), 20)
    bench.fill(bench.lane(heavy, weight=2), 40)
    served = Counter(UUID(bench.take().lane.split(".")[2]) for _ in range(80))
    assert served[small] == 20
    assert served[heavy] == 40
    assert served[flood] == 20


def test_many_routes_give_no_extra_share(bench: Bench) -> None:
    bench.carrier(channels=1000)
    wide, narrow = UUID(int=20), UUID(int=21)
    for route in ("a", "b", "c", "d"):
        bench.fill(bench.lane(wide, route=route), 50)
    bench.fill(bench.lane(narrow), 50)
    served = Counter(UUID(bench.take().lane.split(".")[2]) for _ in range(80))
    assert abs(served[wide] - served[narrow]) <= 4


def test_urgent_before_normal_before_bulk(bench: Bench) -> None:
    bench.carrier()
    for priority in ("bulk", "normal", "urgent"):
        bench.fill(bench.lane(priority=priority), 2)
    assert [bench.take().lane.split(".")[1] for _ in range(6)] == ["urgent"] * 2 + ["normal"] * 2 + ["bulk"] * 2


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
    assert bench.redis.lrange(f"rq:queue:{lane}:intermediate", 0, -1) == [str(ids[0]).encode()]


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
    bench.redis.set("tl1:run_id", "the one before the restart")
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
    assert bench.refusal().limit == "channels"
    assert permits.leases(bench.redis, [CARRIER]) == [lease]
    assert lanes.missing(bench.redis, [(lease.attempt_id, lane), (lost, lane)]) == [(lost, lane)]
    assert permits.renew(bench.redis, bench.settings, [lease.attempt_id, lost]) == 1


@given(
    cps=st.integers(1, 500),
    window_ms=st.sampled_from([1000, 5000]),
    jitter_ms=st.integers(0, 250),
    cost=st.sampled_from([1, 2]),
    data=st.data(),
)
@settings(max_examples=300, deadline=None)
def test_pacing_never_exceeds_the_window_whatever_the_jitter(
    cps: int, window_ms: int, jitter_ms: int, cost: int, data: st.DataObject
) -> None:
    """N * W arrivals at most in any window W, each slot delayed by anything up to J."""
    step = lanes.interval_us(cps, window_ms, jitter_ms, cost)
    allowed = cps * window_ms // 1000
    count = allowed // cost + 3
    late = data.draw(st.lists(st.integers(0, jitter_ms * 1000), min_size=count, max_size=count))
    arrivals = sorted(i * step + late[i] for i in range(count))
    for i, start in enumerate(arrivals):
        inside = sum(1 for t in arrivals[i:] if t < start + window_ms * 1000)
        assert inside * cost <= max(allowed, cost)


def test_fractions_of_a_call_are_no_call() -> None:
    assert lanes.interval_us(2.5, 1000, 0, 1) == 500_000
    assert lanes.interval_us(0.5, 1000, 20, 1) == 2_020_000
    assert lanes.interval_us(0, 1000, 20, 1) == 0
