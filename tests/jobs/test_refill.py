"""A backlog behind its lane, on real Postgres and Redis: a window in Redis, the rest in Postgres, one order for all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from redis import Redis

from budget import epoch, lanes, permits
from budget.push import push
from budget.scripts import PREFIX
from calls.windows import Window
from jobs.feeder import Feeder
from jobs.refill import ROUNDS
from jobs.watchdog import sweep
from settings import Settings
from store import attempts, backlog, calls, carriers, laning, tenants
from store import epoch as store_epoch
from tests.jobs.conftest import grant, lane_of, laned, take, tick, waiting, when
from tests.store.conftest import World

#: Of a lane served by the test's carrier (5 CPS): five seconds of work.
WINDOW = 25
SWEPT = 60


@pytest.fixture(autouse=True)
def _small(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is this file's; what other tests left queued would be laned and drained here."""
    world.execute("UPDATE attempts SET state = 'ended' WHERE state = 'queued'")
    monkeypatch.setattr("jobs.refill.SWEPT", SWEPT)


def many(world: World, count: int, **changes: object) -> list[UUID]:
    return [waiting(world, **changes) for _ in range(count)]


def dial(world: World, redis: Redis, options: Settings, most: int = 1000) -> list[UUID]:
    """What can be granted now is dialed and over, at most ``most``; in the order of the grants."""
    got: list[UUID] = []
    while len(got) < most and isinstance(permit := grant(world, redis, options), permits.Grant):
        permits.release(redis, permit.attempt_id, permit.fence, linger_us=0)
        got.append(permit.attempt_id)
    world.execute("UPDATE attempts SET state = 'ended', ended_at = now() WHERE id = ANY(%s)", got)
    return got


def accepted_by_web(world: World, redis: Redis, options: Settings, **changes: object) -> UUID:
    """As the API does it: into the lane at once, if nothing older waits behind that."""
    attempt = waiting(world, **changes)
    push(redis, [(attempt, lane_of(world, attempt))], window=options.lane_window, most=options.laned_max)
    return attempt


def test_while_all_lanes_together_are_full_the_api_leaves_new_calls_to_the_feeder(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    tick(feeder)
    full = options.model_copy(update={"laned_max": int(redis.scard(f"{PREFIX}in")) + 2})
    came = [accepted_by_web(world, redis, full, due_at=when(-100 + n)) for n in range(3)]
    lane = lane_of(world, came[0])
    assert laned(redis, lane) == came[:2]
    assert lane in lanes.overflowing(redis)
    tick(feeder)
    assert laned(redis, lane) == came


def test_a_lane_holds_a_window_and_the_order_is_that_of_the_backlog(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    old = many(world, 3 * WINDOW + 7)
    lane = lane_of(world, old[0])
    tick(feeder)
    assert laned(redis, lane) == old[:WINDOW]
    assert lane in lanes.overflowing(redis)
    got: list[UUID] = []
    new: list[UUID] = []
    while round_ := dial(world, redis, options, most=9):
        got += round_
        # Whatever comes meanwhile comes behind all that was there before it.
        new.append(accepted_by_web(world, redis, options, due_at=when(-1)) if len(new) < 9 else old[0])
        tick(feeder)
    assert got == old + new[:9]
    assert lane not in lanes.overflowing(redis)
    direct = accepted_by_web(world, redis, options)
    assert laned(redis, lane) == [direct]


def test_urgent_by_due_time_comes_before_what_was_accepted_earlier(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    """A retry that fell due long ago, written after the others: ``(due_at, id)``, not the order of arrival."""
    later = many(world, 3, due_at=when(-10))
    sooner = many(world, 2, due_at=when(-20))
    tick(feeder)
    assert laned(redis, lane_of(world, later[0])) == sooner + later


def test_the_flag_stays_until_a_refill_finds_less_than_it_asked_for(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    old = many(world, WINDOW + 4)
    lane = lane_of(world, old[0])
    tick(feeder)
    for left in (4, 2):  # room for two each time, of which there are
        dial(world, redis, options, most=2)
        behind = accepted_by_web(world, redis, options, due_at=when(-1))
        assert behind not in laned(redis, lane)
        world.execute("UPDATE attempts SET state = 'ended' WHERE id = %s", behind)
        tick(feeder)
        assert lane in lanes.overflowing(redis), left
    dial(world, redis, options, most=2)
    tick(feeder)
    assert lane not in lanes.overflowing(redis)
    assert laned(redis, lane) == old[6:]


def test_a_flag_behind_which_nothing_waits_is_taken_off(world: World, feeder: Feeder, redis: Redis) -> None:
    stray = f"dial.normal.{world.tenant.id.hex}.all"
    tick(feeder)
    assert feeder.rest_s > 0
    lanes.set_overflow(redis, on=[stray], off=[])
    tick(feeder)
    assert stray not in lanes.overflowing(redis)
    assert feeder.rest_s == 0, "whoever was sent away by it meanwhile is looked for at once"


def test_a_flood_that_does_not_fit_into_one_look_is_gone_on_with_at_once(
    world: World, redis: Redis, options: Settings
) -> None:
    name = f"fast-{world.carrier_id.hex[-8:]}"
    fast = carriers.put_carrier(world.db, name=name, max_channels=500, cps=500)
    carriers.put_endpoint(world.db, carrier_id=fast.id, gateway=name, address="127.0.0.1:5060")
    carriers.put_route(world.db, name="all", prefixes=[""], carriers=[fast.id])
    narrow = Feeder(world.db, redis, options.model_copy(update={"feeder_batch": 3}))
    tick(narrow)
    flood = many(world, 3 * ROUNDS + 5)
    assert tick(narrow) == 3 * ROUNDS
    assert narrow.rest_s == 0
    assert tick(narrow) == 5
    assert laned(redis, lane_of(world, flood[0])) == flood


def test_calls_of_a_paused_tenant_are_not_laned(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    tenants.set_paused(world.db, world.tenant.id, True)
    attempt = waiting(world)
    lane = lane_of(world, attempt)
    tick(feeder)
    assert laned(redis, lane) == []
    # Nor do those that come meanwhile go ahead of them.
    later = accepted_by_web(world, redis, options, due_at=when(-1))
    assert laned(redis, lane) == []
    tenants.set_paused(world.db, world.tenant.id, False)
    tick(feeder)
    assert laned(redis, lane) == [attempt, later]


def test_what_will_never_be_dialed_holds_up_nobody(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    """More expired calls than one look reads, in front of one that is not."""
    expired = many(world, WINDOW + SWEPT + 10, expires_at=when(-60))
    live = waiting(world)
    tick(feeder)
    assert laned(redis, lane_of(world, live)) == []
    assert feeder.rest_s == 0
    tick(feeder)
    assert laned(redis, lane_of(world, live)) == [live]
    rows = world.rows("SELECT count(*) FROM attempts WHERE id = ANY(%s) AND pushed_epoch = %s", expired, laning.PARKED)
    assert rows == [(len(expired),)]
    assert sweep(world.db, options, when(30)) >= 1, "the watchdog ends them as ever"


def test_what_waited_past_its_window_costs_no_permit_and_comes_back_when_it_opens(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    """More of them than one look reads, in front of one that may be dialed at any time."""
    now = datetime.now(UTC)
    tomorrow = f"{now + timedelta(days=1):%a}".lower()
    window = Window.read({"time_zone": "UTC", "days": [tomorrow], "from": "09:00", "to": "17:00"})
    opens = (now + timedelta(days=1)).replace(hour=9, minute=0, second=0, microsecond=0)
    asked = {"window": window, "dial_until": when(-1800), "expires_at": opens + timedelta(hours=1)}
    closed = many(world, WINDOW + SWEPT + 10, **asked)
    late = waiting(world, **{**asked, "expires_at": opens})
    free = waiting(world, due_at=when(-60))
    for _ in range(10):
        tick(feeder)
    assert laned(redis, lane_of(world, free)) == [free]
    assert world.rows("SELECT DISTINCT due_at, pushed_epoch FROM attempts WHERE id = ANY(%s)", closed) == [(opens, None)]
    assert world.rows("SELECT state, end_reason FROM attempts WHERE id = %s", late) == [("ended", "expired")]


def test_an_attempt_that_is_under_way_is_neither_laned_nor_in_the_way(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    """Leased rows that count as not laned (refusals on their way), as many as the lane has room for."""
    busy = many(world, WINDOW)
    lane = lane_of(world, busy[0])
    tick(feeder)
    unhurried = options.model_copy(update={"popped_deadline_s": 3600.0})
    permits_ = [take(world, redis, unhurried, attempt) for attempt in busy[:8]]
    leased = [permit.attempt_id for permit in permits_]
    world.execute("UPDATE attempts SET pushed_epoch = NULL WHERE id = ANY(%s)", leased)
    others = many(world, WINDOW, due_at=when(-1))
    tick(feeder)
    assert laned(redis, lane) == busy[len(leased) :] + others[: len(leased)]
    assert world.rows("SELECT DISTINCT pushed_epoch FROM attempts WHERE id = ANY(%s)", leased) == [(None,)]
    for permit in permits_:
        permits.refuse(redis, permit.attempt_id, permit.fence)
    while dial(world, redis, options):
        tick(feeder)
    assert world.rows("SELECT count(*) FROM attempts WHERE state = 'queued' AND lane = %s", lane) == [(0,)]


# --- a whole queue canceled -------------------------------------------------------------------------------------------


def condemned(world: World) -> list[tuple[str, str]]:
    """(status, end_reason) of the tenant's calls."""
    return world.rows("SELECT DISTINCT status, coalesce(end_reason, '') FROM calls WHERE tenant_id = %s", world.tenant.id)


def test_a_canceled_queue_leaves_its_lane_at_once_and_ends_piece_by_piece(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    old = many(world, WINDOW + 15)
    lane = lane_of(world, old[0])
    tick(feeder)
    on_its_way = take(world, redis, options, old[0])
    tenants.cancel_queued(world.db, world.tenant.id, when(-10))
    fresh = calls.accept_call(
        world.db, world.new(due_at=when(-5), expires_at=when(86_400)), idempotency=None, now=when(-5)
    ).attempt_id
    tick(feeder)
    assert laned(redis, lane) == [fresh], "nothing of what was canceled"
    # The one that had its permit is refused by the claim.
    refused = world.claim(on_its_way.attempt_id, fence=on_its_way.fence, epoch=on_its_way.epoch, now=when(1))
    assert refused == attempts.Refused("canceled")
    narrow = options.model_copy(update={"cancel_batch": WINDOW})
    ended = [sweep(world.db, narrow, when(2)) for _ in range(3)]
    assert ended[0] == WINDOW
    assert sum(ended) == len(old)
    assert sorted(condemned(world)) == [("canceled", "canceled"), ("queued", "")]
    told = world.rows(
        "SELECT count(*) FROM outbox o JOIN calls c ON c.id = o.call_id WHERE o.tenant_id = %s AND o.type = 'call.canceled'",
        world.tenant.id,
    )
    assert told == [(len(old),)]
    assert world.rows("SELECT state FROM attempts WHERE id = %s", fresh) == [("queued",)]


def test_what_came_after_the_mark_does_not_wait_for_the_canceled_to_be_read_through(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    many(world, WINDOW + 2 * SWEPT)
    tenants.cancel_queued(world.db, world.tenant.id, when(-1800))
    fresh = calls.accept_call(
        world.db, world.new(due_at=when(-60), expires_at=when(86_400)), idempotency=None, now=when(-60)
    ).attempt_id
    tick(feeder)
    assert laned(redis, lane_of(world, fresh)) == [fresh]
    assert feeder.rest_s > 0, "nothing waits for the others"


def test_a_retry_that_is_canceled_with_the_queue_is_not_dialed(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    later = waiting(world, due_at=datetime.now(when(0).tzinfo) + timedelta(hours=1))
    tenants.cancel_queued(world.db, world.tenant.id, when(0))
    assert sweep(world.db, options, when(2)) >= 1
    assert world.rows("SELECT state FROM attempts WHERE id = %s", later) == [("ended",)]


# --- rebuilt ----------------------------------------------------------------------------------------------------------


def test_a_rebuild_brings_back_what_the_lanes_held_and_reads_no_further(
    world: World, feeder: Feeder, redis: Redis, options: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = many(world, 8 * WINDOW)
    lane = lane_of(world, old[0])
    tick(feeder)
    before = store_epoch.get(world.db).epoch
    ((there,),) = world.rows("SELECT count(*) FROM attempts WHERE pushed_epoch = %s AND state = 'queued'", before)
    forgotten: list[int] = []
    forget = laning.forget_pushed

    def counted(*args: object) -> int:
        forgotten.append(forget(*args))  # type: ignore[arg-type]
        return forgotten[-1]

    monkeypatch.setattr(laning, "forget_pushed", counted)
    redis.flushall()
    tick(feeder)
    assert sum(forgotten) == there < len(old)
    assert laned(redis, lane) == old[:WINDOW]
    assert world.rows("SELECT DISTINCT pushed_epoch FROM attempts WHERE id = ANY(%s)", old[:WINDOW]) == [(before + 1,)]


def test_whoever_pushes_right_after_a_rebuild_queues_behind_the_backlog(
    world: World, feeder: Feeder, redis: Redis, options: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = many(world, WINDOW + 5)
    tick(feeder)
    opened = epoch.open_epoch
    early: list[UUID] = []

    def open_and_accept(*args: object) -> None:
        opened(*args)  # type: ignore[arg-type]
        early.append(accepted_by_web(world, redis, options, due_at=when(-1)))

    monkeypatch.setattr(epoch, "open_epoch", open_and_accept)
    redis.flushall()
    tick(feeder)
    assert len(early) == 1
    got: list[UUID] = []
    while fresh := dial(world, redis, options):
        got += fresh
        tick(feeder)
    assert got == [*old, *early]


# --- time and counts --------------------------------------------------------------------------------------------------


def test_the_feeder_rests_until_the_next_is_due(world: World, redis: Redis, options: Settings) -> None:
    patient = Feeder(world.db, redis, options.model_copy(update={"feeder_interval_s": 5000.0}))
    tick(patient)
    soon = waiting(world, due_at=datetime.now(when(0).tzinfo) + timedelta(seconds=2000))
    tick(patient)
    assert 1000 < patient.rest_s <= 2000
    world.execute("UPDATE attempts SET due_at = now() + interval '1 day' WHERE id = %s", soon)
    tick(patient)
    assert patient.rest_s == 5000


def test_the_counts_of_the_queues_are_folded(world: World, feeder: Feeder) -> None:
    many(world, 4)
    tick(feeder)
    assert world.rows("SELECT n FROM queue_counts WHERE tenant_id = %s", world.tenant.id) == [(4,)]
    assert world.rows("SELECT count(*) FROM queue_deltas WHERE tenant_id = %s", world.tenant.id) == [(0,)]
    assert backlog.queued(world.db, world.tenant.id) == 4
