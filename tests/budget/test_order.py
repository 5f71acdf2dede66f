"""Whose turn it is: class, tenants by weight, campaigns by share, and what one carrier's order owes to another's."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import pytest

from budget import lanes, permits
from budget.permits import Grant
from budget.scripts import PREFIX
from tests.budget.bench import CARRIER, VirtualBench, tenant_of

OTHER = UUID(int=99)
MS = 1000
SECOND = 1_000_000
A, B, C = (UUID(int=n) for n in (10, 11, 12))


def taken(virtual: VirtualBench, count: int) -> list[Grant]:
    """The next calls, one each 20 ms."""
    found = []
    for _ in range(count):
        found.append(virtual.take())
        virtual.step(20 * MS)
    return found


def classes(virtual: VirtualBench, count: int) -> list[str]:
    return [grant.lane.split(".")[1] for grant in taken(virtual, count)]


def served(virtual: VirtualBench, count: int, carrier: UUID = CARRIER) -> Counter[UUID]:
    return Counter(tenant_of(virtual.take(carrier)) for _ in range(count))


def test_urgent_before_normal_before_bulk(virtual: VirtualBench) -> None:
    virtual.carrier()
    for priority in ("bulk", "normal", "urgent"):
        virtual.fill(virtual.lane(priority=priority), 2)
    assert classes(virtual, 6) == ["urgent"] * 2 + ["normal"] * 2 + ["bulk"] * 2


def test_only_urgent_calls_reserve_a_slot_far_ahead(virtual: VirtualBench) -> None:
    virtual.carrier(interval=30 * MS)
    virtual.fill(virtual.lane(priority="normal"), 9)
    normal = virtual.grant(want=9)
    assert (len(normal.grants), normal.limit, normal.paced) == (1, f"carrier:{CARRIER}", True)
    virtual.fill(virtual.lane(priority="urgent"), 9)
    urgent = virtual.grant(want=9)
    assert len(urgent.grants) == (200 - 70) // 30
    assert max(grant.slot_us for grant in urgent.grants) <= 200 * MS


# Tenants


def test_tenants_share_by_weight_and_a_newcomer_waits_its_turn_only(virtual: VirtualBench) -> None:
    virtual.carrier(channels=1000)
    virtual.fill(virtual.lane(A), 200)
    served(virtual, 50)
    virtual.fill(virtual.lane(B), 20)
    virtual.fill(virtual.lane(C, weight=2), 40)
    assert served(virtual, 80) == {A: 20, B: 20, C: 40}


def test_idle_time_is_no_credit(virtual: VirtualBench) -> None:
    virtual.carrier(channels=1000)
    flood, quiet = virtual.lane(A), virtual.lane(B)
    virtual.fill(flood, 200)
    virtual.fill(quiet, 1)
    served(virtual, 60)
    virtual.fill(quiet, 40)
    assert abs(served(virtual, 40)[B] - 20) <= 1


def test_many_routes_give_no_extra_share(virtual: VirtualBench) -> None:
    virtual.carrier(channels=1000)
    for route in ("a", "b", "c", "d"):
        virtual.fill(virtual.lane(A, route=route), 50)
    virtual.fill(virtual.lane(B), 50)
    assert abs(served(virtual, 80)[A] - 40) <= 1


def test_a_weight_changed_counts_from_then_on(virtual: VirtualBench) -> None:
    virtual.carrier(channels=1000)
    virtual.fill(virtual.lane(A), 200)
    virtual.fill(virtual.lane(B), 200)
    assert served(virtual, 40) == {A: 20, B: 20}
    virtual.lane(B, weight=3)
    assert abs(served(virtual, 80)[B] - 60) <= 1


def test_ten_campaigns_share_as_weighted_and_ten_tenants_too(virtual: VirtualBench) -> None:
    virtual.carrier(channels=1000)
    for n in range(10):
        virtual.fill(virtual.lane(A, more=f".c-{n}", share=n + 1), 120)
    counted = Counter(virtual.take().lane for _ in range(550))
    for n in range(10):
        assert abs(counted[f"dial.normal.{A.hex}.all.c-{n}"] - 10 * (n + 1)) <= 2
    tenants = [UUID(int=50 + n) for n in range(10)]
    for n, tenant in enumerate(tenants):
        virtual.fill(virtual.lane(tenant, weight=n + 1), 60)
    lanes.drop_waiting(virtual.redis, [f"dial.normal.{A.hex}.all.c-{n}" for n in range(10)])
    got = served(virtual, 275)
    for n, tenant in enumerate(tenants):
        assert abs(got[tenant] - 5 * (n + 1)) <= 1


def test_a_lane_filled_call_by_call_is_not_always_next(virtual: VirtualBench) -> None:
    virtual.carrier(channels=1000)
    virtual.fill(virtual.lane(A, more=".c-flood"), 100)
    drip = virtual.lane(A, more=".c-drip")
    counted: Counter[str] = Counter()
    for _ in range(40):
        if not virtual.redis.llen(f"rq:queue:{drip}"):
            virtual.fill(drip, 1)
        counted[virtual.take().lane] += 1
    assert 19 <= counted[drip] <= 23  # half, and where it stood is remembered for a few calls only


@pytest.mark.parametrize("give_back", ["requeue", "refuse"])
def test_who_did_not_get_its_call_is_next_again(virtual: VirtualBench, give_back: str) -> None:
    virtual.carrier()
    ids = {tenant: virtual.fill(virtual.lane(tenant), 9) for tenant in (A, B)}
    first = virtual.take()
    assert getattr(permits, give_back)(virtual.redis, first.attempt_id, first.fence)
    again = virtual.take()
    assert tenant_of(again) == tenant_of(first)
    assert again.attempt_id == ids[tenant_of(first)][0 if give_back == "requeue" else 1]
    assert tenant_of(virtual.take()) != tenant_of(first)


# Several carriers


def test_served_alone_elsewhere_is_no_debt_for_ever(virtual: VirtualBench) -> None:
    """A has a carrier for itself and shares another: there it stands back by a few calls, no more."""
    virtual.carrier(channels=9000)
    virtual.carrier(OTHER, channels=9000)
    virtual.fill(virtual.lane(A, carriers=(CARRIER,), route="own"), 500)
    served(virtual, 400)
    virtual.fill(virtual.lane(A, carriers=(OTHER,)), 100)
    virtual.fill(virtual.lane(B, carriers=(OTHER,)), 100)
    assert served(virtual, 60, OTHER)[A] >= 27


def test_alone_elsewhere_all_along_still_has_its_share(virtual: VirtualBench) -> None:
    virtual.carrier(channels=9000)
    virtual.carrier(OTHER, channels=9000)
    virtual.fill(virtual.lane(A, carriers=(CARRIER,), route="own"), 2000)
    virtual.fill(virtual.lane(A, carriers=(OTHER,)), 300)
    virtual.fill(virtual.lane(B, carriers=(OTHER,)), 300)
    got: Counter[UUID] = Counter()
    for _ in range(100):
        served(virtual, 10)
        got += served(virtual, 1, OTHER)
    assert got[A] >= 10  # one in seven or so (LAG): what it has elsewhere counts, but not in full


def test_both_carriers_contested_the_whole_is_shared(virtual: VirtualBench) -> None:
    """A may use both carriers, B one of them: B has as much as it can get there until they are level."""
    virtual.carrier(channels=9000)
    virtual.carrier(OTHER, channels=9000)
    virtual.fill(virtual.lane(A, carriers=(CARRIER, OTHER)), 300)
    virtual.fill(virtual.lane(B, carriers=(OTHER,)), 300)
    got: Counter[UUID] = Counter()
    for _ in range(60):
        got += served(virtual, 1, CARRIER) + served(virtual, 1, OTHER)
    assert got[A] + got[B] == 120
    assert got[B] >= 44


def test_a_newcomer_on_a_slow_carrier_does_not_wait_behind_a_fast_ones_clock(virtual: VirtualBench) -> None:
    virtual.carrier(channels=9000)
    virtual.carrier(OTHER, channels=9000)
    virtual.fill(virtual.lane(A, carriers=(CARRIER, OTHER)), 2000)
    virtual.fill(virtual.lane(C, carriers=(OTHER,)), 100)
    served(virtual, 1000)
    served(virtual, 10, OTHER)
    virtual.fill(virtual.lane(B, carriers=(CARRIER,), route="fast"), 10)
    virtual.lane(B, carriers=(OTHER,))
    virtual.fill(f"dial.normal.{B.hex}.all", 50)
    served(virtual, 20)
    first = [tenant_of(virtual.take(OTHER)) for _ in range(12)]
    assert B in first[:7]
    assert first.count(B) >= 3


# Urgent calls


def urgent_house(virtual: VirtualBench, share: float) -> None:
    virtual.carrier(interval=20 * MS, channels=9000, urgent_share=share)
    virtual.fill(virtual.lane(A, "urgent"), 400)


def test_one_tenants_urgent_calls_have_their_share_while_others_wait(virtual: VirtualBench) -> None:
    """After the first second's worth they go on among the normal ones, where both are equal."""
    urgent_house(virtual, 0.3)
    virtual.fill(virtual.lane(B), 400)
    first = classes(virtual, 40)
    assert first[:15] == ["urgent"] * 15, "within the share of the first second urgent comes first"
    virtual.fill(virtual.lane(C, "urgent"), 3)
    assert [tenant_of(grant) for grant in taken(virtual, 3)] == [C] * 3, "another tenant's are not held by it"
    later = Counter(classes(virtual, 200))
    assert 95 <= later["urgent"] <= 165
    assert virtual.redis.zcard(f"{PREFIX}demoted:{CARRIER}") <= 1


def test_alone_urgent_calls_have_no_cap(virtual: VirtualBench) -> None:
    urgent_house(virtual, 0.1)
    assert classes(virtual, 150) == ["urgent"] * 150


def test_beyond_the_cap_they_come_back_when_the_share_allows(virtual: VirtualBench) -> None:
    urgent_house(virtual, 0.3)
    virtual.fill(virtual.lane(B), 400)
    classes(virtual, 60)
    assert virtual.redis.zscore(f"{PREFIX}to:{CARRIER}:normal", f"^{A}") is not None
    virtual.step(30 * SECOND)
    assert classes(virtual, 10) == ["urgent"] * 10
    assert virtual.redis.zscore(f"{PREFIX}to:{CARRIER}:urgent", str(A)) is not None


def test_two_tenants_urgent_calls_are_capped_each(virtual: VirtualBench) -> None:
    urgent_house(virtual, 0.3)
    virtual.fill(virtual.lane(C, "urgent"), 400)
    virtual.fill(virtual.lane(B), 400)
    classes(virtual, 200)
    later = Counter(tenant_of(grant) for grant in taken(virtual, 200))
    assert later[B] >= 50
    assert abs(later[A] - later[C]) <= 20


def test_a_clock_that_stepped_back_keeps_no_urgent_call_among_the_normal_ones(virtual: VirtualBench) -> None:
    urgent_house(virtual, 0.3)
    virtual.fill(virtual.lane(B), 400)
    classes(virtual, 60)
    virtual.step(-3600 * SECOND)
    assert "urgent" in classes(virtual, 3)
    assert virtual.redis.zscore(f"{PREFIX}to:{CARRIER}:urgent", str(A)) is not None
