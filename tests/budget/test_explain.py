"""What is told of carriers and lanes is what the permits then do; a real Redis, each reason brought about for real."""

from __future__ import annotations

from uuid import UUID

import pytest

from budget import health, permits
from budget.epoch import begin, marks
from budget.explain import LaneNow, carriers, house, lane
from budget.lanes import Serving, set_overflow
from budget.leases import redis_now_us
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from tests.budget.bench import CARRIER, HOUR, TENANT, Bench

SECOND = UUID(int=3)
OTHER = UUID(int=4)
OWN = f"tenant:{TENANT}"
TRUNK = carrier_scope(CARRIER)


def asked(bench: Bench, *which: UUID) -> None:
    """A pump has asked each carrier just now, and got nothing because nothing was there."""
    for one in which or (CARRIER,):
        assert bench.refusal(one).limit == "empty"


def held(bench: Bench, name: str) -> tuple[str, str | None]:
    found = lane(bench.redis, name).held
    return found.name, found.scope


def test_an_idle_carrier_and_an_empty_lane(bench: Bench) -> None:
    bench.carrier(channels=30, interval=50_000)
    name = bench.lane()
    asked(bench)
    (now,) = carriers(bench.redis, [CARRIER])
    assert (now.held.name, now.state, now.trunk.limit, now.trunk.counted, now.cps) == ("idle", "ok", 30, 0, 20.0)
    assert now.asked_us is not None
    assert held(bench, name) == ("empty", None)


def test_a_carrier_that_works_is_held_by_its_pace_alone(bench: Bench) -> None:
    bench.carrier(interval=HOUR)
    bench.fill(bench.lane(), 3)
    bench.take()
    (now,) = carriers(bench.redis, [CARRIER])
    assert (now.held.name, now.held.scope) == ("cps", TRUNK)
    assert HOUR - 60_000_000 < now.next_us <= HOUR + 70_000
    assert (now.waiting["normal"].tenants, now.waiting["normal"].lanes, now.waiting["urgent"].tenants) == (1, 1, 0)


def test_lanes_and_tenants_are_counted_by_class(bench: Bench) -> None:
    bench.carrier(interval=HOUR)
    for tenant, more, priority in (
        (TENANT, ".c-a", "normal"),
        (TENANT, ".c-b", "normal"),
        (OTHER, "", "normal"),
        (OTHER, "", "bulk"),
    ):
        bench.fill(bench.lane(tenant, priority, more=more), 1)
    (now,) = carriers(bench.redis, [CARRIER])
    assert {name: (one.tenants, one.lanes) for name, one in now.waiting.items()} == {
        "urgent": (0, 0),
        "normal": (2, 3),
        "bulk": (1, 1),
    }


def test_full_channels_with_what_lingers(bench: Bench) -> None:
    bench.carrier(channels=2, linger_us=HOUR)
    name = bench.lane()
    bench.fill(name, 3)
    bench.take()
    gone = bench.take()
    permits.release(bench.redis, gone.attempt_id, gone.fence)
    assert bench.refusal().limit == TRUNK
    (now,) = carriers(bench.redis, [CARRIER])
    assert (now.trunk.used, now.trunk.lingering, now.trunk.left) == (1, 1, 0)
    assert (now.held.name, now.held.limit, now.held.current) == ("channels", 2, 2)
    assert held(bench, name) == ("channels", TRUNK)


def test_what_lingers_stops_counting_by_itself(bench: Bench) -> None:
    bench.carrier(channels=2, linger_us=1_000_000)
    bench.fill(bench.lane(), 1)
    gone = bench.take()
    permits.release(bench.redis, gone.attempt_id, gone.fence)
    now = redis_now_us(bench.redis)
    assert carriers(bench.redis, [CARRIER], now_us=now)[0].trunk.lingering == 1
    assert carriers(bench.redis, [CARRIER], now_us=now + 1_000_000)[0].trunk.lingering == 0


def test_a_shared_account_is_named(bench: Bench) -> None:
    bench.carrier(more=("account:acme",))
    bench.scope("account:acme", channels=1)
    name = bench.lane()
    bench.fill(name, 2)
    bench.take()
    assert bench.refusal().limit == "account:acme"
    (now,) = carriers(bench.redis, [CARRIER])
    assert (now.held.name, now.held.scope, now.held.limit) == ("channels", "account:acme", 1)
    assert held(bench, name) == ("channels", "account:acme")


def test_the_house_and_its_switches(bench: Bench) -> None:
    bench.carrier(interval=HOUR)
    bench.fill(bench.lane(), 2)
    bench.take()
    bench.scope("switch:fs1", channels=1)
    (now,) = carriers(bench.redis, [CARRIER], switches=["fs1", "fs2"])
    assert now.held.name == "cps"  # the other one has room
    (now,) = carriers(bench.redis, [CARRIER], switches=["fs1"])
    assert (now.held.name, now.held.scope) == ("channels", "switch:fs1")
    bench.scope("global", channels=1)
    assert carriers(bench.redis, [CARRIER], switches=["fs1"])[0].held.scope == "global"


@pytest.mark.parametrize(
    ("scope", "more"),
    [
        (OWN, ""),
        (f"campaign:{TENANT.hex}:spring", ".c-spring"),
        (f"caller:{TENANT.hex}:berlin", ".n-berlin"),
        ("agents:sales", ".a-sales"),
    ],
)
def test_a_limit_of_the_lane_itself(bench: Bench, scope: str, more: str) -> None:
    bench.carrier()
    bench.scope(scope, channels=1)
    name = bench.lane(more=more)
    bench.fill(name, 3)
    bench.take()
    assert bench.refusal().limit == scope
    now = lane(bench.redis, name)
    assert (now.held.name, now.held.scope, now.held.limit, now.held.current) == ("channels", scope, 1, 1)
    assert now.carriers[0].before is None
    assert [one.scope for one in house(bench.redis).waiting] == [scope]
    bench.scope(scope, channels=1, paused=True)
    assert held(bench, name) == ("paused", scope)


def test_a_rate_of_the_lane_itself_tells_for_how_long(bench: Bench) -> None:
    bench.carrier()
    bench.scope(OWN, interval=1_500_000)
    name = bench.lane()
    bench.fill(name, 2)
    bench.take()
    assert bench.refusal().limit == OWN
    now = lane(bench.redis, name)
    assert (now.held.name, now.held.scope) == ("cps", OWN)
    assert now.held.wait_us is not None
    assert 0 < now.held.wait_us <= 1_570_000


def test_others_are_before_it(bench: Bench) -> None:
    bench.carrier(interval=HOUR)
    names = {bench.lane(OTHER), bench.lane()}
    for name in names:
        bench.fill(name, 5)
    served = bench.take().lane
    (waits,) = names - {served}
    assert (held(bench, waits)[0], held(bench, served)[0]) == ("cps", "turn")
    (place,) = lane(bench.redis, served).carriers
    assert (place.before, place.held.current) == (1, 1)


def test_what_a_better_tier_could_take_is_left_to_it(bench: Bench) -> None:
    bench.carrier(CARRIER)
    bench.carrier(SECOND)
    asked(bench, CARRIER, SECOND)
    name = bench.lane(carriers=(Serving(CARRIER, 1), Serving(SECOND, 2)), spill_us=HOUR)
    bench.fill(name, 1)
    assert bench.refusal(SECOND).limit == "order"
    first, second = lane(bench.redis, name).carriers
    assert (second.held.name, second.held.scope, second.left_to) == ("order", TRUNK, CARRIER)
    assert (first.held.name, first.left_to) == ("cps", None)
    health.set_health(bench.redis, CARRIER, "stopped", "no answer")
    first, second = lane(bench.redis, name).carriers
    assert (first.held.name, first.held.why) == ("stopped", "no answer")
    assert second.left_to is None
    assert len(bench.grant(SECOND).grants) == 1


def test_a_sister_that_has_had_less(bench: Bench) -> None:
    for one in (CARRIER, SECOND):
        bench.carrier(one)
    asked(bench, CARRIER, SECOND)
    name = bench.lane(carriers=(Serving(CARRIER), Serving(SECOND)))
    bench.fill(name, 3)
    bench.take(CARRIER)
    asked_again = redis_now_us(bench.redis)
    found = {one.carrier_id: one.left_to for one in lane(bench.redis, name, now_us=asked_again).carriers}
    assert found == {CARRIER: SECOND, SECOND: None}
    assert bench.refusal(CARRIER).limit == "order"


def test_a_stopped_a_probing_and_a_paused_carrier(bench: Bench) -> None:
    bench.carrier()
    name = bench.lane()
    bench.fill(name, 3)
    health.set_health(bench.redis, CARRIER, "stopped", "5 of 5 calls failed")
    (now,) = carriers(bench.redis, [CARRIER])
    assert (now.state, now.held.name, now.held.why) == ("stopped", "stopped", "5 of 5 calls failed")
    assert held(bench, name) == ("stopped", TRUNK)
    health.set_health(bench.redis, CARRIER, "probing", "trying again", probes=1, probe_interval_us=HOUR)
    bench.take()
    assert bench.refusal().limit == "probing"
    (now,) = carriers(bench.redis, [CARRIER])
    assert (now.state, now.probes, now.held.name) == ("probing", 0, "probing")
    assert held(bench, name) == ("probing", TRUNK)
    bench.carrier(paused=True)
    assert carriers(bench.redis, [CARRIER])[0].held.name == "paused"
    assert held(bench, name) == ("paused", TRUNK)


def test_a_refusal_has_lowered_the_rate_and_the_count(bench: Bench) -> None:
    bench.carrier(channels=100, interval=10_000)
    settings = bench.settings.model_copy(update={"slow_recover_s": 1000.0})
    asked(bench)
    assert health.slow(bench.redis, settings, CARRIER, "cps", 0)
    now = carriers(bench.redis, [CARRIER])[0].trunk
    assert now.slowed
    assert now.stated_cps == 100
    assert now.cps == pytest.approx(70, abs=1)
    assert health.slow(bench.redis, settings, CARRIER, "channels", 0)
    now = carriers(bench.redis, [CARRIER])[0].trunk
    assert (now.limit, now.stated) == (70, 100)  # it refused while it had none: what it takes is not known
    later = carriers(bench.redis, [CARRIER], now_us=redis_now_us(bench.redis) + 1_000_000_000)[0].trunk
    assert (later.limit, later.cps, later.slowed) == (100, 100, False)


def test_nobody_asks(bench: Bench) -> None:
    bench.carrier()
    name = bench.lane()
    bench.fill(name, 1)
    assert carriers(bench.redis, [CARRIER])[0].held.name == "unasked"
    assert held(bench, name) == ("unasked", TRUNK)
    bench.refusal(SECOND)
    bench.take()
    bench.fill(name, 1)
    assert held(bench, name)[0] == "cps"
    late = redis_now_us(bench.redis) + 10_000_000
    assert lane(bench.redis, name, now_us=late).held.name == "unasked"


def test_a_lane_of_nobody(bench: Bench) -> None:
    name = f"dial.normal.{TENANT.hex}.nowhere"
    bench.fill(name, 1)
    now = lane(bench.redis, name)
    assert (now.held.name, now.unlaned, now.carriers) == ("no_route", True, ())
    assert house(bench.redis).unlaned == (name,)


def test_work_that_is_still_in_postgres(bench: Bench) -> None:
    bench.carrier()
    name = bench.lane()
    asked(bench)
    set_overflow(bench.redis, [name], [])
    now = lane(bench.redis, name)
    assert (now.held.name, now.overflow) == ("backlog", True)
    assert house(bench.redis).overflowing == 1


def test_an_unknown_carrier(bench: Bench) -> None:
    name = bench.lane()
    bench.fill(name, 1)
    assert carriers(bench.redis, [CARRIER])[0].held.name == "unknown"
    assert held(bench, name)[0] == "unknown"


def test_the_budget_closed_and_being_rebuilt(bench: Bench) -> None:
    bench.carrier()
    name = bench.lane()
    bench.fill(name, 1)
    assert house(bench.redis).epoch == 7
    bench.redis.delete(f"{PREFIX}epoch")
    assert (held(bench, name)[0], carriers(bench.redis, [CARRIER])[0].held.name) == ("closed", "closed")
    begin(bench.redis, marks(bench.redis), 8)
    now = house(bench.redis)
    assert (now.epoch, now.rebuilding) == (None, 8)
    assert held(bench, name) == ("rebuilding", None)


def test_popped_and_overdue(bench: Bench) -> None:
    bench.carrier()
    bench.fill(bench.lane(), 2)
    bench.take()
    now = redis_now_us(bench.redis)
    assert (house(bench.redis, now_us=now).popped, house(bench.redis, now_us=now).overdue) == (1, 0)
    later = now + int(bench.settings.popped_deadline_s * 1e6)
    assert house(bench.redis, now_us=later).overdue == 1


def test_a_step_of_the_clock_pays_nothing_off(bench: Bench) -> None:
    bench.carrier(interval=10_000_000, gap_us=1_500_000, linger_us=5_000_000)
    name = bench.lane()
    bench.fill(name, 2)
    gone = bench.take()
    permits.release(bench.redis, gone.attempt_id, gone.fence)
    ahead = redis_now_us(bench.redis) + 3600_000_000
    trunk = carriers(bench.redis, [CARRIER], now_us=ahead)[0].trunk
    assert 9_000_000 < trunk.next_us <= 10_070_000
    assert trunk.lingering == 1


def test_nothing_is_changed_by_looking(bench: Bench) -> None:
    bench.carrier(channels=1, linger_us=1)
    name = bench.lane()
    bench.fill(name, 3)
    gone = bench.take()
    permits.release(bench.redis, gone.attempt_id, gone.fence)

    def everything() -> dict[bytes, bytes | None]:
        return {key: bench.redis.dump(key) for key in bench.redis.scan_iter("*")}

    before = everything()
    later = redis_now_us(bench.redis) + HOUR
    found: list[LaneNow] = [lane(bench.redis, name), lane(bench.redis, name, now_us=later)]
    carriers(bench.redis, [CARRIER, SECOND], now_us=later)
    house(bench.redis)
    assert everything() == before
    assert {one.length for one in found} == {2}


def test_looking_costs_the_same_however_long_the_lane(bench: Bench) -> None:
    bench.carrier(interval=HOUR)
    name = bench.lane()

    def cost() -> int:
        before = int(bench.redis.info("stats")["total_commands_processed"])
        lane(bench.redis, name)
        carriers(bench.redis, [CARRIER])
        house(bench.redis)
        return int(bench.redis.info("stats")["total_commands_processed"]) - before

    bench.fill(name, 1)
    few = cost()
    bench.fill(name, 2000)
    assert cost() == few
