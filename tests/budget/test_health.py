"""What a carrier's behaviour does to its limits: slowed and slowly back, stopped, probed with counted calls."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import pytest

from budget import permits
from budget.health import FACTOR, LEAST, set_health, slow
from budget.scopes import carrier_scope
from tests.budget.bench import CARRIER, VirtualBench, in_use, wakes

TRUNK = carrier_scope(CARRIER)
MS = 1000
SECOND = 1_000_000


def slots(virtual: VirtualBench, us: int) -> list[int]:
    found, end = [], virtual.now + us
    while virtual.now < end:
        found += [virtual.slot(grant) for grant in virtual.grant(want=5).grants]
        virtual.step(5 * MS)
    return found


def slowed(virtual: VirtualBench, kind: Literal["cps", "channels"] = "cps", rest_us: int = SECOND) -> bool:
    return slow(virtual.redis, virtual.settings, CARRIER, kind, rest_us)


def test_a_refused_rate_rests_falls_and_comes_back(virtual: VirtualBench) -> None:
    virtual.carrier(interval=20 * MS, channels=9000)
    virtual.fill(virtual.lane(), 9000)
    slots(virtual, SECOND)
    assert slowed(virtual)
    assert not slowed(virtual), "one refusal of many in the same rest counts"
    begin = virtual.now
    found = slots(virtual, 3 * SECOND)
    assert found[0] >= begin + SECOND
    assert min(later - earlier for earlier, later in pairwise(found)) >= 20 * MS / (FACTOR + 0.1)
    virtual.step(int(virtual.settings.slow_recover_s * SECOND))
    back = slots(virtual, SECOND)
    assert min(later - earlier for earlier, later in pairwise(back)) >= 20 * MS
    assert len(back) >= 48


def test_no_number_of_refusals_stops_it(virtual: VirtualBench) -> None:
    virtual.carrier(interval=20 * MS, channels=100)
    virtual.fill(virtual.lane(), 50)
    for _ in range(20):
        assert slowed(virtual, rest_us=1000)
        assert slowed(virtual, "channels", rest_us=1000)
        virtual.step(2 * MS)
    found = slots(virtual, 3 * SECOND)
    assert 2 <= len(found) <= 100
    assert found[1] - found[0] <= 20 * MS / LEAST


def test_refused_channels_lower_the_count_to_what_there_was(virtual: VirtualBench) -> None:
    virtual.carrier(channels=100)
    virtual.fill(virtual.lane(), 200)
    for _ in range(50):
        virtual.take()
    assert slowed(virtual, "channels")
    assert virtual.refusal().limit == TRUNK
    assert in_use(virtual.redis, [TRUNK]) == {TRUNK: 50}
    virtual.step(int(virtual.settings.slow_recover_s * SECOND))
    assert len(virtual.grant(want=90).grants) == 50


def test_a_count_of_nothing_stays_nothing(virtual: VirtualBench) -> None:
    virtual.carrier(channels=0)
    virtual.fill(virtual.lane(), 1)
    slowed(virtual, "channels")
    assert virtual.refusal().limit == TRUNK


def test_a_slot_of_before_the_refusal_is_not_given_back(virtual: VirtualBench) -> None:
    virtual.carrier(interval=5 * SECOND)
    virtual.fill(virtual.lane(), 2)
    grant = virtual.take()
    assert slowed(virtual)
    tat = virtual.number(TRUNK, "tat")
    assert permits.refuse(virtual.redis, grant.attempt_id, grant.fence)
    assert virtual.number(TRUNK, "tat") == tat


def test_a_stopped_carrier_serves_nobody_until_it_is_well(virtual: VirtualBench) -> None:
    virtual.carrier()
    virtual.fill(virtual.lane(), 1)
    assert set_health(virtual.redis, CARRIER, "stopped", "no answer to OPTIONS")
    assert not set_health(virtual.redis, CARRIER, "stopped", "no answer to OPTIONS")
    answer = virtual.refusal()
    assert (answer.limit, answer.next_us) == ("stopped", None)
    with wakes(virtual) as heard:
        assert set_health(virtual.redis, CARRIER, "ok", "")
    assert heard == [f"{CARRIER} * 0"]
    assert virtual.take()


@pytest.mark.parametrize("want", [1, 20])
def test_a_probed_carrier_has_so_many_calls_one_at_a_time(virtual: VirtualBench, want: int) -> None:
    virtual.carrier(channels=9000)
    virtual.fill(virtual.lane(priority="urgent"), 50)
    set_health(virtual.redis, CARRIER, "probing", "one in ten", probes=3, probe_interval_us=SECOND)
    found = []
    for _ in range(100):
        answer = virtual.grant(want=want)
        found += [virtual.slot(grant) for grant in answer.grants]
        assert answer.grants or answer.limit == "probing"
        virtual.step(100 * MS)
    assert len(found) == 3
    assert min(later - earlier for earlier, later in pairwise(found)) >= SECOND
    assert virtual.refusal().next_us is None
    set_health(virtual.redis, CARRIER, "probing", "one in ten", probes=1, probe_interval_us=SECOND)
    assert virtual.take()
    assert virtual.refusal().limit == "probing"


def test_a_clock_that_stepped_back_does_not_stop_the_probing(virtual: VirtualBench) -> None:
    virtual.carrier(gap_us=SECOND)
    virtual.fill(virtual.lane(), 5)
    set_health(virtual.redis, CARRIER, "probing", "", probes=3, probe_interval_us=SECOND)
    virtual.take()
    virtual.step(-3600 * SECOND)
    virtual.grant()
    virtual.step(2 * SECOND)
    virtual.grant()
    assert in_use(virtual.redis, [TRUNK])[TRUNK] >= 2
