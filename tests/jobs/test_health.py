"""The leader's look at the carriers: what it reads in Postgres is what Redis grants by. It survives wipes and leaders."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from redis import Redis

from budget import health as budget_health
from budget.connect import connect
from budget.health import Standing
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from calls.evidence import State as Seen
from calls.health import State
from jobs.health import Desk, restore
from settings import Settings
from store import attempts, carriers, outcomes, switches
from tests.store.conftest import T0, World, db, settings_for, world

__all__ = ["db", "world"]

#: Nobody's clock decides here but the one that is handed in; the claims' own must lie in the past of the database.
START = datetime.now(UTC) - timedelta(hours=1)


def when(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.fixture
def options(world: World, redis_url: str) -> Settings:
    return settings_for(world.url, redis_url=redis_url, health_probes=3)


@pytest.fixture
def redis(options: Settings) -> Iterator[Redis]:
    client = connect(options)
    yield client
    client.close()


@pytest.fixture
def desk(world: World, redis: Redis, options: Settings) -> Desk:
    return Desk(world.db, redis, options)


def dial(world: World, seconds: float, code: int | None = None, phrase: str = "Service Unavailable") -> UUID:
    """A call given to the carrier, which answers with that code at once; None: it rings 1 s later."""
    attempt = world.accept(due_at=START, expires_at=when(7200)).attempt_id
    claim = world.claim(attempt, now=when(seconds), clock=when(seconds))
    assert isinstance(claim, attempts.Claimed), claim
    offset = (START - T0).total_seconds()  # the world's own seconds
    if code is None:
        world.apply(world.seen(attempt, Seen.RINGING, offset + seconds + 1))
    else:
        end = world.ended(
            attempt,
            "NORMAL_TEMPORARY_FAILURE",
            offset + seconds + 0.1,
            sip_code=code,
            sip_phrase=phrase,
            disposition="recv_refuse",
        )
        world.apply(end)
    return attempt


def held(redis: Redis, world: World) -> Standing:
    return budget_health.standings(redis, [world.carrier_id])[world.carrier_id]


def test_an_outage_is_read_acted_on_and_written_down(world: World, redis: Redis, desk: Desk) -> None:
    for second in range(10):
        dial(world, second)
    assert desk.look(when(12), 12.0)[world.carrier_id].state is State.OK
    for tenth in range(20):
        dial(world, 13 + tenth / 10, 503)
    verdict = desk.look(when(15.5), 15.5)[world.carrier_id]
    assert verdict.state is State.STOPPED
    assert verdict.why == (
        "20 of 20 calls dialed within 2 s ended with 503 Service Unavailable and no ringing; next try in 5 s"
    )
    assert held(redis, world) == Standing("stopped", verdict.why)
    history = outcomes.history(world.db, world.carrier_id)
    assert [(row.state, row.score, row.since) for row in history] == [("stopped", 0, when(15.5)), ("ok", 100, when(12))]
    assert history[0].figures["faults"] == 20


def stopped(world: World, desk: Desk) -> None:
    for tenth in range(10):
        dial(world, tenth / 10, 503)
    assert desk.look(when(2), 2.0)[world.carrier_id].state is State.STOPPED


def test_it_is_tried_and_another_leader_goes_on(world: World, redis: Redis, desk: Desk, options: Settings) -> None:
    stopped(world, desk)
    assert desk.look(when(6.9), 6.9)[world.carrier_id].state is State.STOPPED
    assert desk.look(when(7.1), 7.1)[world.carrier_id].state is State.PROBING
    assert (held(redis, world).state, held(redis, world).probes) == ("probing", 3)
    dial(world, 8)
    other = Desk(world.db, redis, options)
    assert other.look(when(9.5), 9.5)[world.carrier_id].probes == 2
    assert held(redis, world).probes == 3, "the budget counts by itself"
    dial(world, 9.6)
    verdict = other.look(when(11), 11.0)[world.carrier_id]
    assert (verdict.state, verdict.why) == (State.OK, "2 of 2 probes got through")
    assert held(redis, world) == Standing("ok", "", 3)
    factor = redis.hget(f"{PREFIX}s:{carrier_scope(world.carrier_id)}", "factor")
    assert isinstance(factor, bytes)
    assert float(factor) == pytest.approx(0.2), "and its rate comes back by and by"


def test_redis_is_told_again_after_a_wipe(world: World, redis: Redis, desk: Desk, options: Settings) -> None:
    stopped(world, desk)
    before = held(redis, world)
    redis.delete(f"{PREFIX}s:{carrier_scope(world.carrier_id)}")
    assert held(redis, world) == Standing()
    desk.look(when(2.5), 2.5)
    assert held(redis, world) == before
    redis.delete(f"{PREFIX}s:{carrier_scope(world.carrier_id)}")
    restore(world.db, redis, options)
    assert held(redis, world) == before
    desk.look(when(7.1), 7.1)
    redis.delete(f"{PREFIX}s:{carrier_scope(world.carrier_id)}")
    restore(world.db, redis, options)
    assert held(redis, world).state == "stopped", "until somebody says how many probes are left"
    desk.look(when(7.6), 7.6)
    assert (held(redis, world).state, held(redis, world).probes) == ("probing", 3)


def test_probes_that_came_to_nothing_are_replaced(world: World, redis: Redis, desk: Desk, options: Settings) -> None:
    stopped(world, desk)
    desk.look(when(7.1), 7.1)
    redis.hset(f"{PREFIX}s:{carrier_scope(world.carrier_id)}", "probes", 0)
    desk.look(when(8), 8.0)
    desk.look(when(8 + options.popped_deadline_s), 8 + options.popped_deadline_s)
    assert held(redis, world).probes == 0, "they may still be on their way"
    desk.look(when(9.1 + options.popped_deadline_s), 9.1 + options.popped_deadline_s)
    assert held(redis, world).probes == 3


def test_a_reason_that_changes_is_refreshed_now_and_then(world: World, desk: Desk) -> None:
    dial(world, 0)
    desk.look(when(2), 2.0)
    for second in range(10):
        dial(world, 3 + second)
        desk.look(when(4.5 + second), 4.5 + second)
    (row,) = outcomes.history(world.db, world.carrier_id)
    assert row.since == when(2)
    assert row.why in {f"{n} of the last {n} calls got through" for n in (8, 9, 10, 11)}
    assert row.figures["calls"] >= 8


def test_gateways_without_an_answer_stop_it(world: World, redis: Redis, desk: Desk) -> None:
    (gateway,) = [e.gateway for e in carriers.list_endpoints(world.db) if e.carrier_id == world.carrier_id]
    outcomes.gateway_seen(world.db, switch="fs1", gateway=gateway, up=False, ping_ms=None, now=when(1))
    assert desk.look(when(2), 2.0)[world.carrier_id].state is State.STOPPED
    assert held(redis, world).why.startswith(f"no gateway answers its pings: {gateway} on fs1")
    outcomes.gateway_seen(world.db, switch="fs1", gateway=gateway, up=True, ping_ms=2.0, now=when(9))
    assert desk.look(when(9.5), 9.5)[world.carrier_id].state is State.PROBING


def test_silence_counts_only_from_a_switch_that_was_listened_to(world: World, desk: Desk) -> None:
    for second in range(12):
        dial(world, second)
    switches.seen(world.db, "fs1", "core", when(13))
    desk.look(when(13), 13.0)
    for second in range(10):
        attempt = world.accept(due_at=START, expires_at=when(7200)).attempt_id
        assert isinstance(world.claim(attempt, now=when(14 + second), clock=when(14 + second)), attempts.Claimed)

    def looks(first: int, last: int, *, listening: bool) -> State:
        for second in range(first, last):
            if listening:
                switches.touch(world.db, "fs1", when(second))
            state = desk.look(when(second), float(second))[world.carrier_id].state
        return state

    assert looks(14, 28, listening=True) is State.OK
    desk.look(when(40), 40.0)  # nobody looked for long: what was said meanwhile may come late
    assert looks(41, 45, listening=True) is State.OK
    assert outcomes.history(world.db, world.carrier_id)[0].state == "ok"


def test_silence_stops_it(world: World, desk: Desk) -> None:
    for second in range(12):
        dial(world, second)
    switches.seen(world.db, "fs1", "core", when(13))
    desk.look(when(13), 13.0)
    for second in range(12):
        attempt = world.accept(due_at=START, expires_at=when(7200)).attempt_id
        assert isinstance(world.claim(attempt, now=when(14 + second), clock=when(14 + second)), attempts.Claimed)
    states = []
    for second in range(14, 45):
        switches.touch(world.db, "fs1", when(second))
        states.append(desk.look(when(second), float(second))[world.carrier_id].state)
    assert states.index(State.STOPPED) + 14 == 40  # eleven of those dialed from 14 on have waited for more than 15 s


def test_nothing_is_concluded_from_what_test_keys_ask_the_laboratory_for(world: World, desk: Desk) -> None:
    """Its 503s are wanted: a laboratory that is stopped for them would answer nobody."""
    lab = carriers.put_carrier(world.db, name=f"lab-{world.tenant.name}"[:32], max_channels=50, cps=50, lab=True)
    assert world.carrier_id in desk.look(when(0), 0.0)
    assert lab.id not in desk.look(when(1), 1.0)
