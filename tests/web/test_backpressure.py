"""More than a tenant may: 429 with the limit by name and when to come back. Redis away: accepted all the same."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis
from werkzeug.test import TestResponse

from budget.connect import connect
from settings import Settings
from store import tenants
from tests.web.conftest import Api, World
from web.app import create_app
from web.redisgate import RedisGate
from web.requestrate import RequestRates, window

Order = Callable[..., dict[str, Any]]
Limited = Callable[..., Api]


@pytest.fixture
def limited(settings: Callable[..., Settings], world: World, redis: Redis) -> Limited:
    """``limited(requests_per_s=..., redis=...)``: an API with these settings, and our key."""

    def build(**changes: Any) -> Api:
        client = changes.pop("redis", redis)
        return Api(create_app(settings(**changes), database=world.database, redis=client), world.our_key)

    return build


@pytest.fixture
def bounded(world: World) -> Iterator[Callable[..., None]]:
    """``bounded(max_queued=...)`` until the end of the test, in which our tenant has nothing queued at first."""
    with world.database.connection() as conn:
        for table in ("call_events", "call_commands", "outbox", "idempotency_keys", "attempts", "calls"):
            conn.execute(f"DELETE FROM {table}".encode())

    def change(**changes: Any) -> None:
        tenants.update(world.database, world.ours.name, **changes)

    yield change
    change(max_queued=None, requests_per_s=None)


def refusal(response: TestResponse, code: str) -> dict[str, Any]:
    """The limit that a 429 names."""
    body = response.get_json()
    assert (response.status_code, body["code"], body["limit"]["scope"]) == (429, code, code), body
    assert int(response.headers["Retry-After"]) == body["retry_after_s"] >= 1
    limit: dict[str, Any] = body["limit"]
    return limit


def test_a_full_queue_refuses_by_name(api: Api, world: World, order: Order, bounded: Callable[..., None]) -> None:
    bounded(max_queued=2)
    first = api.post("/v1/calls", order())
    assert api.post("/v1/calls", order()).status_code == 202
    before = world.counts()
    response = api.post("/v1/calls", order())
    assert refusal(response, "queue_full") == {"scope": "queue_full", "name": "ours", "limit": 2, "current": 2}
    assert world.counts() == before
    # Another tenant is not concerned, and a place that becomes free is given again.
    from calls.ids import agent_ref

    theirs = order(agent_id=agent_ref(world.their_agent.id))
    assert api.post("/v1/calls", theirs, key=world.their_key).status_code == 202
    api.post(f"{first.headers['Location']}/actions/hangup")
    assert api.post("/v1/calls", order()).status_code == 202


def test_a_full_queue_answers_a_repetition(api: Api, order: Order, bounded: Callable[..., None]) -> None:
    bounded(max_queued=1)
    body, once = order(), {"Idempotency-Key": "the-last-place"}
    first = api.post("/v1/calls", body, headers=once)
    again = api.post("/v1/calls", body, headers=once)
    assert (first.status_code, again.status_code, again.get_data()) == (202, 202, first.get_data())
    other = {"Idempotency-Key": "no-place-left"}
    refusal(api.post("/v1/calls", body, headers=other), "queue_full")
    # The refusal is not remembered under its key.
    bounded(max_queued=2)
    assert api.post("/v1/calls", body, headers=other).status_code == 202


def test_the_setting_bounds_who_has_no_bound(limited: Limited, order: Order, bounded: Callable[..., None]) -> None:
    bounded(max_queued=None)
    api = limited(tenant_max_queued=1)
    assert api.post("/v1/calls", order()).status_code == 202
    assert refusal(api.post("/v1/calls", order()), "queue_full")["limit"] == 1


def test_as_many_as_fit_at_once_and_no_more(api: Api, order: Order, bounded: Callable[..., None]) -> None:
    bounded(max_queued=9)
    with ThreadPoolExecutor(20) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: api.post("/v1/calls", order()), range(20))]
    assert sorted(statuses) == [202] * 9 + [429] * 11


def test_one_request_too_many_is_told_the_rate(limited: Limited, world: World, bounded: Callable[..., None]) -> None:
    bounded(requests_per_s=0.1)
    api = limited()
    first = api.get("/v1/agents")
    assert first.status_code == 200
    told = [first.headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining")]
    assert told == ["1", "0"]
    response = api.get("/v1/calls")
    assert refusal(response, "request_rate") == {"scope": "request_rate", "name": "ours", "limit": 1, "current": 1}
    assert response.headers["RateLimit-Remaining"] == "0"
    assert 1 <= int(response.headers["RateLimit-Reset"]) <= 10
    assert response.headers["Retry-After"] == response.headers["RateLimit-Reset"]
    # Who has no limit of its own, who has no key, and what needs no key.
    assert api.get("/v1/agents", key=world.their_key).status_code == 200
    assert api.get("/v1/agents", key="").status_code == 401
    assert api.get("/v1/openapi.json", key="").status_code == 200


def test_the_rate_is_counted_for_all_processes_together(limited: Limited, bounded: Callable[..., None]) -> None:
    bounded(requests_per_s=0.3)  # three in ten seconds
    one, other = limited(), limited()
    statuses = [api.get("/v1/agents").status_code for api in (one, other, one, other, one)]
    assert statuses == [200, 200, 200, 429, 429]


def test_the_setting_is_the_rate_of_who_has_none(limited: Limited) -> None:
    assert limited(requests_per_s=33).get("/v1/agents").headers["RateLimit-Limit"] == "33"
    assert limited().get("/v1/agents").headers["RateLimit-Limit"] == "50"


@pytest.mark.parametrize(
    ("rate", "amount", "seconds"),
    [(50, 50, 1), (1, 1, 1), (2.5, 5, 2), (0.5, 1, 2), (0.001, 1, 1000), (1.24, 11, 9), (0.3, 3, 10), (10_000, 10_000, 1)],
)
def test_a_window_is_never_more_than_the_rate(rate: float, amount: int, seconds: int) -> None:
    item = window(rate)
    assert (item.amount, item.get_expiry()) == (amount, seconds)
    assert item.amount / item.get_expiry() <= rate


@pytest.fixture
def dead_redis(settings: Callable[..., Settings]) -> Iterator[Redis]:
    """Nobody listens there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = connect(settings(redis_url=f"redis://127.0.0.1:{taken.getsockname()[1]}/0"))
        yield client
        client.close()


@pytest.fixture
def hanging_redis(settings: Callable[..., Settings]) -> Iterator[tuple[Redis, socket.socket]]:
    """A server that is stopped: the kernel takes connections, nobody answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as stopped:
        url = f"redis://127.0.0.1:{stopped.getsockname()[1]}/0"
        client = connect(settings(redis_url=url, redis_timeout_s=0.2))
        yield client, stopped
        client.close()


def test_without_redis_calls_are_accepted_up_to_the_bound(
    limited: Limited, order: Order, dead_redis: Redis, bounded: Callable[..., None]
) -> None:
    bounded(max_queued=3)
    api = limited(redis=dead_redis)
    statuses = [api.post("/v1/calls", order()).status_code for _ in range(5)]
    assert statuses == [202, 202, 202, 429, 429]


def test_without_redis_each_process_counts_for_itself(
    limited: Limited, dead_redis: Redis, bounded: Callable[..., None]
) -> None:
    bounded(requests_per_s=0.001)
    one, other = limited(redis=dead_redis), limited(redis=dead_redis)
    response = one.get("/v1/agents")
    assert (response.status_code, response.headers["RateLimit-Limit"]) == (200, "1")
    refusal(one.get("/v1/agents"), "request_rate")
    assert other.get("/v1/agents").status_code == 200


def test_a_redis_that_hangs_is_waited_for_once(
    limited: Limited, order: Order, hanging_redis: tuple[Redis, socket.socket]
) -> None:
    client, stopped = hanging_redis
    api = limited(redis=client, requests_per_s=10_000)
    api.app.extensions["trunkline"].gate._clock = lambda: 0.0
    assert [api.post("/v1/calls", order()).status_code for _ in range(10)] == [202] * 10
    assert connections(stopped) == 1


def test_what_is_counted_together_is_counted_each(redis: Redis, dead_redis: Redis) -> None:
    who, gate = uuid4(), RedisGate()
    told = RequestRates(redis, gate).ahead(who, 3, 5)
    assert [one and one.allowed for one in told] == [True, True, True, False, False]
    assert [one and one.remaining for one in told] == [2, 1, 0, 0, 0]
    left_alone = RequestRates(dead_redis, gate)
    assert left_alone.ahead(who, 3, 2) == [None, None], "it turns out to be away"
    assert not gate.open
    assert RequestRates(redis, gate).ahead(who, 3, 1) == [None], "and is left alone: who counts it tries whether it is back"
    assert [left_alone.hit(who, 3).shared, left_alone.hit(who, 3).remaining] == [False, 1]


def connections(server: socket.socket) -> int:
    """How many wait to be accepted."""
    server.setblocking(False)
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_redis_is_asked_again_after_a_while(limited: Limited, dead_redis: Redis, redis: Redis, world: World) -> None:
    api = limited(redis=dead_redis, requests_per_s=7)
    gate = api.app.extensions["trunkline"].gate
    seconds = [0.0]
    gate._clock = lambda: seconds[0]
    asked: list[str] = []

    def ask(answer: Callable[[], str]) -> None:
        asked.append(gate.ask(answer, lambda: "without"))

    assert api.get("/v1/agents").status_code == 200
    ask(lambda: "redis")
    seconds[0] = 2.5
    ask(lambda: gate.ask(lambda: "second", lambda: "only one tries"))
    ask(lambda: "redis")
    assert asked == ["without", "only one tries", "redis"]


def test_a_call_behind_a_full_lane_waits_for_the_feeder(limited: Limited, order: Order, redis: Redis) -> None:
    api = limited(lane_window=3, requests_per_s=10_000)
    for _ in range(6):
        assert api.post("/v1/calls", order()).status_code == 202
    (lane,) = redis.keys("rq:queue:*")
    assert redis.llen(lane) == 3


def test_only_without_postgres_nothing_is_accepted(
    limited: Limited, order: Order, settings: Callable[..., Settings]
) -> None:
    from store.pool import open_database

    api = limited()
    runtime = api.app.extensions["trunkline"]
    away = settings(database_url="postgresql://127.0.0.1:1/none", db_pool_timeout_s=0.2)
    with open_database(away, "test", cooperative=False) as nowhere:
        api.app.extensions["trunkline"] = replace(runtime, database=nowhere)
        response = api.post("/v1/calls", order())
    assert (response.status_code, response.get_json()["code"]) == (503, "database_unavailable")
