"""``retry`` and ``window`` of a new call: what is kept, what is shown, and when it becomes due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask
from redis import Redis

from calls.ids import parse_ref
from calls.rules import RetryRules
from settings import Settings
from store import calls
from store.rows import Call
from tests.web.conftest import Api, Clock, World, named
from web.app import create_app

Order = Callable[..., dict[str, Any]]
#: A Saturday evening in Berlin: 22:30 there.
SATURDAY = datetime(2026, 11, 21, 21, 30, tzinfo=UTC)
OFFICE = {"time_zone": "Europe/Berlin", "days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "17:30"}


def row(world: World, answer: dict[str, Any]) -> Call:
    found = calls.get_call(world.database, world.ours.id, parse_ref("call", answer["id"]))
    assert found is not None
    return found


def placed(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    response = api.post("/v1/calls", body)
    assert response.status_code == 202, response.get_json()
    answer: dict[str, Any] = response.get_json()
    assert api.get(f"/v1/calls/{answer['id']}").get_json() == answer
    return answer


def test_what_is_asked_is_kept_with_the_call_and_shown(api: Api, world: World, order: Order) -> None:
    asked = {
        "max_attempts": 5,
        "per_day": 2,
        "number_per_day": 3,
        "on_unknown": True,
        "on_declined": True,
        "busy_gaps_s": [60, 300],
        "no_answer_gaps_s": [600, 1800],
        "carrier_gaps_s": [7],
    }
    always = {"time_zone": "Asia/Kathmandu", "from": "00:00", "to": "24:00"}
    call = placed(api, order(retry=asked, window=always))
    assert call["retry"] == asked
    assert call["max_attempts"] == 5
    assert call["window"] == {**always, "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}
    rules = RetryRules().with_(row(world, call).retry or {})
    assert (rules.busy_gaps_s, rules.per_day, rules.on_unknown) == ((60, 300), 2, True)
    assert rules.time_zone == "Asia/Kathmandu"


def test_what_is_left_out_is_the_platforms_as_it_is_now(world: World, redis: Redis, order: Order, settings: Any) -> None:
    options: Settings = settings(
        requests_per_s=10_000, retry_busy_s=11, retry_per_day=2, retry_number_per_day=4, max_attempts=6
    )
    api = Api(create_app(options, database=world.database, redis=redis), world.our_key)
    call = placed(api, order(retry={"no_answer_gaps_s": [1200]}))
    assert call["retry"] == {
        "max_attempts": 6,
        "per_day": 2,
        "number_per_day": 4,
        "on_unknown": False,
        "on_declined": False,
        "busy_gaps_s": [11],
        "no_answer_gaps_s": [1200],
        "carrier_gaps_s": [options.retry_carrier_s],
    }
    assert call["window"] is None
    # All that decides is kept, also what nobody is shown: tomorrow's settings decide nothing about this call.
    assert RetryRules().with_(row(world, call).retry or {}) == RetryRules.of(options).with_({"no_answer_gaps_s": [1200]})


def test_the_older_name_of_max_attempts_works_on(api: Api, order: Order) -> None:
    for body in (order(max_attempts=4), order(retry={"max_attempts": 4}), order(max_attempts=4, retry={"max_attempts": 4})):
        call = placed(api, body)
        assert (call["max_attempts"], call["retry"]["max_attempts"]) == (4, 4)


def test_a_call_waits_for_its_window(api: Api, world: World, redis: Redis, order: Order, clock: Clock) -> None:
    clock.fixed = SATURDAY
    call = placed(api, order(window=OFFICE))
    monday = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
    assert datetime.fromisoformat(call["due_at"]) == monday
    # A day to be dialed in begins when it may be dialed, not when nobody may.
    assert datetime.fromisoformat(call["expires_at"]) == monday + timedelta(days=1)
    assert not redis.exists(f"rq:queue:dial.normal.{world.ours.id.hex}.germany")
    with world.database.connection() as conn:
        found = conn.execute(
            "SELECT due_at, dial_until FROM attempts WHERE call_id = %s", [parse_ref("call", call["id"])]
        ).fetchone()
    # 25 s to ring and 30 s to answer have to end by 17:30.
    assert found == (monday, datetime(2026, 11, 23, 16, 29, 5, tzinfo=UTC))


def test_inside_its_window_a_call_is_dialed_at_once(
    app: Flask, api: Api, world: World, redis: Redis, order: Order, clock: Clock
) -> None:
    clock.fixed = datetime(2026, 11, 23, 16, 29, 5, tzinfo=UTC)
    redis.delete(lane := f"rq:queue:dial.normal.{world.ours.id.hex}.germany")
    assert datetime.fromisoformat(placed(api, order(window=OFFICE))["due_at"]) <= clock.fixed
    assert redis.llen(lane) == 1
    clock.fixed += timedelta(seconds=1)
    assert datetime.fromisoformat(placed(api, order(window=OFFICE))["due_at"]) == datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def test_a_window_that_opens_after_the_call_expires_is_refused(api: Api, world: World, order: Order, clock: Clock) -> None:
    clock.fixed = SATURDAY
    before = world.counts()
    for until, status in ((datetime(2026, 11, 23, 8, 0, tzinfo=UTC), 422), (datetime(2026, 11, 23, 8, 1, tzinfo=UTC), 202)):
        response = api.post("/v1/calls", order(window=OFFICE, expires_at=until.isoformat()))
        assert response.status_code == status
        if status == 422:
            assert named(response) == {"/window": "never_open"}
            assert world.counts() == before
