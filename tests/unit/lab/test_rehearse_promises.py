"""Limits of our own are judged by the slots that were granted: late INVITEs are told, too many slots are a broken limit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lab.counting import max_in_window
from lab.rehearse.promises import OwnMeter

SECOND, J = 1_000_000, 20_000


def meter(cps: float = 2) -> OwnMeter:
    return OwnMeter("tenant:a", cps, None, jitter_us=J)


def test_an_invite_that_a_switch_sent_late_is_told_and_is_no_broken_limit() -> None:
    own = meter()
    step = (SECOND + J) // 2
    for n in range(4):
        own.sent(n * step, n * step + 5_000)
    assert own.at_wire == 0
    own.sent(4 * step, 6 * step + 1)  # it stood still
    own.sent(5 * step, 5 * step + 5_000)
    own.sent(6 * step, 6 * step + 5_000)
    assert own.broken == []
    assert (own.at_wire, own.peak_invites, own.peak_slots) == (1, 3, 2)


def test_a_slot_too_many_is_a_broken_limit_however_late_its_invite_is() -> None:
    own = meter()
    own.sent(0, 5_000)
    own.sent(SECOND // 2, SECOND // 2)
    own.sent(2 * SECOND, 2 * SECOND)
    assert own.broken == []
    own.sent(SECOND + J - 1, 3 * SECOND)
    assert [(one.scope, one.count, one.allowed, one.at_us) for one in own.broken] == [("tenant:a", 3, 2, SECOND + J - 1)]


def test_slots_a_window_and_j_apart_are_not_in_the_same_one() -> None:
    own = meter()
    for slot in (0, 1, SECOND + J, SECOND + J + 1):
        own.sent(slot, slot)
    assert own.broken == []


def test_an_invite_before_its_slot_counts_when_it_left() -> None:
    own = meter()
    for slot in (0, 2 * SECOND, 4 * SECOND):
        own.sent(slot, 10)
    assert [one.count for one in own.broken] == [3]


@given(st.lists(st.tuples(st.integers(0, 5 * SECOND), st.integers(0, 3 * SECOND)), min_size=1, max_size=60))
def test_it_finds_the_fullest_window_in_whatever_order_the_invites_arrive(calls: list[tuple[int, int]]) -> None:
    own = meter(1)
    for slot, late in sorted(calls, key=sum):
        own.sent(slot, slot + late)
    most, _ = max_in_window((slot * 1000 for slot, _ in calls), (SECOND + J) / 1e6)
    assert own.peak_slots == most
