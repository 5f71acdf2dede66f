"""The description is valid OpenAPI 3.1, complete and true; its page asks nobody else for anything."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask, request, request_finished
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

from calls.access import SCOPES
from calls.ids import recording_ref
from store import calls, keys, recordings, results, tenants
from store.results import NewResult
from tests.web.conftest import Api, World
from web.api.idempotency import in_flight
from web.codes import codes

Operation = tuple[str, str]


@pytest.fixture
def spec(api: Api) -> dict[str, Any]:
    response = api.get("/v1/openapi.json", key="")
    assert response.status_code == 200
    document: dict[str, Any] = response.get_json()
    return document


def operations(spec: dict[str, Any]) -> Iterator[tuple[Operation, dict[str, Any]]]:
    for path, item in spec["paths"].items():
        for method, operation in item.items():
            if method in ("get", "post", "put", "patch", "delete"):
                yield (method.upper(), path), operation


def follow(spec: dict[str, Any], thing: dict[str, Any]) -> dict[str, Any]:
    """The thing behind a local reference."""
    while "$ref" in thing:
        target: Any = spec
        for step in thing["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        thing = target
    return thing


def closed(spec: dict[str, Any]) -> dict[str, Any]:
    """The schemas as if answers could hold nothing else, so that no undescribed member passes."""
    return {
        name: {"additionalProperties": False, **schema} if "properties" in schema else schema
        for name, schema in spec["components"]["schemas"].items()
    }


def test_it_is_valid_openapi_3_1(spec: dict[str, Any]) -> None:
    assert spec["openapi"].startswith("3.1.")
    errors = [str(error) for error in OpenAPIV31SpecValidator(spec).iter_errors()]
    assert errors == []


def test_every_route_is_described(app: Flask, spec: dict[str, Any]) -> None:
    described = {operation for operation, _ in operations(spec)}
    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/v1/") and not rule.rule.startswith(("/v1/docs", "/v1/openapi.json"))
    }
    assert described == served


def test_every_operation_says_what_it_is_and_wants_a_key(spec: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(spec)]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for _, operation in operations(spec))
    assert all(operation.get("tags") for _, operation in operations(spec))
    assert spec["security"] == [{"api_key": []}]
    schemes = spec["components"]["securitySchemes"]
    assert {name: scheme["scheme"] for name, scheme in schemes.items()} == {"api_key": "bearer", "operator_key": "bearer"}
    for (_, path), operation in operations(spec):
        ((kind, scopes),) = operation["security"][0].items()
        operators = path.startswith("/v1/operator/")
        assert (kind, len(scopes)) == (("operator_key", 0) if operators else ("api_key", 1)), path
        assert set(scopes) <= set(SCOPES)


def test_every_described_answer_occurs_and_fits_its_schema(
    app: Flask, api: Api, world: World, spec: dict[str, Any], order: Callable[..., Any], monkeypatch: Any
) -> None:
    with answers_that_fit(app, spec, lambda path: not path.startswith("/v1/operator/")):
        _provoke(api, world, spec, order, monkeypatch)


@contextmanager
def answers_that_fit(app: Flask, spec: dict[str, Any], chosen: Callable[[str], bool]) -> Iterator[None]:
    """What is answered in the block is all that is described of the chosen paths, and each answer fits its schema."""
    answers: dict[tuple[str, str, int], Any] = {}

    def note(_app: Flask, response: Any) -> None:
        if request.url_rule is not None:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", request.url_rule.rule)
            answers[(request.method, path, response.status_code)] = response

    with request_finished.connected_to(note, app):
        yield
    expected = {
        (method, path, int(status)): follow(spec, answer)
        for (method, path), operation in operations(spec)
        for status, answer in operation["responses"].items()
        if chosen(path)
    }
    assert set(answers) == set(expected)
    for operation, answer in expected.items():
        response = answers[operation]
        media_type = response.mimetype
        assert media_type in answer["content"], operation
        schema = {**answer["content"][media_type]["schema"], "components": {"schemas": closed(spec)}}
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(response.get_json())
        for header in answer.get("headers", {}):
            if header != "Idempotent-Replayed":
                assert header in response.headers, operation


def test_every_example_fits_its_schema(spec: dict[str, Any]) -> None:
    """Requests, answers and refusals all have one, and parameters."""
    components = {"schemas": closed(spec)}

    def judge(schema: dict[str, Any], example: Any, where: Any) -> None:
        faults = Draft202012Validator({**schema, "components": components}, format_checker=FormatChecker()).iter_errors(
            example
        )
        assert [fault.message for fault in faults] == [], where

    for operation, described in operations(spec):
        bodies = list(described.get("requestBody", {}).get("content", {}).values())
        for status, answer in described["responses"].items():
            found = follow(spec, answer)
            assert "X-Request-Id" in found["headers"], (operation, status)
            for body in found["content"].values():
                bodies.append(body)
                if int(status) >= 400:
                    told = {example["value"]["code"] for example in body["examples"].values()}
                    assert told <= {code.code for code in codes().of_status(int(status))}
                    assert told, (operation, status)
        for body in bodies:
            examples = [body["example"]] if "example" in body else [one["value"] for one in body["examples"].values()]
            assert examples, operation
            for example in examples:
                judge(body["schema"], example, operation)
        for parameter in [*described.get("parameters", []), *spec["paths"][operation[1]].get("parameters", [])]:
            assert parameter.get("description") or parameter["name"] == "limit", (operation, parameter["name"])
            schema = parameter["schema"]
            judge(
                schema,
                parameter.get("example", schema.get("example", schema.get("default"))),
                (operation, parameter["name"]),
            )


def test_links_lead_from_each_thing_to_what_can_be_done_with_it(spec: dict[str, Any]) -> None:
    by_id = {described["operationId"]: (operation, described) for operation, described in operations(spec)}

    def links(operation_id: str) -> dict[str, Any]:
        answers = by_id[operation_id][1]["responses"].items()
        return {name: link for status, one in answers if status[0] == "2" for name, link in one.get("links", {}).items()}

    assert {"getCall", "listCallEvents", "listCallAttempts", "hangUpCall", "getCallQueue"} <= links("placeCall").keys()
    assert links("placeCall")["hangUpCall"]["parameters"] == {"call_id": "$response.body#/id"}
    assert links("listCalls")["getCall"]["parameters"] == {"call_id": "$response.body#/data/0/id"}
    assert links("listCallActions")["getCallAction"]["parameters"] == {
        "call_id": "$request.path.call_id",
        "action_id": "$response.body#/data/0/id",
    }
    led_to = {name for operation_id in by_id for name in _links_of(spec, by_id[operation_id][1])}
    for operation_id, ((_, path), _) in by_id.items():
        if "{" in path:
            assert operation_id in led_to, f"no link leads to {operation_id}"


def _links_of(spec: dict[str, Any], described: dict[str, Any]) -> Iterator[str]:
    for answer in described["responses"].values():
        yield from (link["operationId"] for link in follow(spec, answer).get("links", {}).values())


def _recorded(world: World, call: str) -> str:
    """The call is talked on, and recorded; the recording's id."""
    with world.database.connection() as conn:
        conn.execute("""UPDATE calls SET recording = '{"start": "answer", "days": 1}' WHERE id = %s""", (call[5:],))
        answered = "UPDATE attempts SET state = 'in_progress', switch = 'fs1' WHERE call_id = %s RETURNING id"
        row = conn.execute(answered, (call[5:],)).fetchone()
    assert row is not None
    recordings.expect(world.database, row[0], datetime.now(UTC))
    (made,) = recordings.list_recordings(world.database, world.ours.id, UUID(call[5:]))
    return recording_ref(made.id)


def _handed_in(world: World, call: str) -> None:
    """Its agent handed in what came of it."""
    attempt = calls.list_attempts(world.database, world.ours.id, UUID(call[5:]))[0].id
    agent = world.our_agent.id
    turns = [{"speaker": "agent", "text": "Hello."}]
    new = NewResult("done", "All is well.", {"data": {}, "transcript": turns}, bytes(32))
    assert results.take(world.database, world.ours.id, attempt, agent, new, days=1, now=datetime.now(UTC)) is not None


def _suppress(api: Api) -> None:
    one = {"number": "+4930999991", "source": "described"}
    several = {"numbers": ["+4930999992", "none"], "source": "described", "obtained_at": "2026-03-01T00:00:00Z"}
    for path, body, too_large in (("", one, 70_000), ("/import", several, 1_100_000)):
        api.post(f"/v1/suppressions{path}", data=b"x" * too_large, content_type="application/json")
        api.post(f"/v1/suppressions{path}", data=b"x", content_type="application/json")
        api.post(f"/v1/suppressions{path}", data=b"x", content_type="text/plain")
        api.post(f"/v1/suppressions{path}", {})
        assert api.post(f"/v1/suppressions{path}", body).status_code in (200, 201)
    (made, *_) = api.get("/v1/suppressions").get_json()["data"]
    api.get("/v1/suppressions?limit=x")
    for known in (made["id"], f"suppression_{'0' * 32}"):
        api.get(f"/v1/suppressions/{known}")
        api.send("DELETE", f"/v1/suppressions/{known}?reason=described")
        api.send("DELETE", f"/v1/suppressions/{known}")


def _provoke(api: Api, world: World, spec: dict[str, Any], order: Callable[..., Any], monkeypatch: Any) -> None:
    nobody, anybody, nothing = f"call_{'0' * 32}", f"agent_{'0' * 32}", f"recording_{'0' * 32}"
    none = f"batch_{'0' * 32}"
    agent = {"name": "described", "kind": "announcement", "audio": "a.wav"}
    key = {"name": "described", "scopes": ["limits:read"]}
    for path, body in (("/v1/calls", order()), ("/v1/agents", agent), ("/v1/keys", key)):
        api.post(path, data=b"x" * 70_000, content_type="application/json")
        api.post(path, data=b"x", content_type="application/json")
        api.post(path, data=b"x", content_type="text/plain")
        api.post(path, {})
        assert api.post(path, body).status_code in (201, 202)
        assert api.get(path).status_code == 200
        api.get(f"{path}?limit=x")
    api.post("/v1/agents", agent)
    api.post("/v1/keys", key)
    _provoke_keys(api)
    api.post("/v1/batches", data=b" " * (9 << 20), content_type="application/json")
    api.post("/v1/batches", data=b"x", content_type="application/json")
    api.post("/v1/batches", data=b"x", content_type="text/plain")
    api.post("/v1/batches", {})
    batch = api.post("/v1/batches", {"calls": [order(), order(to="112")]})
    assert batch.status_code == 202
    for known in (batch.get_json()["id"], none):
        api.get(f"/v1/batches/{known}")
        api.post(f"/v1/batches/{known}/cancel")
    api.get("/v1/batches")
    api.get("/v1/batches?limit=x")
    call = api.get("/v1/calls?limit=1").get_json()["data"][0]["id"]
    made = api.get("/v1/agents?limit=1").get_json()["data"][0]["id"]
    for known in (call, nobody):
        for suffix in ("", "/events", "/attempts", "/queue"):
            api.get(f"/v1/calls/{known}{suffix}")
        api.post(f"/v1/calls/{known}/actions/hangup", headers={"Idempotency-Key": "described"})
        api.post(f"/v1/calls/{known}/actions/hangup", headers={"Idempotency-Key": "not one"})
        for suffix in ("", "/described", "/nothing"):
            api.get(f"/v1/calls/{known}/actions{suffix}")
        api.get(f"/v1/calls/{known}/queue")
    for known in (made, anybody):
        api.get(f"/v1/agents/{known}")
        where = f"/v1/agents/{known}"
        api.send("PATCH", where, data=b"x" * 70_000, content_type="application/json")
        api.send("PATCH", where, data=b"x", content_type="application/json")
        api.send("PATCH", where, data=b"x", content_type="text/plain")
        api.send("PATCH", where, json={})
        api.send("PATCH", where, json={"name": "another"})
        api.send("PATCH", where, json={"name": "greeter"})
    for known in (made, anybody):
        api.send("DELETE", f"/v1/agents/{known}")
    recorded = api.post("/v1/calls", order()).get_json()["id"]
    made_there = _recorded(world, recorded)
    _handed_in(world, recorded)
    for known in (recorded, call, nobody):
        for suffix in ("recordings", "record", "results"):
            api.get(f"/v1/calls/{known}/{suffix}")
        api.send("DELETE", f"/v1/calls/{known}/results")
        for verb in ("pause_recording", "resume_recording"):
            for key in (verb, "other", "other", "not one"):
                api.post(f"/v1/calls/{known}/actions/{verb}", headers={"Idempotency-Key": key})
    goes_to = {"transfer_to": ["+4930987654"]}
    bot = api.post(
        "/v1/agents", {"name": "bot", "kind": "websocket", "url": "wss://bot.example.com/", **goes_to}
    ).get_json()["id"]
    for known in (bot, made, anybody):
        where = f"/v1/agents/{known}/rotate_secret"
        api.post(where, {})
        for data, kind in ((b"x" * 70_000, "application/json"), (b"x", "application/json"), (b"x", "text/plain")):
            api.post(where, data=data, content_type=kind)
    talked = api.post("/v1/calls", order(agent_id=bot)).get_json()["id"]
    _recorded(world, talked)
    api.send("DELETE", f"/v1/agents/{bot}")
    for known in (talked, call, nobody):
        for verb, body in (
            ("dtmf", {"digits": "1"}),
            ("play", {"audio": "a.wav"}),
            ("transfer", {"to": "+4930987654"}),
            ("hold", {"audio": "a.wav"}),
        ):
            where = f"/v1/calls/{known}/actions/{verb}"
            api.post(where, data=b"x" * 70_000, content_type="application/json")
            api.post(where, data=b"x", content_type="application/json")
            api.post(where, data=b"x", content_type="text/plain")
            api.post(where, {"audio": 1})
            api.post(where, {})
            api.post(where, body)
        for key in ("resumed", "not one"):
            api.post(f"/v1/calls/{known}/actions/resume", headers={"Idempotency-Key": key})
    api.post(f"/v1/calls/{recorded}/actions/hangup", headers={"Idempotency-Key": "other"})
    for known in (made_there, nothing):
        api.get(f"/v1/recordings/{known}")
        api.send("DELETE", f"/v1/recordings/{known}")
    assert api.get("/v1/limits").status_code == 200
    assert api.post("/v1/calls?dry_run=true", order()).status_code == 200
    _suppress(api)
    assert api.get("/v1/caller_ids").status_code == 200
    api.get("/v1/caller_ids?limit=x")
    assert api.post("/v1/calls/actions/cancel_queued").status_code == 202
    with world.database.connection() as conn:
        conn.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('held', hashtextextended(%s::uuid::text, 0)))",
            (world.ours.id,),
        )
        conn.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('held', hashtextextended(%s || %s::uuid::text, 0)))",
            ("POST /v1/batches", world.ours.id),
        )
        api.post("/v1/calls", order(), headers={"Idempotency-Key": "held"})
        api.post("/v1/batches", {"calls": [order()]}, headers={"Idempotency-Key": "held"})

    _provoke_webhooks(api, world)
    refuse_everything(api, world, spec, monkeypatch)


def _provoke_keys(api: Api) -> None:
    made = api.get("/v1/keys?limit=1").get_json()["data"][0]["id"]
    for known in (made, f"key_{'0' * 32}"):
        path = f"/v1/keys/{known}"
        api.get(path)
        for data, kind in ((b"x" * 70_000, "application/json"), (b"x", "application/json"), (b"x", "text/plain")):
            api.post(f"{path}/rotate", data=data, content_type=kind)
        api.post(f"{path}/rotate", {"unknown": 1})
        for _ in range(2):
            api.post(f"{path}/rotate", {})
        api.send("DELETE", path)


#: No key that is taken.
MALFORMED = {"Idempotency-Key": "no key"}


def takes_a_key(operation: dict[str, Any]) -> bool:
    return any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", []))


@contextmanager
def in_flight_always(*_: object) -> Iterator[None]:
    """In the place of web.api.flights.only_one: the first request with the key is always still worked on."""
    raise in_flight()
    yield


def refuse_everything(api: Api, world: World, spec: dict[str, Any], monkeypatch: Any) -> None:
    """Each operation's refusals that come before anything else: no key, another scope, too many, Postgres away."""

    def everything(key: str | None) -> None:
        for (method, path), operation in operations(spec):
            if operation["security"] != [{"operator_key": []}]:
                more = {"json": {}} if "requestBody" in operation else {}
                api.send(method, filled(path), key=key, **more)

    def away(*_: object) -> None:
        raise psycopg.OperationalError("away")

    for (method, path), operation in operations(spec):
        if method == "POST" and operation["security"] != [{"operator_key": []}]:
            more: dict[str, Any] = {"json": {}} if "requestBody" in operation else {}
            refused = api.send(method, filled(path), headers={"Idempotency-Key": "described"}, **more)
            takes = takes_a_key(operation)
            assert (refused.get_json().get("code") == "idempotency_key_not_taken") != takes, path
            if takes:
                assert api.send(method, filled(path), headers=MALFORMED, **more).status_code in (400, 404, 422)
    with monkeypatch.context() as patch:
        patch.setattr("web.api.once.only_one", in_flight_always)
        for (method, path), operation in operations(spec):
            if operation["security"] != [{"operator_key": []}] and takes_a_key(operation) and "requestBody" not in operation:
                api.send(method, filled(path), headers={"Idempotency-Key": "described"})
    everything("")
    for scopes in (("keys:manage",), ("limits:read",)):
        everything(keys.create(world.database, tenant_id=world.ours.id, scopes=scopes)[1])
    tenants.update(world.database, world.theirs.name, requests_per_s=0.001)
    for _ in range(2):  # the first request of all is one that is allowed
        everything(world.their_key)
    tenants.update(world.database, world.theirs.name, requests_per_s=None)
    monkeypatch.setattr("web.auth.keys.authenticate", away)
    everything(None)

    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("web.auth.keys.authenticate", broken)
    everything(None)


def filled(path: str) -> str:
    """With ids of nobody."""
    return re.sub(r"{(\w+)}", lambda match: f"{match[1].removesuffix('_id')}_{'0' * 32}", path)


#: An operation about webhooks, with a body where it takes one; ``{}`` becomes an id.
_WEBHOOKS = (
    ("POST", "/v1/webhook_endpoints", {"url": "https://hooks.example.com/"}),
    ("GET", "/v1/webhook_endpoints", None),
    ("GET", "/v1/webhook_endpoints/{endpoint}", None),
    ("PATCH", "/v1/webhook_endpoints/{endpoint}", {"enabled": True}),
    ("POST", "/v1/webhook_endpoints/{endpoint}/rotate_secret", {}),
    ("POST", "/v1/webhook_endpoints/{endpoint}/test", None),
    ("GET", "/v1/webhook_deliveries", None),
    ("GET", "/v1/webhook_deliveries/{delivery}", None),
    ("POST", "/v1/webhook_deliveries/{delivery}/replay", None),
    ("POST", "/v1/webhook_deliveries/replay", {"endpoint_id": "{endpoint}", "since": "2026-01-01T00:00:00Z"}),
    ("POST", "/v1/webhook_listeners", {}),
    ("POST", "/v1/webhook_listeners/{listener}/poll", {}),
    ("DELETE", "/v1/webhook_listeners/{listener}", None),
    ("DELETE", "/v1/webhook_endpoints/{endpoint}", None),
)


def _webhooks(api: Api, ids: dict[str, str], key: str | None = None) -> None:
    """Each of them once, on these; on nothing where there is none."""
    names = {name: ids.get(name, f"{name}_{'0' * 32}") for name in ("endpoint", "delivery", "listener")}
    for method, path, body in _WEBHOOKS:
        more = {} if body is None else {"json": json.loads(json.dumps(body).replace("{endpoint}", names["endpoint"]))}
        api.send(method, path.format(**names), key=key, **more)


def _provoke_webhooks(api: Api, world: World) -> None:
    for method, path, body in _WEBHOOKS:
        nobody = path.format(
            endpoint=f"endpoint_{'0' * 32}", delivery=f"delivery_{'0' * 32}", listener=f"listener_{'0' * 32}"
        )
        if body is not None:
            for media in ("application/json", "text/plain"):
                api.send(method, nobody, data=b"x", content_type=media)
            api.send(method, nobody, data=b"x" * 70_000, content_type="application/json")
            api.send(method, nobody, json={"nothing": 1})
        else:
            api.send(method, f"{nobody}?limit=x")
    _webhooks(api, {})
    url = {"url": "https://hooks.example.com/"}
    ids = {
        "endpoint": api.post("/v1/webhook_endpoints", url).get_json()["id"],
        "listener": api.post("/v1/webhook_listeners", {}).get_json()["id"],
    }
    ids["delivery"] = api.post(f"/v1/webhook_endpoints/{ids['endpoint']}/test").get_json()["id"]
    api.post(f"/v1/webhook_deliveries/{ids['delivery']}/replay")  # it is under way
    with world.database.connection() as conn:
        conn.execute("UPDATE webhook_deliveries SET status = 'failed', ended_at = now()")
    _webhooks(api, ids)
    off = api.post("/v1/webhook_endpoints", url).get_json()["id"]
    api.send("PATCH", f"/v1/webhook_endpoints/{off}", json={"enabled": False})
    api.post(f"/v1/webhook_endpoints/{off}/test")
    api.post("/v1/webhook_deliveries/replay", {"endpoint_id": off, "since": "2026-01-01T00:00:00Z"})
    while api.post("/v1/webhook_endpoints", url).status_code == 201:
        pass
    while api.post("/v1/webhook_listeners", {}).status_code == 201:
        pass


def test_the_request_schema_tells_what_is_enforced(api: Api, spec: dict[str, Any], order: Callable[..., Any]) -> None:
    """A body the schema takes is taken, and one that breaks a described rule is refused by both."""
    post = spec["paths"]["/v1/calls"]["post"]
    schema = {**post["requestBody"]["content"]["application/json"]["schema"], "components": spec["components"]}
    judge = Draft202012Validator(schema)
    good = order(
        priority="bulk",
        ring_timeout_s=30,
        metadata={"a": 1},
        retry={"max_attempts": 4, "per_day": 2, "on_unknown": True, "busy_gaps_s": [60, 300]},
        window={"time_zone": "Europe/Berlin", "days": ["mon", "sun"], "from": "00:00", "to": "24:00"},
    )
    assert judge.is_valid(good)
    assert api.post("/v1/calls", good).status_code == 202
    for bad in (
        order(priority="x"),
        order(ring_timeout_s=4),
        order(ring_timeout_s="30"),
        order(max_attempts=11),
        order(retry={"max_attempts": 11}),
        order(retry={"busy_gaps_s": []}),
        order(retry={"gaps": [1]}),
        order(window={"from": "09:00", "to": "20:00"}),
        order(window={"time_zone": "UTC", "from": "9:00", "to": "20:00"}),
        order(window={"time_zone": "UTC", "days": ["monday"], "from": "09:00", "to": "20:00"}),
        order(metadata=[]),
        order(unknown=1),
        order(agent_id="agent_x"),
        order(client_reference=""),
        {"to": "+4930123456"},
    ):
        assert not judge.is_valid(bad), bad
        assert api.post("/v1/calls", bad).status_code == 422
    (header,) = [parameter for parameter in post["parameters"] if parameter["in"] == "header"]
    assert (header["name"], header["required"]) == ("Idempotency-Key", False)


class _References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "action", "data-spec")]


def test_the_page_is_made_of_local_files(api: Api) -> None:
    response = api.get("/v1/docs", key="")
    html = response.get_data(as_text=True)
    references = _References()
    references.feed(html)
    assert len(references.found) == 5
    for reference in references.found:
        assert re.fullmatch(r"/v1/[a-z0-9./-]+", reference)
        assert api.get(reference, key="").status_code == 200
    assert "://" not in html
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "://" not in policy
    assert "*" not in policy


def test_the_page_can_read_this_version(api: Api) -> None:
    """Swagger UI before 5 shows an error page for OpenAPI 3.1."""
    script = api.get("/v1/docs/swagger-ui-bundle.js", key="").get_data(as_text=True)
    assert "OpenAPI31" in script or "OpenApi31" in script or "isOAS31" in script
    start = api.get("/v1/docs/docs.js", key="").get_data(as_text=True)
    assert "validatorUrl: null" in start
    assert "://" not in start


def test_the_styles_fetch_nothing(api: Api) -> None:
    css = api.get("/v1/docs/swagger-ui.css", key="").get_data(as_text=True)
    fetched = re.findall(r"url\(\s*[\"']?(?!data:)([^)\"']+)", css)
    assert fetched == []
    assert "@import" not in css


def test_the_description_has_no_machine_in_it(spec: dict[str, Any]) -> None:
    assert spec["servers"] == [{"url": "/"}]
    assert "localhost" not in json.dumps(spec)
