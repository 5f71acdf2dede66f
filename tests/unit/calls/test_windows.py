"""Windows and local days against clocks read moment by moment; every zone, every change of a clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.windows import DAYS, MIDNIGHT, Limits, Opening, Window, WindowError, zone
from tests.retry.clocks import DAY, MINUTE, ODD, ZONES, a_moment, a_window, day_of, inside

NEED = timedelta(seconds=55)
TICK = timedelta(microseconds=1)
names = st.one_of(st.sampled_from(ODD), st.sampled_from(ZONES))
randoms = st.integers(0, 2**63).map(Random)


def window(begin: str, end: str, *days: str, where: str = "Europe/Berlin") -> Window:
    return Window.read({"time_zone": where, "days": list(days or DAYS), "from": begin, "to": end})


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@settings(max_examples=300, deadline=None)
@given(names, randoms)
def test_the_first_opening_is_inside_and_nothing_before_it_is(name: str, draw: Random) -> None:
    its, at = a_window(draw, name), a_moment(draw, name)
    need = timedelta(seconds=draw.choice((1, 55, 150, 3600)))
    until = at + timedelta(hours=draw.choice((1, 30, 200)))
    opening = its.opening(at, need, until)
    end = until if opening is None else opening.at
    if opening is not None:
        assert at <= opening.at < until
        assert opening.until is not None
        assert opening.until >= opening.at
        for moment in (opening.at, opening.until, opening.at + (opening.until - opening.at) / 3):
            assert inside(its, moment, need)
        if opening.until + need < until:
            assert not inside(its, opening.until + TICK, need)
    # Windows open at whole minutes: if there is an earlier moment, it is ``at`` or one of those.
    begin = at.replace(second=0, microsecond=0) + MINUTE
    minutes = int((end - begin) / MINUTE)
    earlier = {at, *(begin + draw.randint(0, max(0, minutes)) * MINUTE for _ in range(40)), end - MINUTE, end - TICK}
    assert not any(inside(its, moment, need) for moment in earlier if at <= moment < end)


@settings(max_examples=200, deadline=None)
@given(names, randoms)
def test_the_next_day_is_the_first_moment_of_it(name: str, draw: Random) -> None:
    at, where = a_moment(draw, name), ZoneInfo(name)
    after = Limits(where, NEED).next_day(at)
    assert at < after <= at + 2 * DAY
    assert day_of(where, after) > day_of(where, at)
    assert day_of(where, after - TICK) <= day_of(where, at)


@settings(max_examples=200, deadline=None)
@given(names, randoms)
def test_no_day_has_more_dials_than_its_cap_and_a_later_question_has_no_earlier_answer(name: str, draw: Random) -> None:
    at, where = a_moment(draw, name), ZoneInfo(name)
    rang = [at + timedelta(hours=draw.uniform(-60, 30)) for _ in range(draw.randint(0, 6))]
    others = [at + timedelta(hours=draw.uniform(-60, 30)) for _ in range(draw.randint(0, 6))]
    most, number_most = draw.choice((None, 1, 2)), draw.choice((None, 2, 4))
    its = draw.choice((None, a_window(draw, name, least=2)))
    limits = Limits(where, NEED, its, most, number_most, rang, (*rang, *others))
    until = at + timedelta(days=draw.choice((1, 9)))
    opening = limits.first(at, until)
    if opening is not None:
        day = day_of(where, opening.at)
        assert most is None or sum(day_of(where, one) == day for one in rang) < most
        assert number_most is None or sum(day_of(where, one) == day for one in (*rang, *others)) < number_most
        assert at <= opening.at < until
        assert inside(its, opening.at, NEED)
        assert limits.against(opening.at) is None
        assert (limits.against(at) is None) == (opening.at == at)
    later = limits.first(at + timedelta(seconds=draw.randint(0, 90_000)), until)
    if opening is None:
        assert later is None
    elif later is not None:
        assert later.at >= opening.at


def test_a_clock_put_forward_skips_the_window_or_its_beginning() -> None:
    eve = utc(2026, 3, 28, 12)
    # 02:00 to 03:00 is not on that Sunday's clock: the next time is Monday's.
    assert window("02:00", "03:00").opening(eve, NEED, eve + 9 * DAY) == Opening(
        utc(2026, 3, 30), utc(2026, 3, 30, 0, 59, 5)
    )
    # 01:59 is followed by 03:00: from 02:30 on means from 03:00 on.
    assert window("02:30", "04:00").opening(eve, NEED, eve + DAY) == Opening(utc(2026, 3, 29, 1), utc(2026, 3, 29, 1, 59, 5))
    # A ring that begins before the change ends after it, both inside.
    at = utc(2026, 3, 29, 0, 59, 30)
    assert window("01:00", "03:01").opening(at, NEED, at + DAY) == Opening(at, utc(2026, 3, 29, 1, 0, 5))


def test_a_clock_put_back_shows_the_window_twice() -> None:
    eve = utc(2026, 10, 24, 12)
    early = window("02:10", "02:30")
    first = early.opening(eve, NEED, eve + DAY)
    assert first == Opening(utc(2026, 10, 25, 0, 10), utc(2026, 10, 25, 0, 29, 5))
    assert early.opening(utc(2026, 10, 25, 0, 29, 6), NEED, eve + 2 * DAY) == Opening(
        utc(2026, 10, 25, 1, 10), utc(2026, 10, 25, 1, 29, 5)
    )
    # From 01:30 to 02:00 and once more from 02:00 on: an hour longer than on other days, in one.
    assert window("01:30", "03:00").opening(eve, NEED, eve + DAY) == Opening(
        utc(2026, 10, 24, 23, 30), utc(2026, 10, 25, 1, 59, 5)
    )


def test_midnight_ends_no_ring_that_both_days_allow() -> None:
    at = utc(2026, 11, 23, 22, 59, 30)
    assert window("00:00", "24:00").opening(at, NEED, at + TICK) is not None
    assert window("00:00", "24:00", "mon").opening(at, NEED, at + DAY) is None
    assert window("00:00", "24:00", "mon", "tue").opening(at, NEED, at + TICK) is not None
    assert window("20:00", "24:00").opening(at, NEED, at + DAY) == Opening(
        utc(2026, 11, 24, 19), utc(2026, 11, 24, 22, 59, 5)
    )


def test_minutes_are_half_open_and_the_ring_may_end_with_the_window() -> None:
    its = window("09:00", "09:02", where="UTC")
    day = utc(2026, 11, 23)
    nine = day.replace(hour=9)
    assert its.opening(nine - TICK, NEED, nine) is None
    assert its.opening(nine, timedelta(minutes=2), nine + TICK) == Opening(nine, nine)
    assert its.opening(nine, timedelta(minutes=2) + TICK, nine + 9 * DAY) is None
    last = nine.replace(minute=1, second=5)
    assert its.opening(last, NEED, last + TICK) == Opening(last, last)
    assert its.opening(last + TICK, NEED, last + MINUTE) is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"time_zone": "localtime"}, "time_zone"),
        ({"time_zone": None}, "time_zone"),
        ({"time_zone": 1}, "time_zone"),
        ({"days": []}, "days"),
        ({"days": ["sunday"]}, "days"),
        ({"days": "mon"}, "days"),
        ({"days": [["mon"]]}, "days"),
        ({"from": "9:00"}, "from"),
        ({"from": "24:30"}, "from"),
        ({"to": "09:00"}, "to"),
        ({"to": "٠٩:٣٠"}, "to"),
        ({"to": None}, "to"),
        ({"for": "ever"}, "window"),
    ],
)
def test_a_window_that_cannot_be_read_is_refused_by_name(change: dict[str, object], field: str) -> None:
    good: dict[str, object] = {"time_zone": "UTC", "days": ["mon"], "from": "09:00", "to": "20:00"}
    assert Window.read(good).as_dict() == good
    with pytest.raises(WindowError, match=field) as told:
        Window.read({**good, **change})
    assert told.value.field == field


@pytest.mark.parametrize("value", [None, [], "window", {}, {"time_zone": "UTC"}])
def test_nothing_but_a_whole_window_is_one(value: object) -> None:
    with pytest.raises(WindowError, match="window"):
        Window.read(value)


@given(names, randoms)
def test_a_window_is_kept_as_it_is_read(name: str, draw: Random) -> None:
    its = a_window(draw, name)
    assert Window.read(its.as_dict()) == its
    assert its.to_minute <= MIDNIGHT
    assert zone(name).key == name
