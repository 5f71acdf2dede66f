"""How much a lane holds, and how what may be brought is shared. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.windows import FAST_S, fitted, wants, window
from settings import Settings

OPTIONS = Settings.model_validate({"lane_window": 200, "lane_window_s": 5.0, "lane_window_min": 20, "laned_max": 1000})


@pytest.mark.parametrize(
    ("cps", "size"),
    [
        (0, 20),  # nobody serves it just now
        (1, 20),
        (10, 50),
        (39.9, 200),
        (100, 200),
        (500, 500),  # a second of it, though that is more than the setting
    ],
)
def test_a_window_is_a_few_seconds_of_work(cps: float, size: int) -> None:
    assert window(OPTIONS, cps) == size


def test_a_faster_carrier_never_makes_a_window_smaller() -> None:
    sizes = [window(OPTIONS, cps / 4) for cps in range(4000)]
    assert sizes == sorted(sizes)
    assert all(size >= cps / 4 * FAST_S for cps, size in enumerate(sizes))


def test_all_windows_together_keep_within_what_redis_is_to_hold() -> None:
    few = {f"l{n}": 200 for n in range(5)}
    assert fitted(OPTIONS, few) == few
    many = {f"l{n}": 200 for n in range(10)} | {"small": 4}
    smaller = fitted(OPTIONS, many)
    assert sum(smaller.values()) <= OPTIONS.laned_max
    assert smaller["small"] == 4
    crowd = {f"l{n}": 200 for n in range(300)}
    assert set(fitted(OPTIONS, crowd).values()) == {OPTIONS.lane_window_min}


LANES = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(0, 300), max_size=12)


@given(windows=LANES, held=LANES, most=st.integers(1, 500))
def test_what_is_brought_is_shared(windows: dict[str, int], held: dict[str, int], most: int) -> None:
    given_ = wants(held, windows, most)
    short = {lane: size - held.get(lane, 0) for lane, size in windows.items() if size > held.get(lane, 0)}
    assert given_.keys() == short.keys()
    assert all(1 <= want <= short[lane] for lane, want in given_.items())
    assert sum(given_.values()) == min(sum(short.values()), max(most, len(short)))
    # Who gets less than it lacks gets no less than anybody else, but for a rest that cannot be divided.
    cut = [want for lane, want in given_.items() if want < short[lane]]
    assert not cut or min(cut) >= max(given_.values()) - 1


def test_a_small_lane_is_filled_whatever_the_large_ones_lack() -> None:
    assert wants({}, {"flood": 1000, "other": 900, "quiet": 20}, 420) == {"quiet": 20, "flood": 200, "other": 200}
