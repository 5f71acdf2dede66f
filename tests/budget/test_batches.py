"""Many permits in one request are the same ones as one by one: the same calls in the same order, at the same limits."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from uuid import UUID

import pytest

from budget.permits import Grant
from budget.push import push
from tests.budget.bench import TENANT, VirtualBench, in_use, open_epoch

MS = 1000
A, B, C = (UUID(int=n) for n in (10, 11, 12))
IDS = [UUID(int=(1 << 64) + n) for n in range(400)]


def fill(virtual: VirtualBench, lane: str, ids: list[UUID]) -> None:
    push(virtual.redis, [(one, lane) for one in ids])


def tenants(virtual: VirtualBench) -> None:
    virtual.carrier(channels=9000)
    fill(virtual, virtual.lane(A), IDS[:40])
    fill(virtual, virtual.lane(B, weight=3), IDS[40:80])
    fill(virtual, virtual.lane(C, "urgent"), IDS[80:90])
    fill(virtual, virtual.lane(C, "bulk"), IDS[90:120])


def campaigns(virtual: VirtualBench) -> None:
    virtual.carrier(channels=9000)
    for n in range(4):
        fill(virtual, virtual.lane(A, more=f".c-{n}", share=1 + n), IDS[20 * n : 20 * n + 20])


def limits(virtual: VirtualBench) -> None:
    virtual.carrier(channels=25, more=("account:acme",))
    virtual.scope("account:acme", channels=22)
    virtual.scope(f"tenant:{A}", channels=9)
    virtual.scope(f"campaign:{B.hex}:x", channels=3)
    virtual.scope("agents:team", channels=5)
    fill(virtual, virtual.lane(A), IDS[:40])
    fill(virtual, virtual.lane(B, more=".c-x.a-team"), IDS[40:80])
    fill(virtual, virtual.lane(C, more=".a-team"), IDS[80:120])
    fill(virtual, virtual.lane(C, "bulk"), IDS[120:160])


def rates(virtual: VirtualBench) -> None:
    virtual.carrier(channels=9000, interval=10 * MS, urgent_share=0.5, bulk_floor=0.2)
    virtual.scope(f"tenant:{A}", interval=50 * MS)
    fill(virtual, virtual.lane(A, "urgent"), IDS[:40])
    fill(virtual, virtual.lane(B, "urgent"), IDS[40:120])
    fill(virtual, virtual.lane(C, "bulk"), IDS[120:160])


HOUSES: list[Callable[[VirtualBench], None]] = [tenants, campaigns, limits]


def emptied(virtual: VirtualBench, want: int) -> list[Grant]:
    found: list[Grant] = []
    while grants := virtual.grant(want=want).grants:
        found += grants
    return found


@pytest.mark.parametrize("house", HOUSES)
def test_as_one_by_one(virtual: VirtualBench, house: Callable[[VirtualBench], None]) -> None:
    orders = []
    for want in (1, 3, 20):
        virtual.redis.flushdb()
        virtual.prepare()
        open_epoch(virtual.redis, 7)
        house(virtual)
        orders.append([grant.attempt_id for grant in emptied(virtual, want)])
    assert len(orders[0]) > 20
    assert orders[0] == orders[1] == orders[2]


def test_no_count_is_passed_within_a_batch(virtual: VirtualBench) -> None:
    limits(virtual)
    grants = virtual.grant(want=20).grants
    counted = in_use(virtual.redis, [f"tenant:{A}", f"campaign:{B.hex}:x", "agents:team"])
    assert counted == {f"tenant:{A}": 9, f"campaign:{B.hex}:x": 3, "agents:team": 5} or len(grants) < 17
    assert counted[f"campaign:{B.hex}:x"] <= 3
    assert counted["agents:team"] <= 5
    assert len(emptied(virtual, 20)) + len(grants) == 22


def test_no_rate_is_passed_within_a_batch(virtual: VirtualBench) -> None:
    rates(virtual)
    slots: dict[str, list[int]] = {}
    for _ in range(40):
        for grant in virtual.grant(want=20).grants:
            slots.setdefault(grant.lane, []).append(virtual.slot(grant))
        virtual.step(20 * MS)
    every = sorted(slot for list_ in slots.values() for slot in list_)
    assert len(every) >= 60
    assert min(b - a for a, b in pairwise(every)) >= 10 * MS
    own = slots[f"dial.urgent.{A.hex}.all"]
    assert len(own) >= 5
    assert min(b - a for a, b in pairwise(own)) >= 50 * MS


def test_a_batch_has_fences_of_its_own(virtual: VirtualBench) -> None:
    virtual.carrier(channels=9000)
    fill(virtual, virtual.lane(TENANT), IDS[:30])
    fences = [grant.fence for _ in range(3) for grant in virtual.grant(want=10).grants]
    assert len(set(fences)) == 30
    assert fences == sorted(fences)
