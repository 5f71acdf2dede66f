"""A permit's INVITE leaves within R before and G after its true slot, whenever Redis ran the script."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.pump import slot_times
from settings import Settings

SETTINGS = Settings()
R, G = SETTINGS.round_trip_ms / 1000, SETTINGS.slot_grace_ms / 1000


@given(st.floats(0, 0.2), st.floats(0, 0.05), st.floats(0, 1), st.floats(0, 1))
def test_never_more_than_r_early_nor_g_late(slot_s: float, trip_s: float, ran: float, chosen: float) -> None:
    asked = 1000.0
    earliest, latest = slot_times(SETTINGS, slot_s, asked, asked + trip_s)
    written = earliest + (latest - earliest) * chosen
    true_slot = asked + trip_s * ran + slot_s
    if latest > earliest:
        assert -R - 1e-9 <= written - true_slot <= G + 1e-9


def test_a_fast_reply_has_the_whole_grace_and_a_slow_one_none() -> None:
    earliest, latest = slot_times(SETTINGS, 0.05, 10.0, 10.0 + R)
    assert latest - earliest == (10.0 + 0.05 + G) - (10.0 + 0.05)
    earliest, latest = slot_times(SETTINGS, 0.05, 10.0, 10.0 + R + G)
    assert latest <= earliest + 1e-9
