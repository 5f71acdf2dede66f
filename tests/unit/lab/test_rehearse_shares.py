"""Shares, waits under an ideal share, and plans from a seed."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from lab.rehearse.clock import BEGIN_US, Clock
from lab.rehearse.draw import draw
from lab.rehearse.ledger import Key
from lab.rehearse.shares import contended, fluid, groups, jain, quantiles


def key(number: int, rows: list[tuple[int, int, int, int]], weight: int = 1) -> Key:
    return Key(UUID(int=number), weight, "normal", "all", rows=rows)


def test_jain_is_one_for_equals_and_one_of_n_for_one_that_has_it_all() -> None:
    assert jain([3, 3, 3]) == pytest.approx(1.0)
    assert jain([1, 0, 0, 0]) == pytest.approx(0.25)
    assert jain([]) == 1.0


def test_shares_are_compared_where_both_wait_and_by_weight() -> None:
    one = key(1, [(0, 100, 10, 90), (1, 0, 20, 70), (2, 0, 20, 50), (3, 0, 50, 0)], weight=2)
    two = key(2, [(0, 100, 5, 95), (1, 0, 10, 85), (2, 0, 10, 75), (3, 0, 5, 70)])
    # The first second is not counted (who knows when they came), nor the last: one of them has no more.
    assert contended([one, two]) == {id(one): (40.0, 40.0), id(two): (20.0, 20.0)}
    assert contended([one, replace(two, rows=[])]) == {}


def test_an_ideal_share_gives_each_its_weight_of_every_second() -> None:
    heavy = key(1, [(0, 30, 10, 20), (1, 0, 10, 10), (2, 0, 10, 0)], weight=3)
    light = key(2, [(0, 10, 10, 0), (1, 0, 0, 0), (2, 0, 0, 0)])
    waits = fluid([heavy, light])
    # Of 20, 10 and 10 calls a second three quarters are the heavy one's as long as it has any.
    assert dict(waits[id(heavy)]) == pytest.approx({0: 15.0, 1: 7.5, 2: 7.5})
    assert dict(waits[id(light)]) == pytest.approx({0: 5.0, 1: 2.5, 2: 2.5})


def test_quantiles_go_by_amounts() -> None:
    assert quantiles([(0, 5.0), (10, 4.0), (100, 1.0)]) == (0.0, 10.0, 100.0, 14.0)
    assert quantiles([]) == (0.0, 0.0, 0.0, 0.0)


def test_what_has_a_limit_of_its_own_is_not_compared() -> None:
    free, capped = key(1, []), key(2, [])
    capped.capped = True
    assert groups([free, capped]) == [[free]]


def test_a_seed_draws_the_same_plan_and_another_another() -> None:
    assert draw(4) == draw(4)
    assert draw(4) != draw(5)


@pytest.mark.parametrize(("calls", "tenants", "carriers"), [(40, 40, 1), (1_000, 7, 3), (20_000, 300, 12)])
def test_a_plan_has_as_many_calls_tenants_and_carriers_as_asked_for(calls: int, tenants: int, carriers: int) -> None:
    plan = draw(1, calls=calls, tenants=tenants, carriers=carriers)
    assert (plan.calls, len(plan.parties), len(plan.trunks)) == (calls, tenants, carriers)
    assert all(serving.carrier_id in {t.id for t in plan.trunks} for route in plan.routes.values() for serving in route)


def test_a_plan_of_nothing_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="carriers: at least 1"):
        draw(1, carriers=0)
    with pytest.raises(ValueError, match="calls: at least one for each of the 40 tenants"):
        draw(1, calls=39)


def test_acts_happen_in_order_of_time_and_then_of_asking() -> None:
    clock = Clock()
    done: list[str] = []
    clock.at(BEGIN_US + 5, done.append, "late")
    clock.at(BEGIN_US - 5, done.append, "now")
    clock.after(0, done.append, "now too")
    while clock.next_us is not None:
        clock.step()
    assert done == ["now", "now too", "late"]
    assert clock.now == BEGIN_US + 5
