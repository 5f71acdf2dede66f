"""A digest trunk is sent each INVITE twice, and the second leaves when the challenge has come: both count, in any window."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from budget.scopes import interval_us
from lab.counting import max_in_window
from settings import Settings

SETTINGS = Settings()
WINDOW_MS = 1000


def _us(ms: float) -> st.SearchStrategy[int]:
    return st.integers(0, int(ms * 1000))


def _most(cps: int, jitter_ms: float, away: list[tuple[int, int]], round_trip_us: int) -> int:
    interval = interval_us(cps, WINDOW_MS, jitter_ms, invite_cost=2)
    sent = []
    for slot, (late, later) in enumerate(away):
        first = slot * interval + late
        sent += [first, first + round_trip_us + later]
    return max_in_window((us * 1000 for us in sent), WINDOW_MS / 1000)[0]


@given(
    cps=st.integers(2, 40),
    away=st.lists(st.tuples(_us(SETTINGS.jitter_ms), _us(SETTINGS.challenge_jitter_ms)), min_size=60, max_size=60),
    round_trip_us=_us(600),
)
def test_both_invites_of_each_pair_stay_within_the_limit(cps: int, away: list[tuple[int, int]], round_trip_us: int) -> None:
    assert _most(cps, SETTINGS.jitter_for(None, 2), away, round_trip_us) <= cps


def test_the_spread_of_the_challenge_has_to_be_paid_for() -> None:
    # The first pair's second INVITE comes late, the last one's soon; both find themselves in one second.
    late, soon = (0, int(SETTINGS.challenge_jitter_ms * 1000)), (0, 0)
    away = [late, *[soon] * 20]
    assert _most(20, SETTINGS.jitter_ms, away, 53_000) > 20 >= _most(20, SETTINGS.jitter_for(None, 2), away, 53_000)
