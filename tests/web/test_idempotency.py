"""One request, however often it is sent, is one call."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from tests.web.conftest import Api, Clock, World, named

Order = Callable[..., dict[str, Any]]


def keyed(api: Api, body: dict[str, Any], once: str, **more: Any) -> Any:
    return api.post("/v1/calls", body, headers={"Idempotency-Key": once}, **more)


def test_a_repetition_is_answered_the_same_to_the_byte(api: Api, world: World, order: Order) -> None:
    body = order(metadata={"n": 1e300, "m": -0.0, "z": {"b": 1, "a": 2}}, client_reference="ä€😀")
    first = keyed(api, body, "same")
    before = world.counts()
    again = keyed(api, dict(reversed(body.items())), "same")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.get_data() == first.get_data()
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert world.counts() == before


def test_the_first_answer_is_kept_though_the_call_went_on(api: Api, order: Order) -> None:
    body = order()
    first = keyed(api, body, "went-on")
    api.post(first.headers["Location"] + "/actions/hangup")
    assert keyed(api, body, "went-on").get_json() == first.get_json()


def test_another_body_is_refused(api: Api, world: World, order: Order) -> None:
    keyed(api, order(), "other-body")
    before = world.counts()
    response = keyed(api, order(ring_timeout_s=31), "other-body")
    assert (response.status_code, response.get_json()["code"]) == (422, "idempotency_mismatch")
    assert named(response) == {"Idempotency-Key": "idempotency_mismatch"}
    assert world.counts() == before


def test_a_key_belongs_to_its_tenant(api: Api, world: World, order: Order) -> None:
    from calls.ids import agent_ref

    ours = keyed(api, order(), "shared")
    theirs = keyed(api, order(agent_id=agent_ref(world.their_agent.id)), "shared", key=world.their_key)
    assert (ours.status_code, theirs.status_code) == (202, 202)
    assert ours.get_json()["id"] != theirs.get_json()["id"]


def test_a_refused_request_does_not_use_up_its_key(api: Api, order: Order) -> None:
    assert keyed(api, order(to="112"), "corrected").status_code == 422
    assert keyed(api, order(to="+33142685300"), "corrected").status_code == 422
    assert keyed(api, order(agent_id="agent_" + "0" * 32), "corrected").status_code == 422
    assert keyed(api, order(), "corrected").status_code == 202


def test_a_repetition_after_the_calls_end_is_still_a_repetition(api: Api, order: Order, clock: Clock) -> None:
    body = order(expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    first = keyed(api, body, "late")
    clock.fixed = datetime.now(UTC) + timedelta(hours=2)
    again = keyed(api, body, "late")
    assert (again.status_code, again.get_data()) == (202, first.get_data())
    # The same body as a new request would be refused.
    assert named(keyed(api, body, "late-2")) == {"/expires_at": "in_the_past"}


def test_a_key_is_forgotten_after_its_time(api: Api, order: Order, clock: Clock) -> None:
    body = order()
    first = keyed(api, body, "old")
    clock.fixed = datetime.now(UTC) + timedelta(hours=73)
    again = keyed(api, body, "old")
    assert again.status_code == 202
    assert again.get_json()["id"] != first.get_json()["id"]


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ä", "tab\there"])
def test_a_malformed_key_is_refused(api: Api, world: World, order: Order, key: str) -> None:
    before = world.counts()
    response = keyed(api, order(), key)
    assert (response.status_code, named(response)) == (400, {"Idempotency-Key": "bad_format"})
    assert world.counts() == before


def test_the_longest_key_is_taken(api: Api, order: Order) -> None:
    assert keyed(api, order(), "~" * 255).status_code == 202


def test_fifty_at_once_are_one_call(api: Api, world: World, redis: Redis, order: Order) -> None:
    body, before = order(), world.counts()
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: keyed(api, body, "fifty"), range(50)))
    assert world.counts()["calls"] == before["calls"] + 1
    assert world.counts()["attempts"] == before["attempts"] + 1
    (lane,) = redis.keys("rq:queue:*")
    assert redis.llen(lane) == 1
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {202, 409}
    taken = [answer for answer in answers if answer.status_code == 202]
    assert len({answer.get_data() for answer in taken}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in taken) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.headers["Retry-After"] == "1"
            assert answer.get_json()["code"] == "idempotency_in_flight"


def test_in_flight_is_told(api: Api, world: World, order: Order) -> None:
    """Another session holds the key's lock, as a request does that is being worked on."""
    with world.database.connection() as conn:
        conn.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, hashtextextended(%s::uuid::text, 0)))",
            ("busy", world.ours.id),
        )
        response = keyed(api, order(), "busy")
        assert (response.status_code, response.headers["Retry-After"]) == (409, "1")
    assert keyed(api, order(), "busy").status_code == 202


def test_an_agent_is_created_once_too(api: Api, world: World) -> None:
    body, once = {"name": "once", "kind": "announcement", "audio": "a.wav"}, {"Idempotency-Key": "agent-once"}
    first = api.post("/v1/agents", body, headers=once)
    before = world.counts()
    again = api.post("/v1/agents", body, headers=once)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.get_data() == first.get_data()
    assert (again.headers["Location"], again.headers["Idempotent-Replayed"]) == (first.headers["Location"], "true")
    other = api.post("/v1/agents", {**body, "name": "another"}, headers=once)
    assert (other.status_code, other.get_json()["code"]) == (422, "idempotency_mismatch")
    assert world.counts() == before
    # Refusals are not remembered: the name is taken, and with another one the key is as good as new.
    taken = {"Idempotency-Key": "agent-taken"}
    assert api.post("/v1/agents", body, headers=taken).status_code == 409
    assert api.post("/v1/agents", {**body, "name": "another"}, headers=taken).status_code == 201
    # A key belongs to what was asked.
    assert api.post("/v1/calls", {}, headers=once).get_json()["code"] == "invalid_request"
