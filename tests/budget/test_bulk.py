"""The floor of bulk calls: what they have however many others wait."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from uuid import UUID

import pytest

from budget.permits import Grant
from tests.budget.bench import VirtualBench

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


@pytest.mark.parametrize("above", ["normal", "urgent"])
@pytest.mark.parametrize("want", [1, 20])
@pytest.mark.parametrize("interval", [5 * MS, 20 * MS])
def test_bulk_has_its_floor(virtual: VirtualBench, above: str, want: int, interval: int) -> None:
    """Also where urgent calls could reserve every slot far ahead."""
    virtual.carrier(interval=interval, channels=9000, bulk_floor=0.1)
    virtual.fill(virtual.lane(A, above), 1000)
    virtual.fill(virtual.lane(B, "bulk"), 1000)
    slots: list[tuple[int, str]] = []
    while len(slots) < 400:
        answer = virtual.grant(want=want)
        slots += [(virtual.slot(grant), grant.lane.split(".")[1]) for grant in answer.grants]
        virtual.step(max(1, answer.next_us or 0) if answer.paced else 1000)
    assert [slot for slot, _ in slots] == sorted(slot for slot, _ in slots)
    bulk = [slot for slot, name in slots if name == "bulk"]
    # One in ten; urgent calls may put each off by two turns, once.
    assert 30 <= len(bulk) <= 44
    assert max(later - earlier for earlier, later in pairwise(bulk)) <= 31 * interval


def test_without_a_floor_bulk_waits(virtual: VirtualBench) -> None:
    virtual.carrier(interval=20 * MS)
    virtual.fill(virtual.lane(A), 50)
    virtual.fill(virtual.lane(B, "bulk"), 10)
    assert classes(virtual, 50) == ["normal"] * 50


def test_a_floor_nobody_used_is_not_saved_up(virtual: VirtualBench) -> None:
    virtual.carrier(interval=20 * MS, channels=9000, bulk_floor=0.1)
    virtual.fill(virtual.lane(A), 300)
    classes(virtual, 100)
    virtual.fill(virtual.lane(B, "bulk"), 50)
    assert Counter(classes(virtual, 50))["bulk"] <= 6


def test_a_clock_that_stepped_back_takes_no_floor_away(virtual: VirtualBench) -> None:
    virtual.carrier(interval=20 * MS, channels=9000, bulk_floor=0.1)
    virtual.fill(virtual.lane(A), 300)
    virtual.fill(virtual.lane(B, "bulk"), 50)
    classes(virtual, 50)
    virtual.step(-3600 * SECOND)
    virtual.grant()
    virtual.step(200 * MS)
    assert Counter(classes(virtual, 50))["bulk"] >= 4


def test_what_bulk_had_while_it_was_alone_is_not_held_against_it(virtual: VirtualBench) -> None:
    virtual.carrier(interval=20 * MS, channels=9000, bulk_floor=0.1)
    virtual.fill(virtual.lane(B, "bulk"), 200)
    classes(virtual, 100)
    virtual.fill(virtual.lane(A), 300)
    assert 9 <= Counter(classes(virtual, 100))["bulk"] <= 12
