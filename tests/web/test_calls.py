"""Placing, reading, listing and hanging up calls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from redis import Redis

from calls.ids import agent_ref, parse_ref
from store import calls
from tests.web.conftest import FROM, TO, Api, Clock, World

Order = Callable[..., dict[str, Any]]


def test_an_accepted_call_is_a_row_and_a_job(api: Api, world: World, redis: Redis, order: Order) -> None:
    response = api.post("/v1/calls", order(metadata={"crm": [1, {"a": None}]}, client_reference="A-17"))

    call = response.get_json()
    assert response.status_code == 202
    assert response.headers["Location"] == f"/v1/calls/{call['id']}"
    assert (call["status"], call["to"], call["from"]) == ("queued", TO, FROM)
    assert (call["metadata"], call["client_reference"]) == ({"crm": [1, {"a": None}]}, "A-17")
    assert (call["priority"], call["max_attempts"], call["ring_timeout_s"], call["max_duration_s"]) == (
        "normal",
        3,
        30,
        3600,
    )
    assert call["agent_id"] == agent_ref(world.our_agent.id)
    for moment in ("created_at", "status_at", "due_at", "expires_at"):
        assert call[moment].endswith("Z")
        assert "." in call[moment]
    assert api.get(response.headers["Location"]).get_json() == call
    (attempt,) = api.get(f"/v1/calls/{call['id']}/attempts").get_json()["data"]
    lane = f"dial.normal.{world.ours.id.hex}.germany"
    assert redis.lrange(f"rq:queue:{lane}", 0, -1) == [attempt["id"].encode()]
    (event,) = api.get(f"/v1/calls/{call['id']}/events").get_json()["data"]
    assert (event["type"], event["attempt_id"], event["source"]) == ("call.queued", attempt["id"], "api")


@pytest.mark.parametrize("mount", ["/voix/été", "/100%", "/a b"])
def test_where_a_call_is_is_a_url_wherever_the_api_is_mounted(api: Api, order: Order, mount: str) -> None:
    mounted = {"SCRIPT_NAME": mount.encode().decode("latin-1")}
    response = api.post("/v1/calls", order(), environ_overrides=mounted)
    assert response.status_code == 202
    assert response.headers["Location"] == f"{quote(mount)}/v1/calls/{response.get_json()['id']}"


def test_every_field_reaches_the_row(api: Api, world: World, order: Order) -> None:
    begin = datetime.now(UTC).replace(microsecond=250_000) + timedelta(hours=1)
    body = order(
        priority="urgent",
        not_before=begin.isoformat().replace("+00:00", "Z"),
        expires_at=(begin + timedelta(hours=2)).astimezone().isoformat(),
        ring_timeout_s=45,
        max_duration_s=600,
        max_attempts=2,
        webhook_url="https://hooks.example.com/calls?x=1",
        agent_variables={"name": "Ada", "score": 1.5},
    )
    call = api.post("/v1/calls", body).get_json()
    row = calls.get_call(world.database, world.ours.id, parse_ref("call", call["id"]))

    assert row is not None
    assert (row.due_at, row.expires_at) == (begin, begin + timedelta(hours=2))
    assert (row.ring_timeout_s, row.max_duration_s, row.max_attempts) == (45, 600, 2)
    assert (row.priority, row.webhook_url) == ("urgent", "https://hooks.example.com/calls?x=1")
    assert row.agent_variables == {"name": "Ada", "score": 1.5}
    assert (call["ring_timeout_s"], call["max_duration_s"], call["max_attempts"]) == (45, 600, 2)
    assert call["due_at"] == begin.isoformat(timespec="microseconds").replace("+00:00", "Z")


def test_a_call_for_later_is_not_laned_yet(api: Api, redis: Redis, order: Order) -> None:
    later = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    assert api.post("/v1/calls", order(not_before=later)).status_code == 202
    assert redis.keys("rq:queue:*") == []


def test_the_past_means_now(api: Api, redis: Redis, clock: Clock, order: Order) -> None:
    clock.fixed = datetime.now(UTC)
    past = (clock.fixed - timedelta(days=1)).isoformat()
    call = api.post("/v1/calls", order(not_before=past)).get_json()
    assert call["due_at"] == call["created_at"]
    assert len(redis.keys("rq:queue:*")) == 1


def test_another_tenants_call_does_not_exist(api: Api, world: World, order: Order) -> None:
    call = api.post("/v1/calls", order()).get_json()
    path = f"/v1/calls/{call['id']}"
    unknown = f"/v1/calls/call_{'0' * 32}"
    for suffix in ("", "/events", "/attempts"):
        theirs = api.get(path + suffix, key=world.their_key)
        nobodys = api.get(unknown + suffix, key=world.their_key)
        assert theirs.status_code == 404
        assert _same_words(theirs, nobodys)
    assert api.post(f"{path}/actions/hangup", key=world.their_key).status_code == 404
    assert api.get(path).get_json()["status"] == "queued"
    listed = api.get("/v1/calls?limit=200", key=world.their_key).get_json()["data"]
    assert call["id"] not in {entry["id"] for entry in listed}
    agent = f"/v1/agents/{agent_ref(world.our_agent.id)}"
    assert (api.get(agent).status_code, api.get(agent, key=world.their_key).status_code) == (200, 404)


def _same_words(one: Any, other: Any) -> bool:
    apart = ("instance", "request_id")
    return {k: v for k, v in one.get_json().items() if k not in apart} == {
        k: v for k, v in other.get_json().items() if k not in apart
    }


def test_hanging_up_a_waiting_call_cancels_it_once(api: Api, order: Order) -> None:
    path = api.post("/v1/calls", order()).headers["Location"]
    first = api.post(f"{path}/actions/hangup")
    assert (first.status_code, first.get_json()["status"]) == (202, "canceled")
    events = api.get(f"{path}/events").get_json()["data"]
    second = api.post(f"{path}/actions/hangup")
    assert second.status_code == 202
    assert second.get_json() == first.get_json() == api.get(path).get_json()
    assert api.get(f"{path}/events").get_json()["data"] == events
    (attempt,) = api.get(f"{path}/attempts").get_json()["data"]
    assert (attempt["state"], attempt["outcome"], attempt["evidence"]) == ("ended", "canceled", "operator")


def test_pages_hold_every_call_once_though_new_ones_arrive(api: Api, world: World, order: Order) -> None:
    mine = [api.post("/v1/calls", order()).get_json()["id"] for _ in range(7)]
    expected = _all_ids(api, limit=200)
    assert expected[:7] == mine[::-1]

    seen: list[str] = []
    cursor = ""
    while True:
        page = api.get(f"/v1/calls?limit=3{cursor}").get_json()
        seen += [call["id"] for call in page["data"]]
        api.post("/v1/calls", order())  # arrives while we turn pages
        if not page["has_more"]:
            break
        assert page["next_cursor"] == seen[-1]
        cursor = f"&starting_after={page['next_cursor']}"
    assert seen == expected
    assert page["next_cursor"] is None


def _all_ids(api: Api, limit: int) -> list[str]:
    page = api.get(f"/v1/calls?limit={limit}").get_json()
    assert not page["has_more"]
    return [call["id"] for call in page["data"]]


def test_a_page_that_is_exactly_full_is_the_last(api: Api, world: World, order: Order) -> None:
    for _ in range(2):
        api.post("/v1/calls", order())
    total = len(_all_ids(api, 200))
    page = api.get(f"/v1/calls?limit={total}").get_json()
    assert (len(page["data"]), page["has_more"], page["next_cursor"]) == (total, False, None)
    page = api.get(f"/v1/calls?limit={total - 1}").get_json()
    assert (len(page["data"]), page["has_more"]) == (total - 1, True)


def test_the_list_is_filtered_by_status(api: Api, order: Order) -> None:
    waiting = api.post("/v1/calls", order()).get_json()["id"]
    path = api.post("/v1/calls", order()).headers["Location"]
    canceled = api.post(f"{path}/actions/hangup").get_json()["id"]
    by_status = {
        status: {call["id"] for call in api.get(f"/v1/calls?limit=200&status={status}").get_json()["data"]}
        for status in ("queued", "canceled", "completed")
    }
    assert waiting in by_status["queued"] - by_status["canceled"]
    assert canceled in by_status["canceled"] - by_status["queued"]
    assert by_status["completed"] == set()


def test_agents_are_created_listed_and_named_once(api: Api, world: World) -> None:
    made = api.post("/v1/agents", {"name": "support", "kind": "websocket", "url": "wss://bot.example.com/talk"})
    assert made.status_code == 201
    assert api.get(made.headers["Location"]).get_json() == made.get_json()
    again = api.post("/v1/agents", {"name": "support", "kind": "announcement", "audio": "a.wav"})
    assert (again.status_code, again.get_json()["errors"][0]["pointer"]) == (409, "/name")
    # The same name is free in another account.
    theirs = api.post("/v1/agents", {"name": "support", "kind": "announcement", "audio": "a.wav"}, key=world.their_key)
    assert theirs.status_code == 201
    first = api.get("/v1/agents?limit=1").get_json()
    rest = api.get(f"/v1/agents?starting_after={first['next_cursor']}").get_json()
    names = [agent["name"] for agent in first["data"] + rest["data"]]
    assert names == ["support", "greeter"]
    assert rest["has_more"] is False


@pytest.mark.parametrize("number", [1e300, 1e16, -0.0, 0.1, 1e-7, 123456789012345678901234567890])
def test_metadata_comes_back_as_sent(api: Api, order: Order, number: float) -> None:
    body = order(metadata={"n": number, "text": "line\nbreak {} | , ünï €", "deep": [[], {}, True]})
    response = api.post("/v1/calls", body)
    assert response.status_code == 202
    assert response.get_json()["metadata"] == body["metadata"]
    assert api.get(response.headers["Location"]).get_json() == response.get_json()
