"""The judge of rehearsals counts as lab.judge does, and follows limits that change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.rehearse.referee import Meter, whole_calls

SECOND = 1_000_000


def test_invites_one_window_apart_are_not_in_the_same_one() -> None:
    meter = Meter("carrier:a", 2, None)
    for at in (0, SECOND // 2, SECOND):
        meter.invite(at)
    assert meter.broken == []
    meter.invite(3 * SECOND // 2 - 1)
    assert [(one.count, one.allowed, one.at_us) for one in meter.broken] == [(3, 2, 3 * SECOND // 2 - 1)]


def test_a_channel_counts_until_its_linger_is_over() -> None:
    meter = Meter("carrier:a", None, 1, linger_us=100)
    meter.begin(0)
    meter.end(1_000)
    meter.begin(1_100)
    assert meter.broken == []
    meter.end(2_000)
    meter.begin(2_099)
    assert [one.count for one in meter.broken] == [2]


def test_a_lowered_limit_binds_when_what_was_granted_has_left_and_a_raised_one_at_once() -> None:
    meter = Meter("carrier:a", 4, 4)
    meter.change(2, 2, now=0, settle_us=SECOND)
    for _ in range(4):
        meter.begin(10)
        meter.invite(10)
    assert meter.broken == []
    meter.begin(SECOND)
    meter.invite(SECOND)
    assert [(one.what, one.count, one.allowed) for one in meter.broken] == [
        ("channels", 5, 2),
        ("INVITEs in a window", 5, 2),
    ]
    meter.change(9, 9, now=SECOND + 1, settle_us=SECOND)
    meter.begin(SECOND + 2)
    assert len(meter.broken) == 2


@pytest.mark.parametrize(
    ("cps", "window_ms", "expected"),
    [(2.5, 1000, (2, SECOND)), (0.5, 1000, (1, 2 * SECOND)), (7.5, 2000, (15, 2 * SECOND)), (None, 1000, (None, SECOND))],
)
def test_rates_are_whole_calls_in_a_window(cps: float | None, window_ms: int, expected: tuple[int | None, int]) -> None:
    assert whole_calls(cps, window_ms) == expected


@given(st.lists(st.tuples(st.integers(0, 4 * SECOND), st.integers(1, 2 * SECOND)), min_size=1, max_size=60))
def test_the_running_count_and_the_count_of_all_that_was_kept_agree(calls: list[tuple[int, int]]) -> None:
    meter = Meter("carrier:a", 1, 1, linger_us=7, keep=True)
    events = [(at, 1, number) for number, (at, _) in enumerate(calls)]
    events += [(at + lasts, 0, number) for number, (at, lasts) in enumerate(calls)]
    for at, begins, number in sorted(events):
        if begins:
            meter.invite(at)
            meter.begin(at, number)
        else:
            meter.end(at, number)
    assert (meter.peak_invites, meter.peak_channels) == meter.peaks()


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 1000)), min_size=1, max_size=20), st.integers(0, 50))
def test_occupied_is_the_sum_of_what_each_call_took(calls: list[tuple[int, int]], linger: int) -> None:
    meter = Meter("carrier:a", None, None, linger_us=linger)
    events = [(at, 1) for at, _ in calls] + [(at + lasts, 0) for at, lasts in calls]
    for at, begins in sorted(events):
        (meter.begin if begins else meter.end)(at)
    assert meter.occupied(10_000) == sum(lasts + linger for _, lasts in calls)
