"""What an agent hands in: taken once, told, joined into the call's record, and erased."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from werkzeug.test import TestResponse

from calls.ids import agent_ref, parse_ref
from store import keys, recordings, results, tenants
from store.pool import Database
from tests.web.conftest import Api, Clock, World, named
from tests.web.test_runtime import Placed, key_of, placed, token, token_of

Order = Callable[..., dict[str, Any]]
SECRET_WORDS = "my account number is 4711"
RESULT: dict[str, Any] = {
    "outcome": "appointment_booked",
    "summary": "Ada comes on Tuesday.\nShe is glad.",
    "data": {"slot": "tuesday"},
    "transcript": [
        {"speaker": "agent", "text": "Hello {name} | , …", "at_ms": 120, "duration_ms": 900, "interrupted": True},
        {"speaker": "callee", "text": SECRET_WORDS},
    ],
    "latencies": [{"name": "llm_first_token", "ms": 310, "at_ms": 2100}],
    "tool_calls": [
        {"name": "Book it!", "arguments": {"day": 2}, "result": None, "error": "no", "at_ms": 1, "duration_ms": 2}
    ],
    "recording_parts": [{"reference": "s3://x/1.wav", "side": "both", "bytes": 17, "sha256": "0" * 64}],
}


def hand_in(api: Api, call: Placed, bearer: str, body: Any = RESULT, **more: Any) -> TestResponse:
    return api.post(f"/internal/calls/{call.id}/result", body, key=bearer, **more)


def told_of(database: Database, call: Placed) -> list[tuple[int, str, dict[str, Any]]]:
    with database.connection() as conn:
        sql = "SELECT sequence, type, body FROM outbox WHERE call_id = %s ORDER BY sequence"
        return [(row[0], row[1], row[2]) for row in conn.execute(sql, (call.call,)).fetchall()]


@pytest.fixture
def call(api: Api, world: World, order: Order) -> Placed:
    return placed(api, world.database, order(metadata={"order": 17}))


@pytest.fixture
def bearer(world: World, call: Placed) -> str:
    return token_of(world.database, world.ours.id, call)


@pytest.fixture
def heard(api: Api) -> None:
    """Somebody is told of the calls of ours."""
    if not api.get("/v1/webhook_endpoints").get_json()["data"]:
        made = api.post("/v1/webhook_endpoints", {"url": "https://example.com/hook", "events": ["*"]})
        assert made.status_code == 201


def to_be_recorded(database: Database, call: Placed) -> None:
    with database.connection() as conn:
        asked = {"start": "answer", "notice": None, "days": 3}
        conn.execute("UPDATE calls SET recording = %s WHERE id = %s", (Jsonb(asked), call.call))


def test_a_result_is_kept_whole_and_is_part_of_the_record(api: Api, call: Placed, bearer: str) -> None:
    response = hand_in(api, call, bearer)
    assert response.status_code == 201, response.get_json()
    brief = response.get_json()
    assert (brief["outcome"], brief["turn_count"], brief["tool_call_count"]) == ("appointment_booked", 2, 1)
    assert "transcript" not in brief
    record = api.get(f"/v1/calls/{call.id}/record").get_json()
    (result,) = record["results"]
    assert {name: result[name] for name in RESULT} == RESULT
    assert result["attempt_id"] == str(call.attempt) == record["attempts"][0]["id"]
    assert record["call"] == api.get(f"/v1/calls/{call.id}").get_json()
    assert record["attempts"] == api.get(f"/v1/calls/{call.id}/attempts").get_json()["data"]
    assert record["recordings"] == []
    assert record["said"] is True
    assert [(one["type"], one["source"], one["count"]) for one in record["events"]] == [
        ("call.queued", "api", 1), ("call.result", "agent", 1),
    ]  # fmt: skip
    assert api.get(f"/v1/calls/{call.id}/results").get_json()["data"] == record["results"]


def test_it_is_taken_once(api: Api, call: Placed, bearer: str) -> None:
    first = hand_in(api, call, bearer)
    again = hand_in(api, call, bearer, dict(reversed(RESULT.items())))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.get_json() == again.get_json()
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    other = hand_in(api, call, bearer, {**RESULT, "outcome": "refused"})
    assert (other.status_code, other.get_json()["code"]) == (409, "result_taken")
    assert api.get(f"/v1/calls/{call.id}/results").get_json()["data"][0]["outcome"] == "appointment_booked"


def test_each_agent_of_a_call_that_was_handed_on_has_one_of_its_own(
    api: Api, world: World, heard: None, order: Order
) -> None:
    call = placed(api, world.database, order())
    made = api.post("/v1/agents", {"name": "second", "kind": "websocket", "url": "wss://bot.example.com/talk"})
    second = parse_ref("agent", made.get_json()["id"])
    bearer = token_of(world.database, world.ours.id, call)
    other = token(key_of(world.database, world.ours.id), call.call, call.attempt, second)
    assert hand_in(api, call, bearer, {"outcome": "handed_on", "summary": SECRET_WORDS}).status_code == 201
    assert hand_in(api, call, other).status_code == 201
    assert hand_in(api, call, other, {**RESULT, "outcome": "refused"}).get_json()["code"] == "result_taken"
    told = [(one["agent_id"], one["outcome"]) for one in api.get(f"/v1/calls/{call.id}/results").get_json()["data"]]
    assert told == [(agent_ref(world.our_agent.id), "handed_on"), (made.get_json()["id"], RESULT["outcome"])]
    webhooks = [
        body["data"]["result"]["agent_id"] for _, kind, body in told_of(world.database, call) if kind == "call.result"
    ]
    assert webhooks == [agent for agent, _ in told]
    events = api.get(f"/v1/calls/{call.id}/record").get_json()["events"]
    assert [(one["type"], one["count"]) for one in events if one["type"] == "call.result"] == [("call.result", 2)]
    erased = api.send("DELETE", f"/v1/calls/{call.id}/results").get_json()["data"]
    assert [one["erased_at"] is None for one in erased] == [False, False]
    assert_nothing_is_left(world.database, call)


def test_of_many_at_once_one_is_taken(api: Api, call: Placed, bearer: str, world: World, heard: None) -> None:
    bodies = [{**RESULT, "summary": str(n // 4)} for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: hand_in(api, call, bearer, body), bodies))
    assert sorted(one.status_code for one in answers) == [201] * 4 + [409] * 4
    assert sum("Idempotent-Replayed" not in one.headers for one in answers if one.status_code == 201) == 1
    assert [kind for _, kind, _ in told_of(world.database, call)].count("call.result") == 1


def test_its_webhook_is_next_in_the_calls_sequence(api: Api, world: World, heard: None, order: Order, clock: Clock) -> None:
    call = placed(api, world.database, order(metadata={"text": "ä" * 8000}))
    bearer = token_of(world.database, world.ours.id, call)
    api.post(f"/v1/calls/{call.id}/actions/hangup")
    assert hand_in(api, call, bearer, {**RESULT, "summary": "\U0001f600" * 2000}).status_code == 201, "after the end too"
    told = told_of(world.database, call)
    assert [(sequence, kind) for sequence, kind, _ in told] == [
        (1, "call.queued"), (2, "call.canceled"), (3, "call.result"),
    ]  # fmt: skip
    body = told[-1][2]
    result = body["data"]["result"]
    assert result == hand_in(api, call, bearer, {**RESULT, "summary": "\U0001f600" * 2000}).get_json()
    assert body["data"]["attempt"]["id"] == str(call.attempt)
    assert body["data"]["sequence"] == 3 == api.get(f"/v1/calls/{call.id}").get_json()["sequence"]
    assert "transcript" not in result
    assert len(json.dumps(body, ensure_ascii=False).encode()) < 32_000


def test_too_late_is_too_late(api: Api, world: World, call: Placed, bearer: str, clock: Clock) -> None:
    api.post(f"/v1/calls/{call.id}/actions/hangup")
    clock.fixed = datetime.now(UTC) + timedelta(seconds=3700)
    late = hand_in(api, call, bearer)
    assert (late.status_code, late.get_json()["code"]) == (410, "call_token_expired")
    assert api.get(f"/v1/calls/{call.id}/results").get_json()["data"] == []


def test_nobody_elses_result_is_taken(api: Api, world: World, call: Placed, order: Order) -> None:
    other = placed(api, world.database, order())
    wrong = (token_of(world.database, world.ours.id, other), token_of(world.database, world.theirs.id, call), "nonsense")
    assert [hand_in(api, call, one).status_code for one in wrong] == [404] * 3
    assert hand_in(api, call, "").status_code == 401
    assert results.list_results(world.database, world.ours.id, call.call) == []
    for path in ("record", "results"):
        assert api.get(f"/v1/calls/{call.id}/{path}", key=world.their_key).status_code == 404
    assert api.send("DELETE", f"/v1/calls/{call.id}/results", key=world.their_key).status_code == 404


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"outcome": None}, {"/outcome": "wrong_type"}),
        ({"outcome": "Booked it"}, {"/outcome": "bad_format"}),
        ({"summary": "x" * 2001}, {"/summary": "bad_length"}),
        ({"data": []}, {"/data": "wrong_type"}),
        ({"data": {"x": "y" * 17_000}}, {"/data": "too_large"}),
        ({"transcript": {}}, {"/transcript": "wrong_type"}),
        ({"transcript": [{"speaker": "agent"}]}, {"/transcript/0/text": "required"}),
        ({"transcript": [{"speaker": "dog", "text": "woof"}]}, {"/transcript/0/speaker": "bad_value"}),
        ({"transcript": [{"speaker": "agent", "text": "x" * 10_001}]}, {"/transcript/0/text": "bad_length"}),
        ({"transcript": [{"speaker": "agent", "text": "", "at_ms": -1}]}, {"/transcript/0/at_ms": "out_of_range"}),
        ({"transcript": [{"speaker": "agent", "text": "x"}] * 2001}, {"/transcript": "bad_length"}),
        ({"transcript": [{"speaker": "agent", "text": "a\x00b"}]}, {"/transcript": "bad_character"}),
        ({"latencies": [{"name": "a b", "ms": 1}]}, {"/latencies/0/name": "bad_format"}),
        ({"latencies": [{"name": "x", "ms": 1.5}]}, {"/latencies/0/ms": "wrong_type"}),
        ({"tool_calls": [{"name": ""}]}, {"/tool_calls/0/name": "bad_length"}),
        ({"tool_calls": [{"name": "x", "result": "y" * 17_000}]}, {"/tool_calls/0/result": "too_large"}),
        ({"recording_parts": [{"reference": "x", "sha256": "00"}]}, {"/recording_parts/0/sha256": "bad_length"}),
        ({"recording_parts": ["x"]}, {"/recording_parts/0": "wrong_type"}),
        ({"mood": "good"}, {"/mood": "unknown_field"}),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_kept(
    api: Api, world: World, call: Placed, bearer: str, change: dict[str, Any], fault: dict[str, str]
) -> None:
    response = hand_in(api, call, bearer, {**RESULT, **change})
    assert (response.status_code, named(response)) == (422, fault)
    assert results.list_results(world.database, world.ours.id, call.call) == []


def test_what_is_no_result_at_all(api: Api, call: Placed, bearer: str) -> None:
    assert named(hand_in(api, call, bearer, {})) == {"/outcome": "required"}
    assert named(hand_in(api, call, bearer, [RESULT])) == {"": "wrong_type"}
    path = f"/internal/calls/{call.id}/result"
    assert api.post(path, key=bearer, data=b"{", content_type="application/json").status_code == 400
    assert api.post(path, key=bearer, data=b"{}", content_type="text/plain").status_code == 415
    large = json.dumps({**RESULT, "transcript": [{"speaker": "agent", "text": "x" * 10_000}] * 110}).encode()
    assert len(large) > 1 << 20
    assert api.post(path, key=bearer, data=large, content_type="application/json").status_code == 413


def test_one_of_the_largest_is_kept(api: Api, call: Placed, bearer: str) -> None:
    turns = [{"speaker": "agent", "text": "x" * 480}] * 2000
    assert hand_in(api, call, bearer, {**RESULT, "transcript": turns}).status_code == 201
    assert len(api.get(f"/v1/calls/{call.id}/results").get_json()["data"][0]["transcript"]) == 2000


def test_who_may_not_hear_recordings_is_not_shown_what_was_said(api: Api, world: World, call: Placed, bearer: str) -> None:
    hand_in(api, call, bearer)
    _, narrow = keys.create(world.database, tenant_id=world.ours.id, scopes=["calls:read"])
    answer = api.get(f"/v1/calls/{call.id}/record", key=narrow)
    assert SECRET_WORDS not in answer.get_data(as_text=True)
    record = answer.get_json()
    assert (record["said"], record["results"][0]["outcome"]) == (False, "appointment_booked")
    hidden = {"summary", "data", "transcript", "latencies", "tool_calls", "recording_parts"}
    assert {name for name, value in record["results"][0].items() if value is None} == {*hidden, "erased_at"}
    assert api.get(f"/v1/calls/{call.id}/results", key=narrow).get_json()["code"] == "missing_scope"


def test_a_recording_is_part_of_the_record(api: Api, world: World, call: Placed) -> None:
    to_be_recorded(world.database, call)
    recordings.expect(world.database, call.attempt, datetime.now(UTC))
    record = api.get(f"/v1/calls/{call.id}/record").get_json()
    assert record["recordings"] == api.get(f"/v1/calls/{call.id}/recordings").get_json()["data"] != []


def test_erased_is_erased(api: Api, world: World, call: Placed, bearer: str, heard: None, order: Order) -> None:
    call = placed(api, world.database, order())
    bearer = token_of(world.database, world.ours.id, call)
    kept = placed(api, world.database, order())
    hand_in(api, call, bearer)
    hand_in(api, kept, token_of(world.database, world.ours.id, kept))
    erased = api.send("DELETE", f"/v1/calls/{call.id}/results")
    assert erased.status_code == 200
    (result,) = erased.get_json()["data"]
    assert (result["outcome"], result["turn_count"], result["erased_at"] is not None) == ("appointment_booked", 2, True)
    assert [result[name] for name in ("summary", "data", "transcript")] == [None] * 3
    assert api.send("DELETE", f"/v1/calls/{call.id}/results").get_json() == erased.get_json()
    assert_nothing_is_left(world.database, call)
    assert api.get(f"/v1/calls/{kept.id}/results").get_json()["data"][0]["transcript"] == RESULT["transcript"]
    assert told_of(world.database, kept)[-1][2]["data"]["result"]["summary"] == RESULT["summary"]
    assert hand_in(api, call, bearer).headers["Idempotent-Replayed"] == "true"
    types = [one["type"] for one in api.get(f"/v1/calls/{call.id}/record").get_json()["events"]]
    assert types[-1] == "result.erased"


def assert_nothing_is_left(database: Database, call: Placed) -> None:
    with database.connection() as conn:
        for table, column in (("call_results", "call_id"), ("outbox", "call_id"), ("call_events", "call_id")):
            rows = conn.execute(f"SELECT t::text FROM {table} t WHERE {column} = %s".encode(), (call.call,)).fetchall()
            assert rows
            assert not any("Tuesday" in row[0] or "4711" in row[0] for row in rows), table


def test_its_time_is_that_of_a_recording_of_the_call(
    api: Api, world: World, order: Order, clock: Clock, heard: None
) -> None:
    clock.fixed = now = datetime.now(UTC)

    def kept(call: Placed) -> timedelta:
        hand_in(api, call, token_of(world.database, world.ours.id, call))
        return results.list_results(world.database, world.ours.id, call.call)[0].retention_until - now

    def plain() -> Placed:
        return placed(api, world.database, order())

    while results.erase_due(world.database, now + timedelta(days=3) - timedelta(seconds=1), 100):
        pass  # what tests before this one left
    recorded = plain()
    to_be_recorded(world.database, recorded)
    assert kept(plain()) == timedelta(days=30)
    assert kept(recorded) == timedelta(days=3)
    tenants.update(world.database, "ours", recording_days=7)
    try:
        last = plain()
        assert kept(last) == timedelta(days=7)
        assert kept(recorded) == timedelta(days=3), "it was handed in before"
    finally:
        tenants.update(world.database, "ours", recording_days=None)
    assert results.erase_due(world.database, now + timedelta(days=3) - timedelta(seconds=1), 100) == 0
    while results.erase_due(world.database, now + timedelta(days=7), 1):
        pass
    ended = {one: results.list_results(world.database, world.ours.id, one.call)[0] for one in (recorded, last)}
    assert all(one.erased_at is not None and one.body is None for one in ended.values())
    assert_nothing_is_left(world.database, last)


def test_nothing_that_was_said_is_logged(api: Api, call: Placed, bearer: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hand_in(api, call, bearer)
    hand_in(api, call, bearer, {**RESULT, "outcome": "other"})
    hand_in(api, call, bearer, {**RESULT, "mood": SECRET_WORDS})
    api.get(f"/v1/calls/{call.id}/record")
    said = [str(vars(record)) + record.getMessage() for record in caplog.records]
    assert said
    assert not any("4711" in line or "Tuesday" in line or bearer in line for line in said)


def test_a_test_key_reads_the_record_of_a_test_call_alone(api: Api, world: World, call: Placed) -> None:
    _, testing = keys.create(world.database, tenant_id=world.ours.id, mode="test", scopes=["calls:read"])
    assert api.get(f"/v1/calls/{call.id}/record", key=testing).status_code == 404
