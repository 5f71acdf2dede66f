"""The dial window: fewer after lateness, more after success, never none and never more than allowed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.window import DECREASE, DECREASE_EVERY_S, DialWindow


@given(st.integers(1, 500), st.lists(st.one_of(st.none(), st.floats(0, 1000)), max_size=300))
def test_it_stays_between_one_and_the_most(most: int, story: list[float | None]) -> None:
    window = DialWindow(most)
    now = 0.0
    for step in story:
        if step is None:
            window.in_time()
        else:
            now += step
            window.late(now)
        assert 1 <= window.size <= most


def test_one_stall_counts_once_however_many_dials_it_burned() -> None:
    window = DialWindow(100, start=100)
    for _ in range(50):
        window.late(5.0)
    assert window.size == int(100 * DECREASE)
    window.late(5.0 + 1.01 * DECREASE_EVERY_S)
    assert abs(window.size - 100 * DECREASE * DECREASE) <= 1


def test_it_grows_by_about_one_per_windowful() -> None:
    window = DialWindow(100, start=10)
    for _ in range(10):
        window.in_time()
    assert window.size == 10
    for _ in range(2):
        window.in_time()
    assert window.size == 11
