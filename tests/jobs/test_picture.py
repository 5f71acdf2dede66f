"""Redis' picture of limits and lanes on real Postgres and Redis: numbers, what is shared, what is gone."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from budget import permits
from budget.replies import number, text, texts
from budget.scopes import carrier_scope, interval_us
from budget.scripts import PREFIX
from calls.health import Health, State
from jobs import picture
from jobs.feeder import LANES_S, Feeder
from jobs.health import standing_of
from settings import Settings
from store import carriers, outcomes, scopes, tenants
from store.carriers import Serving
from store.scopes import Scope
from tests.jobs.conftest import drained, grant, lane_of, take, tick, waiting, when
from tests.store.conftest import World


@pytest.fixture(autouse=True)
def _nothing_left_of_others(world: World) -> None:
    """The database is this file's; what other tests left would be laned, and their limits hold, here."""
    world.execute("UPDATE attempts SET state = 'ended' WHERE state = 'queued'")
    world.execute("DELETE FROM scopes")


def kept(redis: Redis, scope: str, field: str) -> str:
    return text(redis.hget(f"{PREFIX}s:{scope}", field) or b"")


def another(world: World, **numbers: Any) -> UUID:
    """A second carrier, with an endpoint."""
    name = f"other-{uuid4().hex[:8]}"
    made = carriers.put_carrier(world.db, name=name, **{"max_channels": 10, "cps": 5, **numbers})
    carriers.put_endpoint(world.db, carrier_id=made.id, gateway=name, address="127.0.0.1:5060")
    return made.id


def change(world: World, **changes: Any) -> None:
    """The test's carrier."""
    ((name,),) = world.rows("SELECT name FROM carriers WHERE id = %s", world.carrier_id)
    assert carriers.update(world.db, name, **changes) is not None


def test_every_number_of_a_carrier(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    change(
        world, max_channels=7, cps=4, window_ms=2000, linger_ms=900, jitter_ms=100, invite_cost=2, account="acct-1",
        source_ip="192.0.2.1", urgent_share=0.5, bulk_floor=0.25,
    )  # fmt: skip
    tick(feeder)
    mine = carrier_scope(world.carrier_id)
    assert {field: kept(redis, mine, field) for field in ("max", "linger", "paused", "urgent_share", "bulk_floor")} == {
        "max": "7", "linger": "900000", "paused": "0", "urgent_share": "0.5", "bulk_floor": "0.25",
    }  # fmt: skip
    assert kept(redis, mine, "interval") == str(interval_us(4, 2000, options.jitter_for(100, 2), 2))
    assert kept(redis, mine, "rest") == str(2_150_000)
    assert kept(redis, mine, "more") == "account:acct-1,ip:192.0.2.1"


def test_less_than_one_call_in_its_window_rests_for_as_long_as_one_takes() -> None:
    assert picture.rest_us(1000, 30, interval_us(0.2, 1000, 30)) == interval_us(0.2, 1000, 30) == 5_030_000


def test_an_account_is_paced_for_the_dearest_and_least_steady_of_its_carriers(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    change(world, account="shared")
    another(world, account="shared", invite_cost=2, jitter_ms=200, linger_ms=3000)
    another(world, invite_cost=2, jitter_ms=500)  # of nobody
    scopes.put(world.db, Scope("account:shared", max_channels=3, cps=10))
    tick(feeder)
    assert kept(redis, "account:shared", "interval") == str(interval_us(10, 1000, options.jitter_for(200, 2), 2))
    assert kept(redis, "account:shared", "max") == "3"
    assert kept(redis, "account:shared", "rest") == "1250000"
    scopes.put(world.db, Scope("account:shared", max_channels=3))
    tick(feeder)
    assert kept(redis, "account:shared", "interval") == ""


def test_limits_of_all_kinds_hold_and_go_when_they_are_removed(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    change(world, cps=1000)  # whose pace refuses nobody here, however quick the machine
    tenant = f"tenant:{world.tenant.id}"
    first, second = waiting(world), waiting(world)
    unhurried = options.model_copy(update={"popped_deadline_s": 3600.0})
    tick(feeder)
    permit = take(world, redis, unhurried, first)
    for scope in (tenant, "global", "switch:fs1"):
        scopes.put(world.db, Scope(scope, max_channels=1))
        tick(feeder)
        refused = grant(world, redis, unhurried)
        assert isinstance(refused, permits.Answer)
        assert refused.limit == scope
        assert scopes.remove(world.db, scope)
        tick(feeder)
    permits.release(redis, permit.attempt_id, permit.fence, linger_us=0)
    assert second in drained(world, redis, options)


def test_a_paused_scope_stops_its_lanes(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    attempt = waiting(world)
    scopes.put(world.db, Scope(f"tenant:{world.tenant.id}", paused=True))
    tick(feeder)
    assert drained(world, redis, options) == []
    scopes.update(world.db, f"tenant:{world.tenant.id}", paused=False)
    tick(feeder)
    assert drained(world, redis, options) == [attempt]


def test_a_scope_removed_under_another_leader_is_forgotten(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    change(world, account="shared")
    waiting(world)
    old = ["global", "account:shared", f"tenant:{world.tenant.id}"]
    for scope in old:
        scopes.put(world.db, Scope(scope, max_channels=0))
    tick(feeder)
    assert [kept(redis, scope, "max") for scope in old] == ["0", "0", "0"]
    for scope in old:
        scopes.remove(world.db, scope)
    tick(Feeder(world.db, redis, options))
    assert [kept(redis, scope, "max") for scope in old] == ["", "", ""]


def test_only_what_differs_is_written_and_now_and_then_and_in_a_new_epoch_everything(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    seconds, tenant, mine = 1000.0, f"tenant:{world.tenant.id}", carrier_scope(world.carrier_id)
    for scope in ("global", tenant):
        scopes.put(world.db, Scope(scope, max_channels=5))

    def after_a_look(later_s: float) -> list[str]:
        nonlocal seconds
        seconds += later_s
        feeder.look_again()
        feeder.tick(when(30), seconds)
        return [kept(redis, scope, "max") for scope in (mine, "global", tenant)]

    def meddle() -> None:
        for scope in (mine, "global"):
            redis.hset(f"{PREFIX}s:{scope}", "max", "77")

    assert after_a_look(0) == ["10", "5", "5"]
    meddle()
    scopes.put(world.db, Scope(tenant, max_channels=6))
    assert after_a_look(0.1) == ["77", "77", "6"]
    change(world, max_channels=7)
    assert after_a_look(LANES_S - 0.2) == ["7", "77", "6"]
    meddle()
    assert after_a_look(0.2) == ["7", "5", "6"]
    redis.flushall()
    tick(Feeder(world.db, redis, options))  # another leader's epoch
    meddle()
    assert after_a_look(0.1) == ["7", "5", "6"]


def test_of_a_write_that_failed_nothing_is_taken_for_written(
    world: World, feeder: Feeder, redis: Redis, options: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> int:
        raise RedisConnectionError("away")

    tick(feeder)
    known, written = picture.read(world.db), picture.Written()
    picture.state_limits(redis, known, options, written=written)
    assert carrier_scope(world.carrier_id) in written
    monkeypatch.setattr(picture, "set_carriers", away)
    with pytest.raises(RedisConnectionError):
        picture.state_limits(redis, known, options, written=written)
    assert written == {}


def test_who_serves_a_lane_by_tier_weight_and_campaign(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    worse = another(world)
    carriers.put_route(
        world.db, name="all", prefixes=[""], carriers=[Serving(world.carrier_id, 1, 3), Serving(worse, tier=2, weight=5)]
    )
    hex_ = world.tenant.id.hex
    scopes.put(world.db, Scope(f"campaign:{hex_}:spring", weight=4))
    lane = f"dial.normal.{hex_}.all.c-spring"
    attempt = waiting(world)
    world.execute("UPDATE attempts SET lane = %s WHERE id = %s", lane, attempt)
    tick(feeder)
    serving = f"{world.carrier_id}:1:3,{worse}:2:5"
    told = redis.hmget(f"{PREFIX}lane:{lane}", ["carriers", "share", "spill"])
    assert texts(told) == [serving, "4", str(options.spill_ms * 1000)]


def test_a_carrier_without_an_enabled_endpoint_counts_as_paused(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    """Each claim would be refused for want of an endpoint, for ever, and a slot spent on it."""
    attempt = waiting(world)
    ((gateway,),) = world.rows("SELECT gateway FROM endpoints WHERE carrier_id = %s", world.carrier_id)
    world.execute("UPDATE endpoints SET enabled = false WHERE gateway = %s", gateway)
    tick(feeder)
    refused = grant(world, redis, options)
    assert isinstance(refused, permits.Answer)
    assert (refused.limit, refused.grants) == ("paused", ())
    world.execute("UPDATE endpoints SET enabled = true WHERE gateway = %s", gateway)
    tick(feeder)
    assert drained(world, redis, options) == [attempt]


def test_what_serves_decides_how_much_a_lane_holds(world: World, options: Settings) -> None:
    slow, paused = another(world, cps=3, invite_cost=2), another(world, cps=100, paused=True)
    carriers.put_route(
        world.db, name="all", prefixes=[""], carriers=[Serving(world.carrier_id), Serving(slow, tier=2), Serving(paused)]
    )
    known = picture.read(world.db)
    lane = picture.lane_of(f"dial.normal.{world.tenant.id.hex}.all")
    assert lane is not None
    assert known.cps(lane) == pytest.approx(5 + 1.5)
    tenants.set_paused(world.db, world.tenant.id, True)
    assert picture.read(world.db).cps(lane) == 0


# --- rebuilt ----------------------------------------------------------------------------------------------------------


def test_a_call_that_lives_counts_in_every_scope_after_a_rebuild(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    change(world, account="shared", source_ip="192.0.2.7")
    scopes.put(world.db, Scope("account:shared", max_channels=1))
    tick(feeder)
    attempt, other = waiting(world), waiting(world)
    tick(feeder)
    permit = take(world, redis, options, attempt)
    world.claim(attempt, epoch=permit.epoch, fence=permit.fence, now=when(1))
    redis.flushall()
    tick(feeder)
    assert texts(redis.zrange(f"{PREFIX}held:{carrier_scope(world.carrier_id)}", 0, -1)) == [str(attempt)]
    counts = {"account:shared", "ip:192.0.2.7", "switch:fs1", "global", f"tenant:{world.tenant.id}"}
    assert redis.hgetall(f"{PREFIX}held") == {scope.encode(): b"1" for scope in counts}
    refused = grant(world, redis, options)
    assert isinstance(refused, permits.Answer)
    assert refused.limit == "account:shared"
    permits.release(redis, attempt, permit.fence, linger_us=0)
    redis.hdel(f"{PREFIX}s:account:shared", "tat")
    assert other in drained(world, redis, options)


def test_a_carrier_that_was_stopped_stays_so_after_a_rebuild(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    waiting(world)
    tick(feeder)
    stopped = Health(State.STOPPED, 0, "20 of 20 calls failed", when(-5), pause_until=when(60))
    outcomes.write(world.db, [standing_of(world.carrier_id, stopped, when(-5))], [])
    redis.flushall()
    tick(feeder)
    refused = grant(world, redis, options)
    assert isinstance(refused, permits.Answer)
    assert refused.limit == "stopped"


def test_after_a_rebuild_an_account_rests_for_the_longest_of_its_carriers(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    change(world, account="shared")
    slow = another(world, account="shared", window_ms=20_000)
    scopes.put(world.db, Scope("account:shared", cps=50))
    scopes.put(world.db, Scope(f"tenant:{world.tenant.id}", cps=1, window_ms=8000))
    tick(feeder)
    redis.flushall()
    tick(feeder)
    now = permits.redis_now_us(redis)

    def rests_s(scope: str) -> float:
        tat = number(redis.hget(f"{PREFIX}s:{scope}", "tat"))
        assert tat is not None
        return (tat - now) / 1e6

    assert rests_s(carrier_scope(world.carrier_id)) == pytest.approx(1.16, abs=1)
    assert rests_s(carrier_scope(slow)) == pytest.approx(20.16, abs=1)
    assert rests_s("account:shared") == pytest.approx(20.16, abs=1)
    assert rests_s(f"tenant:{world.tenant.id}") == pytest.approx(8.16, abs=1)


def test_what_just_ended_lingers_in_its_account_too(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    change(world, account="shared", linger_ms=60_000)
    tick(feeder)
    attempt = waiting(world)
    tick(feeder)
    permit = take(world, redis, options, attempt)
    world.claim(attempt, epoch=permit.epoch, fence=permit.fence, now=when(1))
    world.apply(world.busy(attempt, 20.0, ringing_at=when(2)), seconds=30)
    world.execute("UPDATE attempts SET ended_at = %s WHERE id = %s", datetime.now(when(0).tzinfo), attempt)
    redis.flushall()
    tick(feeder, 0)
    for scope in (carrier_scope(world.carrier_id), "account:shared"):
        assert texts(redis.zrange(f"{PREFIX}linger:{scope}", 0, -1)) == [f"{attempt}:{permit.fence}"]


def test_an_emptied_lane_is_named_by_its_rows(world: World) -> None:
    assert picture.lane_of("dial.nonsense") is None
    lane = picture.lane_of(lane_of(world, waiting(world)))
    assert lane is not None
    assert lane.tenant_id == world.tenant.id
