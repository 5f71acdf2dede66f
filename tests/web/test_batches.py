"""Many calls in one request: judged row by row, kept together, answered the same however often they are sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from calls.ids import agent_ref
from jobs.watchdog import sweep
from store import agents, tenants
from tests.web.conftest import FROM, NO_ROUTE, TO, Api, Clock, World, named

Order = Callable[..., dict[str, Any]]


def number(index: int) -> str:
    return f"+4930{2_000_000 + index}"


@pytest.fixture
def batch(world: World) -> Callable[..., dict[str, Any]]:
    """``batch(row, row, ..., field=...)``: rows behind defaults that make each of them acceptable."""

    def build(*rows: Any, **defaults: Any) -> dict[str, Any]:
        return {"defaults": {"from": FROM, "agent_id": agent_ref(world.our_agent.id), **defaults}, "calls": list(rows)}

    return build


@pytest.fixture
def bounded(world: World) -> Iterator[Callable[[int | None], None]]:
    """``bounded(n)``: so many more calls fit into our queue."""

    def bound(room: int | None) -> None:
        waiting = (
            "SELECT count(*) FROM attempts a JOIN calls c ON c.id = a.call_id WHERE c.tenant_id = %s AND a.state = 'queued'"
        )
        with world.database.connection() as conn:
            row = conn.execute(waiting, (world.ours.id,)).fetchone()
        assert row is not None
        tenants.update(world.database, world.ours.name, max_queued=None if room is None else row[0] + room)

    yield bound
    bound(None)


def keyed(api: Api, body: Any, once: str, **more: Any) -> Any:
    return api.post("/v1/batches", body, headers={"Idempotency-Key": once}, **more)


def test_each_row_is_a_call_like_any_other(api: Api, world: World, batch: Order, order: Order) -> None:
    own = {"to": number(1), "client_reference": "b", "metadata": {"n": 1}, "priority": "bulk", "ring_timeout_s": 20}
    placed = api.post("/v1/batches", batch({"to": TO, "client_reference": "a"}, own, metadata={"all": True}))
    assert placed.status_code == 202
    body = placed.get_json()
    assert (body["accepted"], body["refused"]) == (2, 0)
    assert [(row["index"], row["status"], row["client_reference"]) for row in body["calls"]] == [
        (0, "accepted", "a"), (1, "accepted", "b"),
    ]  # fmt: skip
    first, second = (api.get(f"/v1/calls/{row['call_id']}").get_json() for row in body["calls"])
    alone = api.post("/v1/calls", order(metadata={"all": True}, client_reference="a")).get_json()
    of_its_own = {"id", "created_at", "due_at", "expires_at", "status_at", "batch_id"}
    assert {k: v for k, v in first.items() if k not in of_its_own} == {k: v for k, v in alone.items() if k not in of_its_own}
    assert (alone["batch_id"], first["batch_id"], second["batch_id"]) == (None, body["id"], body["id"])
    assert (second["metadata"], second["priority"], second["ring_timeout_s"]) == ({"n": 1}, "bulk", 20)
    assert [event["type"] for event in api.get(f"/v1/calls/{first['id']}/events").get_json()["data"]] == ["call.queued"]
    assert placed.headers["Location"] == f"/v1/batches/{body['id']}"
    assert api.get(placed.headers["Location"]).get_json()["statuses"] == {"queued": 2}


def test_one_bad_row_does_not_sink_the_rest(api: Api, world: World, batch: Order) -> None:
    other = agent_ref(world.their_agent.id)
    rows = [
        {"to": TO, "client_reference": "twice"},
        {"to": "112"},
        {"to": NO_ROUTE},
        {"to": number(2), "ring_timeout_s": 4, "colour": "red"},
        {"to": number(3), "client_reference": "twice"},
        {"to": number(4), "agent_id": other},
        {"to": number(5), "expires_at": "2020-01-01T00:00:00Z"},
        {"from": FROM},
        "no row",
        {"to": number(6), "metadata": {"a": "\x00"}},
        {"to": number(7), "window": {"time_zone": "UTC", "from": "09:00", "to": "08:00"}},
        {"to": number(8)},
    ]
    before = world.counts()
    placed = api.post("/v1/batches", batch(*rows))
    assert placed.status_code == 202
    body = placed.get_json()
    assert (body["accepted"], body["refused"]) == (2, 10)
    assert [row["status"] for row in body["calls"]] == ["accepted", *["refused"] * 10, "accepted"]
    assert {error["pointer"]: error["code"] for row in body["calls"] for error in row["errors"]} == {
        "/calls/1/to": "emergency",
        "/calls/2/to": "no_route",
        "/calls/3/ring_timeout_s": "out_of_range",
        "/calls/3/colour": "unknown_field",
        "/calls/4/client_reference": "duplicate",
        "/calls/5/agent_id": "unknown_agent",
        "/calls/6/expires_at": "in_the_past",
        "/calls/7/to": "required",
        "/calls/8": "wrong_type",
        "/calls/9/metadata": "bad_character",
        "/calls/10/window/to": "not_after_from",
    }
    assert "the row 0 of this batch" in body["calls"][4]["errors"][0]["detail"]
    after = world.counts()
    assert {name: after[name] - before[name] for name in ("calls", "attempts", "call_events")} == {
        "calls": 2, "attempts": 2, "call_events": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "where", "code"),
    [
        ([], "", "wrong_type"),
        ({}, "/calls", "bad_length"),
        ({"calls": []}, "/calls", "bad_length"),
        ({"calls": {}}, "/calls", "bad_length"),
        ({"calls": [{}] * 10_001}, "/calls", "bad_length"),
        ({"calls": [{}], "name": "x"}, "/name", "unknown_field"),
        ({"calls": [{}], "defaults": []}, "/defaults", "wrong_type"),
        ({"calls": [{}], "defaults": {"to": TO}}, "/defaults/to", "not_allowed"),
        ({"calls": [{}], "defaults": {"client_reference": "x"}}, "/defaults/client_reference", "not_allowed"),
        ({"calls": [{}], "defaults": {"ring_timeout_s": 4}}, "/defaults/ring_timeout_s", "out_of_range"),
        ({"calls": [{}], "defaults": {"metadata": {"a": "\x00"}}}, "/defaults/metadata", "bad_character"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(api: Api, world: World, body: Any, where: str, code: str) -> None:
    before = world.counts()
    response = api.post("/v1/batches", body)
    assert (response.status_code, named(response)) == (422, {where: code})
    assert world.counts() == before


def test_a_batch_of_bad_rows_is_refused_with_every_reason(api: Api, world: World, batch: Order) -> None:
    before = world.counts()
    body = batch({"to": "112"}, {"to": NO_ROUTE})
    for _ in range(2):  # and its key is not used up
        response = keyed(api, body, "all-bad")
        assert response.status_code == 422
        assert named(response) == {"/calls/0/to": "emergency", "/calls/1/to": "no_route"}
    assert world.counts() == before
    assert keyed(api, batch({"to": TO}), "all-bad").status_code == 202


@pytest.mark.parametrize(
    "text",
    """
    {|{"calls"|{"calls":|{"calls":[|{"calls":[{}|{"calls":[{},]}|{"calls":[{}]|{"calls":[{}],}|{"calls":[{}]} x
    {"calls" [{}]}|{"calls":[{}],"calls":[{}]}|{"calls":[{"a":1,"a":2}]}|{"calls":[NaN]}|{1:[]}|{"calls":[{} {}]}
    |[1,]|"calls
    """.strip()
    .replace("\n", "|")
    .split("|"),
)
def test_malformed_json_is_told_as_such(api: Api, text: str) -> None:
    response = api.post("/v1/batches", data=text, content_type="application/json")
    assert (response.status_code, response.get_json()["code"]) == (400, "malformed_json")


def test_white_space_and_the_order_of_names_say_nothing(api: Api, batch: Order) -> None:
    body = batch({"to": TO, "priority": "bulk"})
    loose = json.dumps({"calls": [{"priority": "bulk", "to": TO}], "defaults": body["defaults"]}, indent=3)
    first = keyed(api, body, "loose")
    again = api.post(
        "/v1/batches", data=f" \n{loose}\t", content_type="application/json", headers={"Idempotency-Key": "loose"}
    )
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.get_data() == first.get_data()


def test_a_repetition_is_answered_the_same_to_the_byte(api: Api, world: World, batch: Order, clock: Clock) -> None:
    expires = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = batch({"to": TO, "client_reference": "ä😀"}, {"to": "112"}, expires_at=expires)
    first = keyed(api, body, "same")
    before = world.counts()
    clock.fixed = datetime.now(UTC) + timedelta(hours=2)
    again = keyed(api, body, "same")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.get_data() == first.get_data()
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert world.counts() == before
    other = keyed(api, batch({"to": TO}), "same")
    assert (other.status_code, other.get_json()["code"]) == (422, "idempotency_mismatch")
    clock.fixed = datetime.now(UTC) + timedelta(hours=74)
    assert keyed(api, batch({"to": TO}), "same").get_json()["id"] != first.get_json()["id"]


def test_a_key_belongs_to_its_tenant_and_to_what_was_asked(api: Api, world: World, batch: Order, order: Order) -> None:
    ours = keyed(api, batch({"to": TO}), "shared")
    theirs = keyed(api, batch({"to": TO}, agent_id=agent_ref(world.their_agent.id)), "shared", key=world.their_key)
    call = api.post("/v1/calls", order(), headers={"Idempotency-Key": "shared"})
    assert (ours.status_code, theirs.status_code, call.status_code) == (202, 202, 202)
    assert "Idempotent-Replayed" not in call.headers


def test_many_at_once_are_one_batch(api: Api, world: World, batch: Order) -> None:
    body, before = batch(*({"to": number(i)} for i in range(20))), world.counts()
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: keyed(api, body, "twelve"), range(12)))
    assert world.counts()["calls"] == before["calls"] + 20
    assert {answer.status_code for answer in answers} <= {202, 409}
    taken = [answer for answer in answers if answer.status_code == 202]
    assert len({answer.get_data() for answer in taken}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in taken) == 1


def test_rows_beyond_the_queue_are_refused_by_name(api: Api, batch: Order, bounded: Callable[[int | None], None]) -> None:
    bounded(2)
    rows = [{"to": number(i), "client_reference": str(i)} for i in range(4)]
    body = batch({"to": "112"}, *rows)
    placed = keyed(api, body, "filled")
    assert placed.status_code == 202
    answered = placed.get_json()
    assert (answered["accepted"], answered["refused"]) == (2, 3)
    assert [row["status"] for row in answered["calls"]] == ["refused", "accepted", "accepted", "refused", "refused"]
    assert [row["errors"][0]["code"] for row in answered["calls"] if row["errors"]] == [
        "emergency",
        "queue_full",
        "queue_full",
    ]
    assert answered["calls"][3]["errors"][0]["pointer"] == "/calls/3"
    full = api.post("/v1/batches", batch(*rows))
    assert (full.status_code, full.get_json()["code"]) == (429, "queue_full")
    assert full.headers["Retry-After"]
    assert keyed(api, body, "filled").get_data() == placed.get_data()


def test_however_many_come_at_once_the_bound_holds(
    api: Api, world: World, batch: Order, order: Order, bounded: Callable[[int | None], None]
) -> None:
    bounded(60)
    before = world.counts()["calls"]

    def send(turn: int) -> int:
        if turn % 3:
            return api.post("/v1/calls", order()).status_code
        return api.post("/v1/batches", batch(*({"to": number(i)} for i in range(15)))).status_code

    with ThreadPoolExecutor(12) as pool:
        statuses = set(pool.map(send, range(36)))
    assert statuses == {202, 429}
    assert world.counts()["calls"] == before + 60


def test_its_calls_are_listed_and_counted(api: Api, world: World, batch: Order) -> None:
    placed = api.post("/v1/batches", batch(*({"to": number(i)} for i in range(5)))).get_json()
    ids = [row["call_id"] for row in placed["calls"]]
    api.post("/v1/calls", {})
    page = api.get(f"/v1/calls?batch_id={placed['id']}&limit=3").get_json()
    assert ([call["id"] for call in page["data"]], page["has_more"]) == (ids[:1:-1], True)
    rest = api.get(f"/v1/calls?batch_id={placed['id']}&limit=3&starting_after={page['next_cursor']}").get_json()
    assert ([call["id"] for call in rest["data"]], rest["has_more"]) == (ids[1::-1], False)
    api.post(f"/v1/calls/{ids[0]}/actions/hangup")
    assert [c["id"] for c in api.get(f"/v1/calls?batch_id={placed['id']}&status=canceled").get_json()["data"]] == ids[:1]
    seen = api.get(f"/v1/batches/{placed['id']}").get_json()
    assert (seen["statuses"], seen["end_reasons"], seen["ended"]) == ({"queued": 4, "canceled": 1}, {"canceled": 1}, 1)
    listed = api.get("/v1/batches?limit=1").get_json()["data"]
    assert [one["id"] for one in listed] == [placed["id"]]
    for path in (f"/v1/batches/{placed['id']}", f"/v1/batches/batch_{'0' * 32}", "/v1/batches/batch_x"):
        assert api.get(path, key=world.their_key).status_code == 404
    assert api.post(f"/v1/batches/{placed['id']}/cancel", key=world.their_key).status_code == 404
    assert api.get(f"/v1/calls?batch_id={placed['id']}", key=world.their_key).get_json()["data"] == []


def test_a_batch_is_canceled_by_one_mark(api: Api, world: World, batch: Order, settings: Any) -> None:
    placed = api.post("/v1/batches", batch(*({"to": number(i)} for i in range(7)))).get_json()
    beside = api.post("/v1/batches", batch({"to": TO})).get_json()
    first = api.post(f"/v1/batches/{placed['id']}/cancel")
    assert first.status_code == 202
    again = api.post(f"/v1/batches/{placed['id']}/cancel").get_json()
    assert first.get_json()["canceled_at"] == again["canceled_at"] is not None
    call = api.get(f"/v1/calls/{placed['calls'][0]['call_id']}").get_json()
    assert (call["status"], call["cancel_requested"]) == ("queued", True)
    assert not api.get(f"/v1/calls/{beside['calls'][0]['call_id']}").get_json()["cancel_requested"]
    for _ in range(2):
        sweep(world.database, settings(cancel_batch=4), datetime.now(UTC))
    seen = api.get(f"/v1/batches/{placed['id']}").get_json()
    assert (seen["statuses"], seen["end_reasons"], seen["ended"]) == ({"canceled": 7}, {"canceled": 7}, 7)
    assert api.get(f"/v1/batches/{beside['id']}").get_json()["statuses"] == {"queued": 1}


def test_the_first_of_it_are_in_their_lane_and_nobody_goes_before_the_rest(
    api: Api, redis: Redis, batch: Order, order: Order
) -> None:
    placed = api.post("/v1/batches", batch(*({"to": number(i)} for i in range(205)))).get_json()
    assert placed["accepted"] == 205
    (lane,) = redis.keys("rq:queue:*")
    assert redis.llen(lane) == 200
    api.post("/v1/calls", order())
    assert redis.llen(lane) == 200


def test_a_large_body_is_refused_by_name(app: Any, api: Api) -> None:
    response = api.post("/v1/batches", data=b" " * ((8 << 20) + 1), content_type="application/json")
    assert (response.status_code, response.get_json()["code"]) == (413, "body_too_large")
    assert "8388608 bytes" in response.get_json()["detail"]


def test_paused_agents_calls_wait_beside_the_lanes(api: Api, world: World, redis: Redis, batch: Order) -> None:
    agents.set_paused(world.database, world.our_agent.id, True)
    try:
        assert api.post("/v1/batches", batch({"to": TO})).status_code == 202
        assert redis.keys("rq:queue:*") == []
    finally:
        agents.set_paused(world.database, world.our_agent.id, False)
