"""The lead is what the work on a call takes, and a little more; within its bounds whatever was measured."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.lead import LeadMeter

TIMES = st.lists(st.floats(0, 10), max_size=200)


@given(TIMES)
def test_within_its_bounds(times: list[float]) -> None:
    meter = LeadMeter(0.02, 0.07)
    for seconds in times:
        meter.took(seconds)
        assert 0.02 <= meter.lead_s <= 0.07


@given(st.floats(0.001, 0.045))
def test_covers_the_largest_of_the_last_calls(seconds: float) -> None:
    meter = LeadMeter(0.0, 0.07)
    meter.took(seconds)
    for _ in range(5):
        meter.took(0.0)
    assert meter.lead_s > seconds


def test_a_fast_house_needs_little() -> None:
    meter = LeadMeter(0.02, 0.07)
    for _ in range(200):
        meter.took(0.008)
    assert meter.lead_s < 0.025


def test_a_missed_slot_lengthens_it() -> None:
    meter = LeadMeter(0.02, 0.07)
    for _ in range(200):
        meter.took(0.02)
    before = meter.lead_s
    meter.missed()
    assert meter.lead_s > before
    for _ in range(10):
        meter.missed()
    assert meter.lead_s == 0.07
