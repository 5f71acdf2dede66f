"""Every kind of bad input: the right 4xx, the field named, no row written and nothing in Redis."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from calls.ids import agent_ref, call_ref, new_uuid7
from tests.web.conftest import FROM, NO_ROUTE, TO, Api, World, named

OMIT = object()


def laned(redis: Redis) -> list[str]:
    """Everything in Redis but the counters of requests."""
    return sorted(str(key) for key in redis.scan_iter() if ":requests:" not in str(key))


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = {"a": value}
    return value


def window(**changes: Any) -> dict[str, Any]:
    return {"time_zone": "Europe/Berlin", "from": "09:00", "to": "20:00", **changes}


# (changes to an acceptable body, the place that must be named, its code)
FIELDS: list[tuple[dict[str, Any], str, str]] = [
    # the form of to
    ({"to": OMIT}, "/to", "required"),
    ({"to": None}, "/to", "wrong_type"),
    ({"to": 4930123456}, "/to", "wrong_type"),
    ({"to": ["+4930123456"]}, "/to", "wrong_type"),
    ({"to": ""}, "/to", "empty"),
    ({"to": "4930123456"}, "/to", "missing_plus"),
    ({"to": "004930123456"}, "/to", "missing_plus"),
    ({"to": "+49 30 123456"}, "/to", "forbidden_character"),
    ({"to": "+49-30-123456"}, "/to", "forbidden_character"),
    ({"to": " +4930123456"}, "/to", "forbidden_character"),
    ({"to": "+4930123456\n"}, "/to", "forbidden_character"),
    ({"to": "+4930123456\r\n\r\napi status"}, "/to", "forbidden_character"),
    ({"to": "+49{x=y}30123456"}, "/to", "forbidden_character"),
    ({"to": "+4930123456|+4930123457"}, "/to", "forbidden_character"),
    ({"to": "+4930123456,+4930123457"}, "/to", "forbidden_character"),
    ({"to": "+4930123456}"}, "/to", "forbidden_character"),
    ({"to": "+٤٩٣٠١٢٣٤٥٦"}, "/to", "forbidden_character"),
    ({"to": "sip:alice@example.com"}, "/to", "forbidden_character"),
    ({"to": "+4930123456;ext=5"}, "/to", "forbidden_character"),
    ({"to": "+49"}, "/to", "too_short"),
    ({"to": "+4930123456789012345"}, "/to", "too_long"),
    ({"to": "+99930123456"}, "/to", "unknown_country"),
    # to: what may never be dialed
    ({"to": "112"}, "/to", "emergency"),
    ({"to": "+49112"}, "/to", "emergency"),
    ({"to": "911"}, "/to", "emergency"),
    ({"to": "+499001234567"}, "/to", "premium_rate"),
    ({"to": "+449011234567"}, "/to", "premium_rate"),
    ({"to": "+870773111632"}, "/to", "no_country"),
    ({"to": NO_ROUTE}, "/to", "no_route"),
    # from
    ({"from": OMIT}, "/from", "required"),
    ({"from": True}, "/from", "wrong_type"),
    ({"from": "anonymous"}, "/from", "forbidden_character"),
    ({"from": FROM + "\n"}, "/from", "forbidden_character"),
    ({"from": FROM + ",x"}, "/from", "forbidden_character"),
    ({"from": "+15550000000"}, "/from", "invalid_number"),
    # agent_id
    ({"agent_id": OMIT}, "/agent_id", "required"),
    ({"agent_id": 7}, "/agent_id", "wrong_type"),
    ({"agent_id": ""}, "/agent_id", "bad_format"),
    ({"agent_id": "agent_" + "0" * 31}, "/agent_id", "bad_format"),
    ({"agent_id": "agent_" + "0" * 32 + "\n"}, "/agent_id", "bad_format"),
    ({"agent_id": "agent_" + "0" * 32 + "{"}, "/agent_id", "bad_format"),
    ({"agent_id": "call_" + "0" * 32}, "/agent_id", "bad_format"),
    ({"agent_id": "agent_" + "0" * 32}, "/agent_id", "unknown_agent"),
    # objects
    ({"metadata": "x"}, "/metadata", "wrong_type"),
    ({"metadata": []}, "/metadata", "wrong_type"),
    ({"metadata": None}, "/metadata", "wrong_type"),
    ({"metadata": {"a": "x" * 17_000}}, "/metadata", "too_large"),
    ({"metadata": {"ä": "ö" * 8_200}}, "/metadata", "too_large"),
    ({"metadata": {"a": "\x00"}}, "/metadata", "bad_character"),
    ({"metadata": {"a": {"b": ["\ud800"]}}}, "/metadata", "bad_character"),
    ({"metadata": {"\x00": 1}}, "/metadata", "bad_character"),
    ({"metadata": nested(40)}, "/metadata", "too_deep"),
    ({"agent_variables": 3}, "/agent_variables", "wrong_type"),
    ({"agent_variables": {"a": "x" * 17_000}}, "/agent_variables", "too_large"),
    ({"agent_variables": {"a b": 1}}, "/agent_variables", "bad_name"),
    ({"agent_variables": {"x\n": 1}}, "/agent_variables", "bad_name"),
    ({"agent_variables": {"api_on_answer}": 1}}, "/agent_variables", "bad_name"),
    # priority
    ({"priority": "highest"}, "/priority", "bad_value"),
    ({"priority": "urgent\n"}, "/priority", "bad_value"),
    ({"priority": 1}, "/priority", "wrong_type"),
    ({"priority": None}, "/priority", "wrong_type"),
    # times
    ({"not_before": "tomorrow"}, "/not_before", "bad_format"),
    ({"not_before": 1_800_000_000}, "/not_before", "wrong_type"),
    ({"not_before": "2026-12-01"}, "/not_before", "bad_format"),
    ({"not_before": "2026-12-01T10:00:00"}, "/not_before", "bad_format"),
    ({"not_before": "2026-13-01T10:00:00Z"}, "/not_before", "bad_format"),
    ({"not_before": "2026-12-01T10:00:60Z"}, "/not_before", "bad_format"),
    ({"not_before": "2026-12-01T10:00:00Z\n"}, "/not_before", "bad_format"),
    ({"not_before": "0001-01-01T00:00:00+14:00"}, "/not_before", "bad_format"),
    ({"not_before": in_days(40)}, "/not_before", "too_far"),
    ({"expires_at": in_days(-1)}, "/expires_at", "in_the_past"),
    ({"expires_at": in_days(400)}, "/expires_at", "too_far"),
    ({"not_before": in_days(2), "expires_at": in_days(1)}, "/expires_at", "before_not_before"),
    # whole numbers
    ({"ring_timeout_s": "30"}, "/ring_timeout_s", "wrong_type"),
    ({"ring_timeout_s": True}, "/ring_timeout_s", "wrong_type"),
    ({"ring_timeout_s": 30.0}, "/ring_timeout_s", "wrong_type"),
    ({"ring_timeout_s": 4}, "/ring_timeout_s", "out_of_range"),
    ({"ring_timeout_s": 121}, "/ring_timeout_s", "out_of_range"),
    ({"ring_timeout_s": -1}, "/ring_timeout_s", "out_of_range"),
    ({"max_duration_s": 9}, "/max_duration_s", "out_of_range"),
    ({"max_duration_s": 10**30}, "/max_duration_s", "out_of_range"),
    ({"max_duration_s": None}, "/max_duration_s", "wrong_type"),
    ({"max_attempts": 0}, "/max_attempts", "out_of_range"),
    ({"max_attempts": 11}, "/max_attempts", "out_of_range"),
    ({"max_attempts": [1]}, "/max_attempts", "wrong_type"),
    # retry
    ({"retry": None}, "/retry", "wrong_type"),
    ({"retry": []}, "/retry", "wrong_type"),
    ({"retry": {"gaps": [5]}}, "/retry/gaps", "unknown_field"),
    ({"retry": {"max_attempts": 0}}, "/retry/max_attempts", "out_of_range"),
    ({"retry": {"max_attempts": 11}}, "/retry/max_attempts", "out_of_range"),
    ({"retry": {"max_attempts": 2}, "max_attempts": 3}, "/retry/max_attempts", "conflict"),
    ({"retry": {"per_day": 0}}, "/retry/per_day", "out_of_range"),
    ({"retry": {"per_day": None}}, "/retry/per_day", "wrong_type"),
    ({"retry": {"number_per_day": 1001}}, "/retry/number_per_day", "out_of_range"),
    ({"retry": {"on_unknown": "yes"}}, "/retry/on_unknown", "wrong_type"),
    ({"retry": {"on_declined": 1}}, "/retry/on_declined", "wrong_type"),
    ({"retry": {"busy_gaps_s": 60}}, "/retry/busy_gaps_s", "wrong_type"),
    ({"retry": {"busy_gaps_s": []}}, "/retry/busy_gaps_s", "bad_length"),
    ({"retry": {"busy_gaps_s": [60] * 11}}, "/retry/busy_gaps_s", "bad_length"),
    ({"retry": {"busy_gaps_s": [60, 0]}}, "/retry/busy_gaps_s/1", "out_of_range"),
    ({"retry": {"no_answer_gaps_s": ["60"]}}, "/retry/no_answer_gaps_s/0", "wrong_type"),
    ({"retry": {"no_answer_gaps_s": [True]}}, "/retry/no_answer_gaps_s/0", "wrong_type"),
    ({"retry": {"carrier_gaps_s": [604_801]}}, "/retry/carrier_gaps_s/0", "out_of_range"),
    # window: no time zone, no dial
    ({"window": {"from": "09:00", "to": "20:00"}}, "/window/time_zone", "required"),
    ({"window": window(time_zone=None)}, "/window/time_zone", "wrong_type"),
    ({"window": window(time_zone="")}, "/window/time_zone", "unknown_time_zone"),
    ({"window": window(time_zone="Mars/Base")}, "/window/time_zone", "unknown_time_zone"),
    ({"window": window(time_zone="europe/berlin")}, "/window/time_zone", "unknown_time_zone"),
    ({"window": window(time_zone="+01:00")}, "/window/time_zone", "unknown_time_zone"),
    ({"window": window(time_zone="localtime")}, "/window/time_zone", "unknown_time_zone"),
    ({"window": window(time_zone="localtime")}, "/window/time_zone", "unknown_time_zone"),
    ({"window": window(time_zone="Etc/GMT+5")}, "/window/time_zone", "no_place"),
    ({"window": window(time_zone="../../etc/passwd")}, "/window/time_zone", "unknown_time_zone"),
    ({"window": window(days=[])}, "/window/days", "bad_length"),
    ({"window": window(days="mon")}, "/window/days", "wrong_type"),
    ({"window": window(days=["Monday"])}, "/window/days/0", "bad_value"),
    ({"window": {"time_zone": "UTC", "to": "20:00"}}, "/window/from", "required"),
    ({"window": window(**{"from": "9:00"})}, "/window/from", "bad_format"),
    ({"window": window(**{"from": 9})}, "/window/from", "wrong_type"),
    ({"window": window(to="24:01")}, "/window/to", "bad_format"),
    ({"window": window(to="20:00:00")}, "/window/to", "bad_format"),
    ({"window": window(to="09:00")}, "/window/to", "not_after_from"),
    ({"window": window(**{"from": "22:00", "to": "06:00"})}, "/window/to", "not_after_from"),
    ({"window": window(tz="UTC")}, "/window/tz", "unknown_field"),
    ({"window": window(**{"from": "09:00", "to": "09:01"}), "ring_timeout_s": 36}, "/window", "never_open"),
    # webhook_url
    ({"webhook_url": "hooks.example.com"}, "/webhook_url", "bad_format"),
    ({"webhook_url": "ftp://hooks.example.com/"}, "/webhook_url", "bad_scheme"),
    ({"webhook_url": "http://hooks.example.com/"}, "/webhook_url", "bad_scheme"),
    ({"webhook_url": "https://user:secret@hooks.example.com/"}, "/webhook_url", "user_info"),
    ({"webhook_url": "https://127.0.0.1/x"}, "/webhook_url", "private_address"),
    ({"webhook_url": "https://[::1]/x"}, "/webhook_url", "private_address"),
    ({"webhook_url": "https://169.254.169.254/latest"}, "/webhook_url", "private_address"),
    ({"webhook_url": "https://localhost/x"}, "/webhook_url", "private_address"),
    ({"webhook_url": "https://168.63.129.16/x"}, "/webhook_url", "private_address"),
    ({"webhook_url": "https://192.88.99.1/x"}, "/webhook_url", "private_address"),
    ({"webhook_url": "https://224.0.0.1/x"}, "/webhook_url", "private_address"),
    ({"webhook_url": "https://[fec0::1]/x"}, "/webhook_url", "private_address"),
    ({"webhook_url": "https://[::8.8.8.8]/x"}, "/webhook_url", "private_address"),
    ({"webhook_url": "https://[2002:7f00:1::]/x"}, "/webhook_url", "private_address"),
    ({"webhook_url": "https://[64:ff9b::127.0.0.1]/x"}, "/webhook_url", "private_address"),
    ({"webhook_url": "https://[64:ff9b:1::808:808]/x"}, "/webhook_url", "private_address"),
    ({"webhook_url": "https://[::ffff:127.0.0.1]/x"}, "/webhook_url", "private_address"),
    ({"webhook_url": "https://2130706433/x"}, "/webhook_url", "bad_format"),
    ({"webhook_url": "https://0x7f.1/x"}, "/webhook_url", "bad_format"),
    ({"webhook_url": "https://127.0.0.1./x"}, "/webhook_url", "bad_format"),
    ({"webhook_url": "https://hooks.example.com/a\r\nHost: x"}, "/webhook_url", "bad_character"),
    ({"webhook_url": "https://hooks.example.com/{id}"}, "/webhook_url", "bad_character"),
    ({"webhook_url": "https://hooks.example.com/a b"}, "/webhook_url", "bad_format"),
    ({"webhook_url": "https://hooks.example.com:99999/"}, "/webhook_url", "bad_format"),
    ({"webhook_url": "https:///x"}, "/webhook_url", "bad_format"),
    ({"webhook_url": "https://hooks.example.com/" + "x" * 2048}, "/webhook_url", "bad_length"),
    ({"webhook_url": {}}, "/webhook_url", "wrong_type"),
    # client_reference
    ({"client_reference": ""}, "/client_reference", "bad_length"),
    ({"client_reference": "x" * 256}, "/client_reference", "bad_length"),
    ({"client_reference": "a\nb"}, "/client_reference", "bad_character"),
    ({"client_reference": "a|b"}, "/client_reference", "bad_character"),
    ({"client_reference": "a\u2028b"}, "/client_reference", "bad_character"),
    ({"client_reference": 12}, "/client_reference", "wrong_type"),
    # unknown fields, by name
    ({"too": TO}, "/too", "unknown_field"),
    ({"tenant_id": "x"}, "/tenant_id", "unknown_field"),
    ({"a/b~c": 1}, "/a~1b~0c", "unknown_field"),
    ({"from_": FROM}, "/from_", "unknown_field"),
]


@pytest.mark.parametrize(("changes", "where", "code"), FIELDS, ids=[f"{i}-{w}-{c}" for i, (_, w, c) in enumerate(FIELDS)])
def test_a_bad_field_is_named_and_nothing_is_kept(
    api: Api, world: World, redis: Redis, order: Callable[..., Any], changes: Any, where: str, code: str
) -> None:
    body = {name: value for name, value in order(**changes).items() if value is not OMIT}
    before = (world.counts(), laned(redis))

    response = api.post("/v1/calls", body, headers={"Idempotency-Key": "bad-input"})

    assert (response.status_code, named(response)) == (422, {where: code}), response.get_json()
    assert (world.counts(), laned(redis)) == before


# (raw body, content type, status, code)
BODIES: list[tuple[bytes, str, int, str]] = [
    (b"", "application/json", 400, "malformed_json"),
    (b"{", "application/json", 400, "malformed_json"),
    (b"{'to': 1}", "application/json", 400, "malformed_json"),
    (b'{"to": "a", "to": "b"}', "application/json", 400, "malformed_json"),
    (b'{"metadata": {"x": NaN}}', "application/json", 400, "malformed_json"),
    (b'{"metadata": {"x": -Infinity}}', "application/json", 400, "malformed_json"),
    (b'{"metadata": {"x": 1e400}}', "application/json", 400, "malformed_json"),
    (b'{"metadata": {"x": ' + b"9" * 5000 + b"}}", "application/json", 400, "malformed_json"),
    (b'{"to": "\xff"}', "application/json", 400, "malformed_json"),
    (b"\xef\xbb\xbf{}", "application/json", 400, "malformed_json"),
    (b"[" * 60_000, "application/json", 400, "malformed_json"),
    (b'{"a":' * 10_000, "application/json", 400, "malformed_json"),
    (b"{} {}", "application/json", 400, "malformed_json"),
    (b"[]", "application/json", 422, "invalid_request"),
    (b'"x"', "application/json", 422, "invalid_request"),
    (b"null", "application/json", 422, "invalid_request"),
    (b"[" * 500 + b"]" * 500, "application/json", 422, "invalid_request"),
    (b"{}", "text/plain", 415, "unsupported_media_type"),
    (b"to=%2B4930123456", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    (b"{}", "", 415, "unsupported_media_type"),
    (b'{"metadata": "' + b"x" * 70_000 + b'"}', "application/json", 413, "body_too_large"),
]


@pytest.mark.parametrize(("data", "content_type", "status", "code"), BODIES, ids=[str(i) for i in range(len(BODIES))])
def test_a_bad_body_is_refused_and_nothing_is_kept(
    api: Api, world: World, redis: Redis, data: bytes, content_type: str, status: int, code: str
) -> None:
    before = (world.counts(), laned(redis))

    response = api.post("/v1/calls", data=data, content_type=content_type)

    assert (response.status_code, response.get_json()["code"]) == (status, code)
    assert (world.counts(), laned(redis)) == before


@pytest.mark.parametrize(("written", "meant"), [("agentId", "agent_id"), ("To", "to"), ("maxAttempts", "max_attempts")])
def test_a_field_that_is_written_as_elsewhere_is_told_as_it_is_here(
    api: Api, order: Callable[..., Any], written: str, meant: str
) -> None:
    response = api.post("/v1/calls", order(**{written: "x", "colour": 1}))
    told = {error["pointer"]: error["detail"] for error in response.get_json()["errors"]}
    assert told["/" + written] == f"is not known here; {meant} is"
    assert told["/colour"].startswith("is not known here; known are: agent_id, ")


def test_the_largest_body_is_read_and_one_byte_more_is_not(api: Api, order: Callable[..., Any]) -> None:
    body = json.dumps(order()).encode()
    fits, too_large = body.ljust(65_536), body.ljust(65_537)
    assert api.post("/v1/calls", data=fits, content_type="application/json").status_code == 202
    assert api.post("/v1/calls", data=too_large, content_type="application/json").status_code == 413


def test_a_compressed_body_is_refused(api: Api, order: Callable[..., Any]) -> None:
    response = api.post("/v1/calls", order(), headers={"Content-Encoding": "gzip"})
    assert response.status_code == 415


def test_all_faults_are_told_at_once(api: Api, order: Callable[..., Any]) -> None:
    response = api.post("/v1/calls", order(to="112", ring_timeout_s="30", color="red"))
    assert named(response) == {"/to": "emergency", "/ring_timeout_s": "wrong_type", "/color": "unknown_field"}


def test_another_tenants_agent_is_like_none(api: Api, world: World, order: Callable[..., Any]) -> None:
    before = world.counts()
    response = api.post("/v1/calls", order(agent_id=agent_ref(world.their_agent.id)))
    assert (response.status_code, named(response)) == (422, {"/agent_id": "unknown_agent"})
    assert world.counts() == before


QUERIES: list[tuple[str, str, str]] = [
    ("limit=0", "limit", "out_of_range"),
    ("limit=201", "limit", "out_of_range"),
    ("limit=-1", "limit", "wrong_type"),
    ("limit=ten", "limit", "wrong_type"),
    ("limit=1.5", "limit", "wrong_type"),
    ("limit=%D9%A1", "limit", "wrong_type"),
    ("limit=", "limit", "wrong_type"),
    ("limit=1&limit=2", "limit", "given_twice"),
    ("starting_after=x", "starting_after", "bad_format"),
    ("starting_after=call_%0A", "starting_after", "bad_format"),
    ("status=done", "status", "bad_value"),
    ("status=queued%0A", "status", "bad_value"),
    ("page=2", "page", "unknown_field"),
]


@pytest.mark.parametrize(("query", "where", "code"), QUERIES)
def test_a_bad_query_is_named(api: Api, query: str, where: str, code: str) -> None:
    response = api.get(f"/v1/calls?{query}")
    assert (response.status_code, named(response)) == (422, {where: code})
    assert "parameter" in response.get_json()["errors"][0]


AGENTS: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({}, {"/name": "required", "/kind": "required"}),
    ({"name": "Bot", "kind": "websocket", "url": "wss://bot.example.com"}, {"/name": "bad_format"}),
    ({"name": "bot\n", "kind": "websocket", "url": "wss://bot.example.com"}, {"/name": "bad_character"}),
    ({"name": "bot", "kind": "sip", "url": "wss://bot.example.com"}, {"/number": "required", "/url": "not_allowed"}),
    ({"name": "bot", "kind": "human", "url": "wss://bot.example.com"}, {"/kind": "bad_value"}),
    ({"name": "bot", "kind": "websocket"}, {"/url": "required"}),
    ({"name": "bot", "kind": "websocket", "url": "ws://bot.example.com"}, {"/url": "bad_scheme"}),
    ({"name": "bot", "kind": "websocket", "url": "https://bot.example.com"}, {"/url": "bad_scheme"}),
    ({"name": "bot", "kind": "websocket", "url": "wss://10.0.0.1/"}, {"/url": "private_address"}),
    (
        {"name": "bot", "kind": "websocket", "url": "wss://bot.example.com", "audio": "a.wav"},
        {"/audio": "not_allowed"},
    ),
    ({"name": "bot", "kind": "announcement"}, {"/audio": "required"}),
    ({"name": "bot", "kind": "announcement", "audio": "../../etc/passwd"}, {"/audio": "bad_format"}),
    ({"name": "bot", "kind": "announcement", "audio": "a.wav", "url": "wss://x.example"}, {"/url": "not_allowed"}),
    ({"name": "bot", "kind": "announcement", "audio": "a.wav", "voice": "x"}, {"/voice": "unknown_voice"}),
]


@pytest.mark.parametrize(("body", "faults"), AGENTS)
def test_a_bad_agent_is_refused(api: Api, world: World, body: dict[str, Any], faults: dict[str, str]) -> None:
    before = world.counts()
    response = api.post("/v1/agents", body)
    assert (response.status_code, named(response)) == (422, faults)
    assert world.counts() == before


def test_a_private_address_is_for_laboratories(
    api: Api, order: Callable[..., Any], settings: Any, world: World, redis: Redis
) -> None:
    from web.app import create_app

    lab = create_app(settings(webhook_allow_private=True, agent_allow_private=True), database=world.database, redis=redis)
    body = order(webhook_url="http://127.0.0.1:9/x")
    assert api.post("/v1/calls", body).status_code == 422
    assert Api(lab, api.key).post("/v1/calls", body).status_code == 202


BAD_IDS = [
    "call_",
    "call_" + "0" * 31,
    "call_" + "0" * 33,
    "call_" + "G" * 32,
    "call_" + "A" * 32,
    "agent_" + "0" * 32,
    "%0Acall_" + "0" * 32,
    "call_" + "0" * 32 + "%0A",
    "call_" + "0" * 31 + "{",
    "call_%7B%7D%7C%2C",
    "0190b2c3-d4e5-7f60-7182-93a4b5c6d7e8",
    "' OR 1=1 --",
]


@pytest.mark.parametrize("bad", BAD_IDS)
@pytest.mark.parametrize("path", ["", "/events", "/attempts"])
def test_an_id_that_cannot_exist_is_not_found(api: Api, bad: str, path: str) -> None:
    assert api.get(f"/v1/calls/{bad}{path}").status_code == 404
    assert api.post(f"/v1/calls/{bad}/actions/hangup").status_code == 404


def test_an_unknown_call_is_not_found(api: Api) -> None:
    response = api.get(f"/v1/calls/{call_ref(new_uuid7())}")
    assert (response.status_code, response.get_json()["code"]) == (404, "not_found")


def test_no_refusal_repeats_what_was_sent(api: Api, order: Callable[..., Any]) -> None:
    """The sender's values may be personal; a refusal names the field and not its value."""
    response = api.post("/v1/calls", order(to="+49 30 7654321", client_reference="secret|word"))
    text = json.dumps(response.get_json())
    assert response.status_code == 422
    assert "7654321" not in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"number_pool_id": "pool_1"}, "/number_pool_id"),
        ({"screening": {"mode": "detect"}}, "/screening"),
        ({"recording": {"channels": 1}}, "/recording/channels"),
    ],
)
def test_what_is_not_there_yet_is_refused_with_what_to_do(
    api: Api, order: Callable[..., dict[str, Any]], changes: dict[str, Any], pointer: str
) -> None:
    response = api.post("/v1/calls", order(**changes))
    (fault,) = response.get_json()["errors"]
    assert (response.status_code, fault["pointer"], fault["code"]) == (422, pointer, "not_supported_yet")
    assert "known are" not in fault["detail"]
