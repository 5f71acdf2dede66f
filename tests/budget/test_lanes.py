"""Lanes on a real Redis: stated from Postgres, in order when they hold work, forgotten when they hold none for long."""

from __future__ import annotations

from uuid import UUID, uuid4

from rq import Queue
from rq.serializers import JSONSerializer

from budget import lanes, permits
from budget.lanes import LaneSpec, Serving
from budget.push import push
from budget.scripts import PREFIX
from tests.budget.bench import CARRIER, TENANT, Bench, wakes

OTHER = UUID(int=99)


def spec(number: int, *carriers: UUID) -> LaneSpec:
    return LaneSpec(f"dial.normal.{TENANT.hex}.r{number}", TENANT, "normal", 1, tuple(map(Serving, carriers)))


def test_many_lanes_in_one_go_and_no_wake_for_what_is_in_order(bench: Bench) -> None:
    bench.carrier(channels=1000)
    tenants = [UUID(int=1000 + n) for n in range(2 * lanes.CHUNK + 1)]
    specs = [LaneSpec(f"dial.normal.{t.hex}.all", t, "normal", 1, (Serving(CARRIER),)) for t in tenants]
    assert len(push(bench.redis, [(uuid4(), s.name) for s in specs])) == len(specs)
    assert lanes.set_lanes(bench.redis, specs) == len(specs)
    assert bench.redis.scard(f"{PREFIX}unlaned") == 0
    with wakes(bench) as heard:
        assert lanes.set_lanes(bench.redis, specs) == 0
    assert heard == []
    assert {bench.take().lane for _ in specs} == {s.name for s in specs}


def test_a_push_into_a_lane_in_order_wakes_nobody(bench: Bench) -> None:
    bench.carrier()
    lane = bench.lane()
    bench.fill(lane, 1)
    with wakes(bench) as heard:
        bench.fill(lane, 5)
    assert heard == []
    for _ in range(6):
        bench.take()
    assert bench.refusal().limit == "empty"
    with wakes(bench) as heard:
        bench.fill(lane, 1)
    assert heard == [f"{CARRIER} * 0"]


def test_work_that_plain_rq_left_in_a_known_lane_is_put_in_order(bench: Bench) -> None:
    bench.carrier()
    name, attempt = bench.lane(), uuid4()
    Queue(name, connection=bench.redis, serializer=JSONSerializer).enqueue("controller.dial.dial", job_id=str(attempt))
    assert bench.refusal().limit == "empty"
    assert lanes.set_lane(bench.redis, LaneSpec(name, TENANT, "normal", 1, (Serving(CARRIER),)))
    assert bench.take().attempt_id == attempt


def test_a_lane_of_nobody_leaves_every_order_and_keeps_its_work(bench: Bench) -> None:
    bench.carrier()
    bench.carrier(OTHER)
    lanes.set_lanes(bench.redis, [spec(1, CARRIER, OTHER)])
    ids = bench.fill(spec(1).name, 2)
    assert lanes.set_lanes(bench.redis, [spec(1)]) == 1
    assert bench.refusal().limit == bench.refusal(OTHER).limit == "empty"
    late = bench.fill(spec(1).name, 1)
    assert bench.refusal().limit == "empty"
    assert lanes.set_lanes(bench.redis, [spec(1)]) == 0
    assert lanes.set_lanes(bench.redis, [spec(1, CARRIER)]) == 1
    assert [bench.take().attempt_id for _ in range(3)] == ids + late


def test_a_lane_that_was_never_stated_is_not_stated_for_nobody(bench: Bench) -> None:
    bench.redis.sadd("rq:queues", f"rq:queue:{spec(1).name}")
    assert lanes.set_lanes(bench.redis, [spec(1)]) == 0
    assert bench.redis.exists(f"{PREFIX}lane:{spec(1).name}") == 0


def test_only_what_is_empty_is_forgotten(bench: Bench) -> None:
    bench.carrier()
    lanes.set_lanes(bench.redis, [spec(n, CARRIER) for n in range(3)])
    names = [spec(n).name for n in range(3)]
    bench.redis.sadd("rq:queues", *(f"rq:queue:{name}" for name in names))
    bench.fill(names[0], 1)
    assert lanes.empty_lanes(bench.redis, names) == set(names[1:])
    assert lanes.prune(bench.redis, names) == 2
    assert lanes.known_lanes(bench.redis) == {names[0]}
    assert not bench.redis.exists(*(f"{PREFIX}lane:{name}" for name in names[1:]))


def test_missing_is_what_no_list_holds(bench: Bench) -> None:
    """The set of laned ids is not believed; a lease is."""
    bench.carrier()
    lane = bench.lane()
    popped, *laned = bench.fill(lane, 2 * lanes.LISTED + 5)
    assert bench.take().attempt_id == popped
    lost, known = uuid4(), uuid4()
    bench.redis.sadd(f"{PREFIX}in", str(known))
    asked = [(attempt, lane) for attempt in (popped, lost, laned[0], known, laned[-1])]
    assert lanes.missing(bench.redis, asked) == [(lost, lane), (known, lane)]
    assert push(bench.redis, asked) == [attempt for attempt, _ in asked]
    assert lanes.missing(bench.redis, asked) == []
    assert bench.redis.llen(f"rq:queue:{lane}") == 2 * lanes.LISTED + 4 + 2


def test_what_comes_back_to_the_front_while_the_list_is_read_is_not_missing(bench: Bench) -> None:
    """Popped before the reader begins and put back behind its back: the script that has the last word finds it."""
    bench.carrier()
    lane = bench.lane()
    [attempt] = bench.fill(lane, 1)
    bench.fill(lane, 10)
    grant = bench.take()
    lrange = bench.redis.lrange

    def read_then_requeue(name: str, start: int, end: int) -> object:
        answer = lrange(name, start, end)
        permits.requeue(bench.redis, grant.attempt_id, grant.fence)
        return answer

    bench.redis.lrange = read_then_requeue  # type: ignore[method-assign,assignment]
    assert lanes.missing(bench.redis, [(attempt, lane)]) == []
