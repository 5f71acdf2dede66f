"""Caps as a rule: what fits, what does not, and from when on it does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.caps import LOOK_AGAIN, Caps, Used, held
from calls.windows import WindowError

NOON = datetime(2026, 1, 21, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 1, 22, tzinfo=UTC)


def used(caps: Caps, **known: object) -> Used:
    nothing = Used(caps, NOON, 0, 0, 0, 0, 0, MIDNIGHT, reserve_s=60, reserve_micros=1000)
    return replace(nothing, **known)  # type: ignore[arg-type]


def ago(*seconds: float) -> list[datetime]:
    return [NOON - timedelta(seconds=one) for one in seconds]


def test_without_caps_everything_fits() -> None:
    assert held(used(Caps(), dials=3, first_dial=ago(3)[0], number_dials=99, seconds=10**9, micros=10**12), NOON) is None
    assert Caps().none
    assert not Caps(minutes_per_day=0).none


def test_the_rate_has_room_when_the_oldest_of_the_minute_leaves_it() -> None:
    caps = Caps(calls_per_minute=2)
    assert held(used(caps, dials=1, first_dial=ago(5)[0]), NOON) is None
    found = held(used(caps, dials=2, first_dial=ago(20)[0]), NOON)
    assert found is not None
    assert (found.cap, found.current, found.until, found.all_calls) == (
        "calls_per_minute", 2, NOON + timedelta(seconds=40), True,
    )  # fmt: skip
    assert held(used(caps, dials=2, first_dial=ago(20)[0]), NOON + timedelta(seconds=40)) is None


def test_a_days_cap_has_room_on_the_next_day_or_when_a_call_on_the_line_may_have_ended() -> None:
    caps = Caps(minutes_per_day=10)
    assert held(used(caps, seconds=540), NOON) is None
    found = held(used(caps, seconds=541), NOON)
    assert found is not None
    assert (found.cap, found.until) == ("minutes_per_day", MIDNIGHT)
    found = held(used(caps, seconds=541, running=1), NOON)
    assert found is not None
    assert found.until == NOON + LOOK_AGAIN
    assert held(used(caps, seconds=541), MIDNIGHT) is None


def test_spend_counts_what_the_dial_itself_may_come_to() -> None:
    caps = Caps(spend_per_day=10_000)
    assert held(used(caps, micros=9000), NOON) is None
    found = held(used(caps, micros=9001), NOON)
    assert found is not None
    assert (found.cap, found.limit, found.current, found.until) == ("spend_per_day", 10_000, 9001, MIDNIGHT)


def test_a_days_cap_holds_all_calls_when_next_to_nothing_of_it_is_left() -> None:
    for reserve, everybody in ((500, True), (501, False)):
        found = held(used(Caps(spend_per_day=10_000), micros=9900, reserve_micros=reserve), NOON)
        assert found is not None
        assert found.all_calls == everybody
    for most, everybody in ((20, True), (19, False)):
        found = held(used(Caps(minutes_per_day=most), seconds=most * 60), NOON)
        assert found is not None
        assert found.all_calls == everybody


def test_without_a_price_a_capped_spend_lets_nothing_through() -> None:
    found = held(used(Caps(spend_per_day=10**12), reserve_micros=None), NOON)
    assert found is not None
    assert (found.cap, found.until) == ("no_price", None)
    assert held(used(Caps(minutes_per_day=10), reserve_micros=None), NOON) is None


def test_a_number_is_free_again_on_the_next_day() -> None:
    found = held(used(Caps(number_per_day=3), number_dials=3), NOON)
    assert found is not None
    assert (found.cap, found.until, found.all_calls) == ("tenant_number_per_day", MIDNIGHT, False)
    assert held(used(Caps(number_per_day=3), number_dials=2), NOON) is None


def test_new_destinations_wait_while_known_ones_go_on() -> None:
    caps = Caps(new_prefixes_per_hour=2)
    begun = ago(3000, 600)
    assert held(used(caps, new_prefixes=begun, new_prefix=False), NOON) is None
    found = held(used(caps, new_prefixes=begun, new_prefix=True), NOON)
    assert found is not None
    assert (found.cap, found.until) == ("new_prefixes", NOON + timedelta(seconds=600))
    none_at_all = held(used(Caps(new_prefixes_per_hour=0), new_prefix=True), NOON)
    assert none_at_all is not None
    assert none_at_all.until == NOON + timedelta(hours=1)


def test_what_never_passes_is_told_before_what_does() -> None:
    caps = Caps(spend_per_day=10, calls_per_minute=1)
    found = held(used(caps, reserve_micros=None, dials=1, first_dial=ago(1)[0]), NOON)
    assert found is not None
    assert found.cap == "no_price"


def test_a_zone_that_there_is_not_is_refused() -> None:
    with pytest.raises(WindowError):
        Caps(time_zone="Mars/Olympus")


@given(
    most=st.integers(1, 5),
    seconds=st.lists(st.floats(0, 90), max_size=12).map(sorted),
    later=st.floats(0, 120),
)
def test_a_moment_at_which_the_rate_lets_a_dial_through_has_fewer_in_its_minute(
    most: int, seconds: list[float], later: float
) -> None:
    """Over every moment: let through exactly when the minute before it has room, and the moment told is the first."""
    dials = sorted(ago(*seconds))
    at = NOON + timedelta(seconds=later)
    told = [one for one in dials if one > NOON - timedelta(minutes=1)][-most:]
    found = held(used(Caps(calls_per_minute=most), dials=len(told), first_dial=told[0] if told else None), at)
    inside = [one for one in dials if at - timedelta(minutes=1) < one <= at]
    assert (found is None) == (len(inside) < most)
    if found is not None:
        assert found.until is not None
        assert len([one for one in dials if found.until - timedelta(minutes=1) < one <= found.until]) < most
        just = found.until - timedelta(microseconds=1)
        assert len([one for one in dials if just - timedelta(minutes=1) < one <= just]) >= most
