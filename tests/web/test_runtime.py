"""What an agent is given when it asks by its call token, and who is given nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb
from werkzeug.test import TestResponse

from calls.call_token import ID_BYTES, for_attempt, sign
from calls.ids import agent_ref, call_ref, parse_ref
from store import agents, transfers
from store.pool import Database
from tests.web.conftest import Api, Clock, World, named

Order = Callable[..., dict[str, Any]]
URL = "wss://bot.example.com/talk"
RUNTIME = {
    "prompt": "You are Ada.\nBe brief.",
    "voice": {"name": "anna", "speed": 1.1},
    "tools": [{"name": "book", "parameters": {"type": "object"}}],
    "variables": {"company": "Acme", "greeting": "Hello"},
    "settings": {"model": "large"},
}


@dataclass(frozen=True)
class Placed:
    """A call with the attempt that waits for it."""

    id: str
    attempt: UUID

    @property
    def call(self) -> UUID:
        return parse_ref("call", self.id)


def attempts_of(database: Database, call: str) -> list[UUID]:
    with database.connection() as conn:
        found = conn.execute("SELECT id FROM attempts WHERE call_id = %s ORDER BY number", (parse_ref("call", call),))
        return [row[0] for row in found]


def placed(api: Api, database: Database, body: dict[str, Any]) -> Placed:
    response = api.post("/v1/calls", body)
    assert response.status_code == 202, response.get_json()
    id_ = response.get_json()["id"]
    return Placed(id_, attempts_of(database, id_)[0])


def key_of(database: Database, tenant_id: UUID) -> bytes:
    with database.connection() as conn:
        row = conn.execute("SELECT call_token_key FROM tenants WHERE id = %s", (tenant_id,)).fetchone()
    assert row is not None
    return bytes(row[0])


def agent_of(database: Database, call: UUID) -> UUID:
    with database.connection() as conn:
        row = conn.execute("SELECT agent_id FROM calls WHERE id = %s", (call,)).fetchone()
    assert row is not None
    return UUID(str(row[0]))


def token(key: bytes, call: UUID, attempt: UUID, agent: UUID, *, lasts: timedelta = timedelta(hours=3)) -> str:
    made = for_attempt(call, attempt, agent, now=datetime.now(UTC), lasts=lasts, random=os.urandom(ID_BYTES))
    return sign(made, key)


def token_of(database: Database, tenant_id: UUID, call: Placed) -> str:
    return token(key_of(database, tenant_id), call.call, call.attempt, agent_of(database, call.call))


def ask(api: Api, call: str, bearer: str) -> TestResponse:
    return api.get(f"/internal/calls/{call}/runtime-config", key=bearer)


@pytest.fixture
def agent_id(api: Api, world: World) -> str:
    known = agents.get_by_name(world.database, world.ours.id, "ada")
    if known is not None:
        return agent_ref(known.id)
    made = api.post("/v1/agents", {"name": "ada", "kind": "websocket", "url": URL, "runtime": RUNTIME})
    assert made.status_code == 201, made.get_json()
    assert made.get_json()["runtime"] == RUNTIME
    return str(made.get_json()["id"])


def test_an_agent_is_given_what_its_resource_and_its_call_carry(api: Api, world: World, order: Order, agent_id: str) -> None:
    facts = {"metadata": {"order": 17}, "client_reference": "crm-9", "agent_variables": {"greeting": "Moin", "name": "Ada"}}
    call = placed(api, world.database, order(agent_id=agent_id, **facts, max_duration_s=60))
    response = ask(api, call.id, token_of(world.database, world.ours.id, call))
    assert response.status_code == 200, response.get_json()
    assert response.get_json() == {
        "call": {
            "id": call.id, "attempt_id": str(call.attempt), "attempt_number": 1, "state": "queued", "direction": "outbound",
            "to": "+4930123456", "from": "+442079460000", "answered_at": None, "max_duration_s": 60,
            "client_reference": "crm-9", "metadata": {"order": 17}, "recipient": None, "test": False,
        },
        "agent": {"id": agent_id, "name": "ada", "kind": "websocket"},
        **RUNTIME,
        "variables": {"company": "Acme", "greeting": "Moin", "name": "Ada"},
    }  # fmt: skip


def test_an_agent_without_settings_of_its_own_is_given_the_calls(api: Api, world: World, order: Order) -> None:
    call = placed(api, world.database, order(agent_variables={"a": 1}))
    told = ask(api, call.id, token_of(world.database, world.ours.id, call)).get_json()
    members = ("prompt", "voice", "tools", "variables", "settings")
    assert [told[name] for name in members] == [None, None, [], {"a": 1}, {}]


def test_nobody_else_is_given_anything(api: Api, world: World, order: Order) -> None:
    ours = placed(api, world.database, order())
    other = placed(api, world.database, order())
    theirs = placed(Api(api.app, world.their_key), world.database, order(agent_id=agent_ref(world.their_agent.id)))
    good, their_key = token_of(world.database, world.ours.id, ours), key_of(world.database, world.theirs.id)
    our_key = key_of(world.database, world.ours.id)
    assert ask(api, ours.id, good).status_code == 200
    wrong = {
        "a token of another call of ours": (ours.id, token_of(world.database, world.ours.id, other)),
        "a token of ours for their call": (theirs.id, good),
        "a token of theirs for our call": (ours.id, token_of(world.database, world.theirs.id, theirs)),
        "our call and attempt, signed by them": (ours.id, token(their_key, ours.call, ours.attempt, world.our_agent.id)),
        "our call, another's attempt, signed by us": (ours.id, token(our_key, ours.call, other.attempt, world.our_agent.id)),
        "our call, their attempt, signed by us": (ours.id, token(our_key, ours.call, theirs.attempt, world.our_agent.id)),
        "their call, signed by us": (theirs.id, token(our_key, theirs.call, theirs.attempt, world.our_agent.id)),
        "our call and attempt, another agent of ours": (ours.id, token(our_key, ours.call, ours.attempt, uuid4())),
        "our call and attempt, an agent of theirs": (ours.id, token(our_key, ours.call, ours.attempt, world.their_agent.id)),
        "an API key": (ours.id, world.our_key),
        "no token at all": (ours.id, "nonsense"),
        "cut off": (ours.id, good[:-1]),
        "no such call": (call_ref(uuid4()), good),
        "no call at all": ("call_1", good),
    }
    told = {what: ask(api, call, bearer) for what, (call, bearer) in wrong.items()}
    assert {what: response.status_code for what, response in told.items()} == dict.fromkeys(wrong, 404)
    assert len({response.get_json()["detail"] for response in told.values()}) == 1


def test_after_a_handover_the_settings_of_the_next_agent_are_that_ones_alone(
    api: Api, world: World, order: Order, agent_id: str
) -> None:
    made = api.post("/v1/agents", {"name": "expert", "kind": "websocket", "url": URL, "runtime": {"prompt": "Secret."}})
    expert = parse_ref("agent", made.get_json()["id"])
    call = placed(api, world.database, order(agent_id=agent_id))
    old = token_of(world.database, world.ours.id, call)
    new = token(key_of(world.database, world.ours.id), call.call, call.attempt, expert)
    assert ask(api, call.id, new).status_code == 404
    with world.database.connection() as conn:
        args = Jsonb({"agent": str(expert)})
        sql = """INSERT INTO call_commands (id, call_id, attempt_id, switch, verb, args, requested_by, created_at)
                 VALUES (%s, %s, %s, 'fs1 transfer', 'transfer', %s, 'customer', now())"""
        conn.execute(sql, (command := uuid4(), call.call, call.attempt, args))
    # It gets ready while the first one talks on.
    assert ask(api, call.id, new).get_json()["prompt"] == "Secret."
    assert ask(api, call.id, old).get_json()["prompt"] == RUNTIME["prompt"]
    wanted = transfers.Open(command, call.attempt, None, None, None, False, None, expert)
    transfers.handed_on(world.database, wanted, datetime.now(UTC))
    assert ask(api, call.id, new).get_json()["agent"]["name"] == "expert"
    assert ask(api, call.id, old).status_code == 404


def test_without_a_token_it_is_said_what_is_missing(api: Api, world: World, order: Order) -> None:
    call = placed(api, world.database, order())
    response = ask(api, call.id, "")
    assert (response.status_code, response.get_json()["code"]) == (401, "missing_call_token")
    assert "Bearer" in response.headers["WWW-Authenticate"]
    basic = api.get(f"/internal/calls/{call.id}/runtime-config", headers={"Authorization": "Basic Zm9vOmJhcg=="})
    assert basic.status_code == 404


def test_a_call_token_opens_nothing_else(api: Api, world: World, order: Order) -> None:
    call = placed(api, world.database, order())
    good = token_of(world.database, world.ours.id, call)
    assert api.get(f"/v1/calls/{call.id}", key=good).get_json()["code"] == "bad_api_key"
    assert api.post("/internal/cdr", {}, key=good).status_code in (401, 503)


def test_it_is_good_for_a_time_after_the_end_and_then_says_so(api: Api, world: World, order: Order, clock: Clock) -> None:
    call = placed(api, world.database, order())
    good = token_of(world.database, world.ours.id, call)
    api.post(f"/v1/calls/{call.id}/actions/hangup")
    with world.database.connection() as conn:
        row = conn.execute("SELECT ended_at FROM attempts WHERE id = %s", (call.attempt,)).fetchone()
    assert row is not None
    assert row[0] is not None, "a call that waits is canceled at once"
    clock.fixed = row[0] + timedelta(seconds=3599)
    assert ask(api, call.id, good).status_code == 200
    clock.fixed = row[0] + timedelta(seconds=3600)
    late = ask(api, call.id, good)
    assert (late.status_code, late.get_json()["code"]) == (410, "call_token_expired")


def test_one_that_says_itself_that_it_is_over_is(api: Api, world: World, order: Order, clock: Clock) -> None:
    call = placed(api, world.database, order())
    whose = (call.call, call.attempt, agent_of(world.database, call.call))
    short = token(key_of(world.database, world.ours.id), *whose, lasts=timedelta(minutes=1))
    assert ask(api, call.id, short).status_code == 200
    clock.fixed = datetime.now(UTC) + timedelta(minutes=2)
    assert ask(api, call.id, short).status_code == 410


@pytest.mark.parametrize(
    ("runtime", "fault"),
    [
        ({"prompt": 7}, {"/runtime/prompt": "wrong_type"}),
        ({"prompt": "x" * 32_769}, {"/runtime/prompt": "bad_length"}),
        ({"voice": "anna"}, {"/runtime/voice": "wrong_type"}),
        ({"tools": ["book"]}, {"/runtime/tools/0": "wrong_type"}),
        ({"variables": {"no name": 1}}, {"/runtime/variables": "bad_name"}),
        ({"settings": {"text": "x" * 40_000}}, {"/runtime/settings": "too_large"}),
        ({"prompt": "x" * 20_000, "settings": {"text": "x" * 20_000}}, {"/runtime": "too_large"}),
        ({"model": "large"}, {"/runtime/model": "unknown_field"}),
        ("prompt", {"/runtime": "wrong_type"}),
        (None, {"/runtime": "wrong_type"}),
    ],
)
def test_settings_that_are_none_are_refused_by_name(api: Api, runtime: Any, fault: dict[str, str]) -> None:
    response = api.post("/v1/agents", {"name": "wrong", "kind": "websocket", "url": URL, "runtime": runtime})
    assert (response.status_code, named(response)) == (422, fault)


def test_an_announcement_asks_for_nothing_so_it_is_given_nothing(api: Api) -> None:
    body = {"name": "sound", "kind": "announcement", "audio": "hello.wav"}
    refused = api.post("/v1/agents", {**body, "runtime": {}})
    assert (refused.status_code, named(refused)) == (422, {"/runtime": "not_allowed"})
    path = api.post("/v1/agents", body).headers["Location"]
    refused = api.send("PATCH", path, json={"runtime": {"prompt": "hello"}})
    assert (refused.status_code, named(refused)) == (422, {"/runtime": "not_allowed"})


def test_settings_are_changed_as_a_whole_and_hold_at_once(api: Api, world: World, order: Order) -> None:
    made = api.post("/v1/agents", {"name": "eve", "kind": "websocket", "url": URL, "runtime": RUNTIME})
    call = placed(api, world.database, order(agent_id=made.get_json()["id"]))
    path, good = made.headers["Location"], token_of(world.database, world.ours.id, call)
    assert api.send("PATCH", path, json={"name": "eva"}).get_json()["runtime"] == RUNTIME
    changed = api.send("PATCH", path, json={"runtime": {"prompt": "Say no more."}})
    assert changed.get_json()["runtime"] == {"prompt": "Say no more."} == api.get(path).get_json()["runtime"]
    told = ask(api, call.id, good).get_json()
    assert (told["prompt"], told["tools"], told["variables"]) == ("Say no more.", [], {})
    assert api.send("PATCH", path, json={"runtime": {}}).get_json()["runtime"] == {}
