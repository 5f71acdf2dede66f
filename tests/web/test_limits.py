"""What an account may do and how much of it is in use; and the end of all that it has queued."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis

from budget.connect import connect
from budget.scripts import PREFIX
from settings import Settings
from store import caps, scopes, tenants
from store.scopes import Scope
from tests.web.conftest import Api, Clock, World
from web.app import create_app

Order = Callable[..., dict[str, Any]]


def by_unit(api: Api) -> dict[tuple[str, str, str], tuple[Any, Any]]:
    response = api.get("/v1/limits")
    assert response.status_code == 200
    return {(e["scope"], e["name"], e["unit"]): (e["max"], e["current"]) for e in response.get_json()["data"]}


@pytest.fixture
def numbers(world: World) -> World:
    """Our tenant and one of its campaigns have limits; so has another tenant's campaign."""
    tenants.update(world.database, "ours", max_channels=8, cps=2.5, max_queued=100, requests_per_s=200)
    scopes.put(world.database, Scope(f"campaign:{world.ours.id.hex}:spring", max_channels=4))
    scopes.put(world.database, Scope(f"campaign:{world.theirs.id.hex}:autumn", max_channels=5))
    return world


def test_every_limit_is_told_with_its_use(api: Api, numbers: World, redis: Redis, order: Order) -> None:
    # As the permits' script writes it: each call is counted in each of its scopes.
    for scope, held in ((f"tenant:{numbers.ours.id}", 3), (f"campaign:{numbers.ours.id.hex}:spring", 2)):
        redis.hincrby(f"{PREFIX}held", scope, held)
    queued = by_unit(api)[("queue", "ours", "queued_calls")][1]
    api.post("/v1/calls", order())
    found = by_unit(api)
    requests = found.pop(("request_rate", "ours", "requests_per_s"))
    assert requests[0] == 200
    assert 1 <= requests[1] <= 3
    assert found == {
        ("tenant", "ours", "channels"): (8, 3),
        ("tenant", "ours", "calls_per_s"): (2.5, None),
        ("campaign", "spring", "channels"): (4, 2),
        ("campaign", "spring", "calls_per_s"): (None, None),
        ("queue", "ours", "queued_calls"): (100, queued + 1),
    }


def test_without_redis_what_only_redis_knows_is_null(
    settings: Callable[..., Settings], numbers: World, order: Order
) -> None:
    nowhere = connect(settings(redis_url="redis://127.0.0.1:1/0"))
    api = Api(create_app(settings(), database=numbers.database, redis=nowhere), numbers.our_key)
    found = by_unit(api)
    assert found[("tenant", "ours", "channels")] == (8, None)
    assert found[("campaign", "spring", "channels")] == (4, None)
    assert found[("request_rate", "ours", "requests_per_s")] == (200, None)
    most, queued = found[("queue", "ours", "queued_calls")]
    assert (most, type(queued)) == (100, int)


def test_who_has_no_limits_sees_the_settings(settings: Callable[..., Settings], world: World, redis: Redis) -> None:
    app = create_app(settings(tenant_max_queued=77, requests_per_s=66), database=world.database, redis=redis)
    found = by_unit(Api(app, world.their_key))
    assert found[("tenant", "theirs", "channels")] == (None, 0)
    assert found[("queue", "theirs", "queued_calls")][0] == 77
    assert found[("request_rate", "theirs", "requests_per_s")] == (66, 1)


def test_all_that_is_queued_is_canceled(api: Api, world: World, order: Order, clock: Clock) -> None:
    clock.fixed = datetime.now(UTC)
    paths = [api.post("/v1/calls", order()).headers["Location"] for _ in range(3)]
    response = api.post("/v1/calls/actions/cancel_queued")
    assert response.status_code == 202
    mark = response.get_json()["canceled_before"]
    for path in paths:
        call = api.get(path).get_json()
        assert (call["status"], call["cancel_requested"]) == ("queued", True)
        assert call["created_at"] <= mark
    assert all(call["cancel_requested"] for call in api.get("/v1/calls?limit=3").get_json()["data"])
    # The clock has not moved on, and yet this one came after it.
    later = api.post("/v1/calls", order()).get_json()
    assert not later["cancel_requested"]
    assert not api.get(f"/v1/calls/{later['id']}").get_json()["cancel_requested"]
    # Another tenant's go on.
    stranger = api.post("/v1/calls/actions/cancel_queued", key=world.their_key)
    assert stranger.status_code == 202
    assert not api.get(f"/v1/calls/{later['id']}").get_json()["cancel_requested"]


def test_caps_are_told_with_their_use(api: Api, world: World) -> None:
    assert not [key for key in by_unit(api) if key[0] == "cap"]
    caps.set_caps(
        world.database, world.ours.id, actor="operator:test", calls_per_minute=30, spend_per_day=5_000_000, number_per_day=3
    )
    found = {key[2]: value for key, value in by_unit(api).items() if key[0] == "cap"}
    assert found == {"calls_per_minute": (30, 0), "number_per_day": (3, None), "spend_per_day": (5_000_000, 0)}
    caps.set_caps(world.database, world.ours.id, actor="x", calls_per_minute=None, spend_per_day=None, number_per_day=None)
