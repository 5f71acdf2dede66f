"""The forecast: its arithmetic alone, and against what the real scripts then do with a flood on a virtual clock."""

from __future__ import annotations

from random import Random
from uuid import UUID

import pytest

from budget.explain import Hold, forecast, lane
from budget.explain_eta import Demand, Eta, Own, Rival, Supply, estimate
from budget.explain_hold import Span, hold_of
from budget.lanes import set_overflow
from tests.budget.bench import Bench
from tests.budget.waiting_room import Room, calibration
from trunkline import guests


def test_alone_at_ten_calls_per_second() -> None:
    eta = estimate(Demand("normal", 101, 1, ((Supply(10.0),),)))
    assert eta is not None
    assert eta.p50 == pytest.approx(100 / 10 / 0.985 + 0.1, abs=0.02)
    assert eta.p90 == pytest.approx(100 / 10 / 0.94 + 0.6, abs=0.02)


def test_equal_tenants_share_and_a_heavier_one_waits_less() -> None:
    def p50(weight: float) -> float:
        eta = estimate(Demand("normal", 50, weight, ((Supply(10.0),),), rivals={"normal": [Rival(0, 1, 1000)]}))
        assert eta is not None
        return eta.p50

    assert p50(1) == pytest.approx(10, rel=0.05)
    assert p50(3) == pytest.approx(50 / 7.5, rel=0.05)


def test_a_small_rival_is_soon_done() -> None:
    eta = estimate(Demand("normal", 50, 1, ((Supply(10.0),),), rivals={"normal": [Rival(0, 1, 10)]}))
    assert eta is not None
    assert eta.p50 == pytest.approx(6, rel=0.05)


def test_urgent_calls_go_first_but_only_within_their_share() -> None:
    def p50(share: float) -> float:
        supplies = ((Supply(10.0),),)
        eta = estimate(Demand("normal", 50, 1, supplies, rivals={"urgent": [Rival(0, 1, 100)]}, urgent_share=share))
        assert eta is not None
        return eta.p50

    assert p50(1.0) == pytest.approx(15, rel=0.05)
    assert p50(0.3) == pytest.approx(5 / 0.7, rel=0.05)


def test_bulk_has_its_floor_however_much_is_before_it() -> None:
    rivals = {"normal": [Rival(0, 1, 1e9)]}
    eta = estimate(Demand("bulk", 10, 1, ((Supply(10.0),),), rivals=rivals, bulk_floor=0.1))
    assert eta is not None
    assert eta.p50 == pytest.approx(10, rel=0.06)
    assert estimate(Demand("bulk", 10, 1, ((Supply(10.0),),), rivals=rivals)) is None


def test_channels_bind_by_how_long_they_are_kept() -> None:
    bound = Supply(100.0, channels=20, free=0, hold=Hold(9.85, 5.0, 1000))
    eta = estimate(Demand("normal", 100, 1, ((bound,),)))
    assert eta is not None
    assert eta.p50 == pytest.approx(50, rel=0.02)
    assert eta.p90 > eta.p50 * 1.1
    unknown = Supply(100.0, channels=20, free=5)
    assert estimate(Demand("normal", 6, 1, ((unknown,),))) is None
    assert estimate(Demand("normal", 5, 1, ((unknown,),))) is not None


def test_a_lowered_rate_comes_back() -> None:
    back = Supply(5.0, 10.0, recover_s=10.0)
    eta = estimate(Demand("normal", 88, 1, ((back,),)))
    assert eta is not None
    # 37.5 calls in the 5 s until it is back, the other 50 in 5 s.
    assert eta.p50 == pytest.approx(10.1, rel=0.03)


def test_the_lanes_own_limit_is_not_passed() -> None:
    own = Own(Supply(2.0), 20)
    eta = estimate(Demand("normal", 20, 1, ((Supply(100.0),),), own=(own,)))
    assert eta is not None
    assert eta.p50 == pytest.approx(19 / 2 / 0.985 + 0.1, rel=0.01)


def test_a_host_that_missed_slots_of_late_may_go_on_missing_them() -> None:
    def wait(used: float | None) -> Eta:
        eta = estimate(Demand("normal", 101, 1, ((Supply(10.0),),), used=used))
        assert eta is not None
        return eta

    assert wait(1.0) == wait(None)
    assert wait(0.8).p50 == pytest.approx(100 / 10 / 0.9, rel=0.02)
    assert wait(0.8).p90 == pytest.approx(100 / 10 / 0.8 / 0.94, rel=0.06)
    assert wait(0.0).p90 < 100 / 10 / 0.2  # a moment without any is no measure


def test_calls_still_on_the_line_count_towards_how_long_calls_last() -> None:
    random = Random(1)
    lives = [random.expovariate(1 / 30) for _ in range(4000)]
    seen = [Span(0.0, min(life, 20.0), life <= 20.0) for life in lives]  # nobody was watched longer than 20 s
    hold = hold_of(seen)
    assert hold is not None
    assert hold.mean_s == pytest.approx(30, rel=0.06)
    assert hold.sd_s == pytest.approx(30, rel=0.1)
    ended = [span.until_s for span in seen if span.over]
    assert sum(ended) / len(ended) < 10  # the ended ones alone would say so
    late = [Span(5.0, life, True) for life in lives if life > 5]
    early = [Span(0.0, life, True) for life in lives[:2000]]
    both = hold_of([*late, *early])
    assert both is not None
    assert both.mean_s == pytest.approx(30, rel=0.06)
    assert hold_of([Span(0, 5, False)]) is None


def test_nothing_is_foretold_of_what_somebody_has_to_lift(bench: Bench) -> None:
    bench.carrier(paused=True)
    name = bench.lane()
    bench.fill(name, 1)

    def eta() -> object:
        return forecast(bench.redis, lane(bench.redis, name), 1, holds={}, arriving={}, queued=lambda _: {})

    assert eta() is None
    bench.carrier(interval=100_000)
    bench.take()
    bench.fill(name, 1)
    assert eta() is not None


def test_what_waits_in_postgres_behind_the_lanes_of_others_counts(bench: Bench) -> None:
    bench.carrier(channels=1000, interval=100_000)
    other = UUID(int=4)
    mine, theirs = bench.lane(), bench.lane(other)
    bench.fill(mine, 50)
    bench.fill(theirs, 2)
    bench.take()
    asked: list[set[UUID]] = []

    def p50(behind: int) -> float:
        def queued(tenants: object) -> dict[UUID, int]:
            asked.append(set(tenants))  # type: ignore[call-overload]
            return {other: behind}

        eta = forecast(bench.redis, lane(bench.redis, mine), 40, holds={}, arriving={}, queued=queued)
        assert eta is not None
        return eta.p50

    few = p50(1000)
    assert asked == []
    set_overflow(bench.redis, [theirs], [])
    assert p50(1000) > few * 1.7
    assert other in asked[0]


def short(random: Random) -> float:
    """s; most are conversations, three in ten are over at once."""
    return random.expovariate(1 / 8) if random.random() < 0.7 else random.uniform(1, 3)


def flood(room: Room, kind: str) -> tuple[float, ...]:
    """Fills the room; returns when to ask, s."""
    if kind == "rates":
        both = [room.carrier(1000, 20), room.carrier(1000, 10)]
        for tenant, (calls, weight) in enumerate([(300, 1), (300, 2), (60, 1), (10, 1)]):
            room.fill(room.lane(10 + tenant, both, weight=weight, hold=short), calls)
        return (1, 5)
    if kind == "channels":
        one = [room.carrier(40, 20)]
        for tenant, (calls, weight) in enumerate([(300, 1), (300, 2), (60, 1)]):
            room.fill(room.lane(10 + tenant, one, weight=weight, hold=short), calls)
        return (25, 40)
    if kind == "classes":
        both = [
            room.carrier(1000, 15, urgent_share=0.3, bulk_floor=0.1),
            room.carrier(60, 15, urgent_share=0.3, bulk_floor=0.1),
        ]
        room.arrive(room.lane(9, both, priority="urgent", hold=short), 4, 60)
        for tenant, (calls, priority) in enumerate([(250, "normal"), (200, "normal"), (60, "bulk"), (40, "urgent")]):
            room.fill(room.lane(10 + tenant, both, priority=priority, hold=short), calls)
        return (4, 10)
    one = [room.carrier(1000, 20)]
    room.tenant_limit(10, 20)
    room.fill(room.lane(10, one, hold=short), 250)
    room.fill(room.lane(11, one, hold=short), 600)
    return (20,)


def test_half_are_dialed_by_p50_and_nine_in_ten_by_p90(redis_database: tuple[str, bool]) -> None:
    """Of 240 calls in four floods: how many were dialed by then. Read beside it: the forecast is no mere upper bound."""
    url, taken = redis_database
    everything = []
    for kind in ("rates", "channels", "classes", "limited"):
        guests.empty_redis(url, taken=taken)
        room = Room(url, seed=7)
        last = 0.0
        moments = flood(room, kind)
        for at in moments:
            room.run(at - last)
            room.ask_some(60 // len(moments))
            last = at
        room.run(180)
        count, half, most = calibration(room.told)
        print(f"{kind}: {count} calls, by p50 {half:.0%}, by p90 {most:.0%}")
        assert count == len(room.told) > 40, "each was foretold, and left"
        assert most >= 0.8
        everything += room.told
        room.redis.close()
    count, half, most = calibration(everything)
    print(f"together: {count} calls, by p50 {half:.0%}, by p90 {most:.0%}")
    assert 0.3 <= half <= 0.8
    assert most >= 0.9
    wide = sorted(one.eta.p90 / one.eta.p50 for one in everything if one.eta)
    assert wide[len(wide) // 2] < 1.5
