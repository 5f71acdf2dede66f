"""Time zones in which somebody can be, and those that are kept nowhere."""

from __future__ import annotations

from zoneinfo import available_timezones

import pytest

from calls.place_zones import NoPlace, is_place, place_zone, window_zone
from calls.places import Recipient, place_of
from calls.windows import WindowError, zone


@pytest.mark.parametrize("name", ["EST", "MST", "HST", "EST5EDT", "CET", "GMT", "Etc/GMT+5", "Etc/UTC", "Zulu"])
def test_a_clock_of_no_place_is_no_callees_and_no_windows(name: str) -> None:
    assert zone(name).key == name, "what was kept under it can be read"
    for takes in (place_zone, window_zone):
        with pytest.raises(NoPlace, match="America/New_York"):
            takes(name)
    assert place_of("+12125550100", Recipient(name), None).zones == (), "nobody knows when to call there"
    assert place_of("+80012345678", Recipient(), name).zones == ()


@pytest.mark.parametrize("name", ["America/New_York", "America/Phoenix", "US/Eastern", "Japan", "Singapore"])
def test_a_places_is_both(name: str) -> None:
    assert place_zone(name) == window_zone(name) == name
    assert place_of("+12125550100", Recipient(name), None).zones == (name,)


def test_a_window_may_go_by_utc_and_a_callee_does_not() -> None:
    assert window_zone("UTC") == "UTC"
    with pytest.raises(NoPlace):
        place_zone("UTC")


def test_what_is_no_zone_is_said_to_be_none() -> None:
    for takes in (place_zone, window_zone):
        with pytest.raises(WindowError, match="no IANA time zone") as refused:
            takes("Mars/Base")
        assert not isinstance(refused.value, NoPlace)


def test_all_others_are_in_a_region_or_named_like_a_country() -> None:
    """A new name of IANA's that is neither is looked at."""
    plain = {name for name in available_timezones() - {"Factory", "localtime", "posixrules"} if "/" not in name}
    places = {name for name in plain if is_place(name)}
    assert places <= {
        "Cuba", "Egypt", "Eire", "GB", "GB-Eire", "Hongkong", "Iceland", "Iran", "Israel", "Jamaica", "Japan", "Kwajalein",
        "Libya", "NZ", "NZ-CHAT", "Navajo", "PRC", "Poland", "Portugal", "ROC", "ROK", "Singapore", "Turkey", "W-SU",
    }  # fmt: skip
