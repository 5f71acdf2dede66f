"""Agents: what may be changed, when one may be put away, and the kinds that are not there yet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from calls.ids import agent_ref, parse_ref
from store import agent_pools, agent_trunks, agents, carriers, numbers
from tests.store.threads import wait_for, waits_for_lock
from tests.web.conftest import Api, World, named

Order = Callable[..., dict[str, Any]]
URL = "wss://bot.example.com/talk"


def made(api: Api, name: str, **changes: Any) -> str:
    """The path of a new agent."""
    response = api.post("/v1/agents", {"name": name, "kind": "websocket", "url": URL, **changes})
    assert response.status_code == 201, response.get_json()
    return str(response.headers["Location"])


def test_what_is_changed_is_changed_and_the_rest_stays(api: Api) -> None:
    path = made(api, "changeable")
    before = api.get(path).get_json()
    changed = api.send("PATCH", path, json={"url": "wss://other.example.com/"})
    assert changed.status_code == 200
    assert changed.get_json() == {**before, "url": "wss://other.example.com/"} == api.get(path).get_json()
    assert api.send("PATCH", path, json={"name": "renamed"}).get_json()["name"] == "renamed"
    made(api, "changeable")
    taken = api.send("PATCH", path, json={"name": "changeable"})
    assert (taken.status_code, taken.get_json()["code"], named(taken)) == (409, "name_taken", {"/name": "name_taken"})


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, {"": "required"}),
        ({"kind": "announcement"}, {"/kind": "not_supported_yet"}),
        ({"paused": True}, {"/paused": "not_supported_yet"}),
        ({"audio": "a.wav"}, {"/audio": "not_allowed"}),
        ({"url": "wss://127.0.0.1/"}, {"/url": "private_address"}),
        ({"url": None}, {"/url": "wrong_type"}),
        ({"protocol": "sip"}, {"/protocol": "bad_value"}),
        ({"fallback": {"action": "transfer"}}, {"/fallback/to": "required"}),
        ({"fallback": {"action": "transfer", "to": "0800"}}, {"/fallback/to": "missing_plus"}),
        ({"fallback": {"action": "transfer", "to": "+442079460123", "audio": "a.wav"}}, {"/fallback/audio": "not_allowed"}),
        ({"fallback": {"action": "announcement", "to": "+442079460123", "audio": "a.wav"}}, {"/fallback/to": "not_allowed"}),
        ({"fallback": {"action": "announcement", "text": "Sorry.", "audio": "a.wav"}}, {"/fallback/text": "conflict"}),
        ({"fallback": {"action": "announcement", "text": "Sorry {name}."}}, {"/fallback/text": "bad_format"}),
        ({"fallback": {"action": "announcement"}}, {"/fallback/audio": "required"}),
        ({"fallback": {"action": "hangup", "audio": "a.wav"}}, {"/fallback/audio": "not_allowed"}),
        ({"fallback": {"action": "announcement", "audio": "../a.wav"}}, {"/fallback/audio": "bad_format"}),
        ({"greeting": "hello"}, {"/greeting": "wrong_type"}),
        ({"greeting": {}}, {"/greeting": "required"}),
        ({"greeting": {"audio": "a.wav", "text": "Hello"}}, {"/greeting": "required"}),
        ({"greeting": {"audio": "/etc/a.wav"}}, {"/greeting/audio": "bad_format"}),
        ({"greeting": {"text": "Hello {name}"}}, {"/greeting/text": "bad_format"}),
    ],
)
def test_what_cannot_be_changed_is_refused_by_name(
    api: Api, world: World, body: dict[str, Any], fault: dict[str, str]
) -> None:
    known = agents.get_by_name(world.database, world.ours.id, "fixed")
    path = made(api, "fixed") if known is None else f"/v1/agents/{agent_ref(known.id)}"
    before = api.get(path).get_json()
    response = api.send("PATCH", path, json=body)
    assert (response.status_code, named(response)) == (422, fault)
    assert api.get(path).get_json() == before


def test_how_an_agent_is_spoken_to_is_said_and_can_be_changed(api: Api) -> None:
    ours = made(api, "own")
    theirs = made(api, "stock", protocol="twilio")
    assert (api.get(ours).get_json()["protocol"], api.get(theirs).get_json()["protocol"]) == ("trunkline", "twilio")
    assert api.send("PATCH", theirs, json={"protocol": "trunkline"}).get_json()["protocol"] == "trunkline"
    spoken = {"name": "spoken", "kind": "announcement", "audio": "a.wav"}
    refused = api.post("/v1/agents", {**spoken, "protocol": "trunkline"})
    assert (refused.status_code, named(refused)) == (422, {"/protocol": "not_allowed"})
    path = api.post("/v1/agents", spoken).headers["Location"]
    assert api.get(path).get_json()["protocol"] is None
    assert named(api.send("PATCH", path, json={"protocol": "twilio"})) == {"/protocol": "not_allowed"}


def test_what_is_done_when_an_agent_fails_is_said_and_can_be_changed(api: Api) -> None:
    path = made(api, "steady")
    nothing = {"audio": None, "text": None, "to": None}
    assert api.get(path).get_json()["fallback"] == {"action": "hangup", **nothing}
    through = {"action": "transfer", "to": "+442079460123"}
    assert api.send("PATCH", path, json={"fallback": through}).get_json()["fallback"] == nothing | through
    sorry = nothing | {"action": "announcement", "audio": "sorry.wav"}
    asked = {name: value for name, value in sorry.items() if value}
    assert api.send("PATCH", path, json={"fallback": asked}).get_json()["fallback"] == sorry
    assert api.send("PATCH", path, json={"name": "steadier"}).get_json()["fallback"] == sorry
    assert api.send("PATCH", path, json={"fallback": {"action": "hangup"}}).get_json()["fallback"]["action"] == "hangup"
    assert api.get(made(api, "polite", fallback=asked)).get_json()["fallback"] == sorry


def test_how_finely_it_hears_is_said_and_can_be_changed(api: Api) -> None:
    path = made(api, "fine", sample_rate=16_000)
    assert api.get(path).get_json()["sample_rate"] == 16_000
    assert named(api.send("PATCH", path, json={"protocol": "twilio"})) == {"/sample_rate": "conflict"}
    assert api.send("PATCH", path, json={"protocol": "twilio", "sample_rate": 8000}).get_json()["sample_rate"] == 8000
    assert named(api.send("PATCH", path, json={"sample_rate": 16_000})) == {"/sample_rate": "conflict"}
    assert api.get(made(api, "plain")).get_json()["sample_rate"] == 8000
    for wrong, fault in ((11_025, "bad_value"), ("16000", "wrong_type"), (True, "wrong_type")):
        refused = api.post("/v1/agents", {"name": "odd", "kind": "websocket", "url": URL, "sample_rate": wrong})
        assert (refused.status_code, named(refused)) == (422, {"/sample_rate": fault})
    twilio = {"name": "odd", "kind": "websocket", "url": URL, "protocol": "twilio", "sample_rate": 16_000}
    assert named(api.post("/v1/agents", twilio)) == {"/sample_rate": "conflict"}
    spoken = {"name": "odd", "kind": "announcement", "audio": "a.wav", "sample_rate": 8000}
    assert named(api.post("/v1/agents", spoken)) == {"/sample_rate": "not_allowed"}


def test_a_greeting_is_said_changed_and_taken_away(api: Api, world: World) -> None:
    path = made(api, "welcoming", greeting={"audio": "hello.wav"})
    assert api.get(path).get_json()["greeting"] == {"audio": "hello.wav"}
    assert api.send("PATCH", path, json={"name": "greets"}).get_json()["greeting"] == {"audio": "hello.wav"}
    assert api.send("PATCH", path, json={"greeting": {"audio": "b.wav"}}).get_json()["greeting"] == {"audio": "b.wav"}
    assert api.send("PATCH", path, json={"greeting": None}).get_json()["greeting"] is None
    agent_pools.update(world.database, "desk")
    seated = {"name": "seated-greeter", "kind": "fleet", "pool": "desk", "greeting": {"audio": "hello.wav"}}
    assert api.post("/v1/agents", seated).get_json()["greeting"] == {"audio": "hello.wav"}
    person = {"name": "person", "kind": "sip", "number": "+442079460123", "greeting": {"audio": "hello.wav"}}
    assert named(api.post("/v1/agents", person)) == {"/greeting": "not_allowed"}


def test_a_secret_is_told_once_and_follows_the_one_before(api: Api, world: World) -> None:
    path = made(api, "secretive")
    agent = parse_ref("agent", path.rpartition("/")[2])

    def signing() -> str | None:
        """As the relay asks."""
        with world.database.connection() as conn:
            row = conn.execute(
                "SELECT CASE WHEN next_secret_at <= now() THEN next_secret ELSE secret END FROM agents WHERE id = %s",
                (agent,),
            ).fetchone()
        assert row is not None
        return None if row[0] is None else str(row[0])

    assert signing() is None, "nobody asked for one"
    first = api.post(f"{path}/rotate_secret", {})
    assert first.status_code == 200
    assert signing() == first.get_json()["secret"], "there is none before it to wait for"
    assert "secret" not in api.get(path).get_json()
    second = api.post(f"{path}/rotate_secret", {}).get_json()["secret"]
    assert signing() == first.get_json()["secret"] != second
    third = api.post(f"{path}/rotate_secret", {"overlap_s": 0}).get_json()["secret"]
    assert signing() == third
    assert api.post(f"{path}/rotate_secret", {"overlap_s": 60}).status_code == 200
    assert signing() == third
    assert named(api.post(f"{path}/rotate_secret", {"overlap_s": -1})) == {"/overlap_s": "out_of_range"}
    spoken = api.post("/v1/agents", {"name": "mute", "kind": "announcement", "audio": "a.wav"}).headers["Location"]
    refused = api.post(f"{spoken}/rotate_secret", {})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "no_secret")


def test_an_archived_agent_takes_no_call_and_gives_its_name_back(api: Api, order: Order) -> None:
    path = made(api, "leaving")
    id_ = path.rpartition("/")[2]
    call = api.post("/v1/calls", order(agent_id=id_)).headers["Location"]
    refused = api.send("DELETE", path)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "agent_in_use")
    assert api.get(path).get_json()["archived_at"] is None
    api.post(f"{call}/actions/hangup")
    archived = api.send("DELETE", path)
    assert (archived.status_code, archived.get_json()["archived_at"] is not None) == (200, True)
    assert api.send("DELETE", path).get_json() == archived.get_json() == api.get(path).get_json()
    assert api.get(call).get_json()["agent_id"] == id_
    assert id_ not in [agent["id"] for agent in api.get("/v1/agents?limit=200").get_json()["data"]]
    assert named(api.post("/v1/calls", order(agent_id=id_))) == {"/agent_id": "unknown_agent"}
    assert api.send("PATCH", path, json={"name": "back"}).get_json()["code"] == "archived"
    made(api, "leaving")


def test_an_agent_that_a_number_leads_to_stays(api: Api, world: World) -> None:
    path = made(api, "answering")
    agent = parse_ref("agent", path.rpartition("/")[2])
    numbers.put(world.database, number="+4930999999", tenant_id=world.ours.id, agent_id=agent)
    refused = api.send("DELETE", path).get_json()
    assert (refused["code"], "+4930999999" in refused["detail"]) == ("agent_in_use", True)
    numbers.remove(world.database, "+4930999999")
    assert api.send("DELETE", path).status_code == 200


def test_a_call_that_is_being_accepted_is_seen(api: Api, world: World, order: Order, postgres_url: str) -> None:
    """Its transaction holds the agent's row, so whoever archives waits for it."""
    path = made(api, "contended")
    answers: list[int] = []
    with world.database.connection() as conn:
        id_ = parse_ref("agent", path.rpartition("/")[2])
        conn.execute("SELECT 1 FROM agents WHERE id = %s FOR KEY SHARE", (id_,))  # as the reference of a new call does
        archiving = threading.Thread(target=lambda: answers.append(api.send("DELETE", path).status_code))
        archiving.start()
        wait_for(lambda: waits_for_lock(postgres_url))
        assert answers == []
        call = api.post("/v1/calls", order(agent_id=path.rpartition("/")[2]))
        assert call.status_code == 202
    archiving.join(10)
    assert answers == [409]


def test_anothers_agent_does_not_exist(api: Api, world: World) -> None:
    theirs = f"/v1/agents/{agent_ref(world.their_agent.id)}"
    assert api.send("DELETE", theirs).status_code == 404
    assert api.send("PATCH", theirs, json={"name": "mine"}).status_code == 404
    assert api.get(theirs, key=world.their_key).get_json()["archived_at"] is None


def test_a_person_is_an_agent_by_a_number(api: Api) -> None:
    made = api.post("/v1/agents", {"name": "desk", "kind": "sip", "number": "+442079460123"})
    assert (made.status_code, made.get_json()["number"]) == (201, "+442079460123")
    changed = api.send("PATCH", made.headers["Location"], json={"number": "+442079460124"})
    assert changed.get_json()["number"] == "+442079460124"
    for body, fault in (
        ({}, {"/number": "required"}),
        ({"number": "0800"}, {"/number": "missing_plus"}),
        ({"number": "+442079460123", "url": "wss://bot.example.com/"}, {"/url": "not_allowed"}),
    ):
        refused = api.post("/v1/agents", {"name": "other", "kind": "sip", **body})
        assert (refused.status_code, named(refused)) == (422, fault)


def test_a_person_may_be_behind_a_trunk_that_the_operator_has_named(api: Api, world: World) -> None:
    carrier = carriers.put_carrier(world.database, name="switchboard", max_channels=10, cps=5)
    agent_trunks.put(world.database, "hq", carrier_id=carrier.id, tenant_id=world.ours.id)
    agent_trunks.put(world.database, "not-ours", carrier_id=carrier.id, tenant_id=world.theirs.id)
    person = {"name": "behind", "kind": "sip", "number": "+442079460123"}
    made = api.post("/v1/agents", {**person, "trunk": "hq", "user": "200"})
    assert (made.status_code, made.get_json()["trunk"], made.get_json()["user"]) == (201, "hq", "200")
    path = made.headers["Location"]
    assert api.send("PATCH", path, json={"user": "201"}).get_json()["user"] == "201"
    for field, name in (("trunk", "not-ours"), ("trunk", "nowhere")):
        assert named(api.send("PATCH", path, json={field: name, "user": "200"})) == {"/trunk": "unknown_trunk"}
    changed = api.send("PATCH", path, json={"trunk": None}).get_json()
    assert (changed["trunk"], changed["user"], changed["number"]) == (None, None, "+442079460123")
    assert named(api.send("PATCH", path, json={"user": "201"})) == {"/trunk": "required"}
    assert api.send("PATCH", path, json={"trunk": "hq"}).get_json()["trunk"] == "hq"
    for more, fault in (
        ({"trunk": "not-ours"}, {"/trunk": "unknown_trunk"}),
        ({"trunk": "Head Office"}, {"/trunk": "bad_format"}),
        ({"user": "200"}, {"/trunk": "required"}),
        ({"trunk": "hq", "user": "200@pbx.example.com"}, {"/user": "bad_format"}),
        ({"trunk": "hq", "user": "200|x"}, {"/user": "bad_character"}),
    ):
        assert named(api.post("/v1/agents", {**person, "name": "wrong", **more})) == fault
    bot = api.post("/v1/agents", {"name": "wrong", "kind": "websocket", "url": URL, "trunk": "hq", "user": "200"})
    assert named(bot) == {"/trunk": "not_allowed", "/user": "not_allowed"}
    without = {"name": "wrong", "kind": "sip", "trunk": "hq", "user": "200"}
    assert named(api.post("/v1/agents", without)) == {"/number": "required"}, "by which the rules are asked"


def test_an_agent_of_the_fleet_takes_seats_of_a_pool_it_may_have(api: Api, world: World, order: Order) -> None:
    agent_pools.update(world.database, "desk", inbound_reserved=0)
    agent_pools.update(world.database, "theirs", tenant_id=world.theirs.id)
    for pool in ("nowhere", "theirs"):
        response = api.post("/v1/agents", {"name": "seated", "kind": "fleet", "pool": pool})
        assert (response.status_code, named(response)) == (422, {"/pool": "unknown_pool"})
    for policy, mark in ((None, "f"), ("reserved", "f"), ("at_answer", "o")):
        body = {"name": f"seated-{policy}".lower().replace("_", "-"), "kind": "fleet", "pool": "desk"}
        made = api.post("/v1/agents", body | ({} if policy is None else {"seat_policy": policy})).get_json()
        assert (made["kind"], made["pool"], made["seat_policy"], made["url"]) == (
            "fleet",
            "desk",
            policy or "reserved",
            None,
        )
        call = api.post("/v1/calls", order(agent_id=made["id"])).get_json()["id"]
        batch = api.post("/v1/batches", {"calls": [order(agent_id=made["id"])]})
        assert batch.status_code == 202, batch.get_json()
        with world.database.connection() as conn:
            lanes = conn.execute(
                "SELECT DISTINCT a.lane FROM attempts a JOIN calls c ON c.id = a.call_id WHERE c.agent_id ="
                " (SELECT agent_id FROM calls WHERE id = %s)", (parse_ref("call", call),),
            ).fetchall()  # fmt: skip
        assert [lane[0].rpartition(".")[2] for lane in lanes] == [f"{mark}-desk"]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"kind": "fleet"}, {"/pool": "required"}),
        ({"kind": "fleet", "pool": "Desk"}, {"/pool": "bad_format"}),
        ({"kind": "fleet", "pool": "desk", "url": "wss://bot.example.com/"}, {"/url": "not_allowed"}),
        ({"kind": "fleet", "pool": "desk", "seat_policy": "later"}, {"/seat_policy": "bad_value"}),
        (
            {"kind": "websocket", "url": "wss://bot.example.com/", "seat_policy": "reserved"},
            {"/seat_policy": "not_allowed"},
        ),
        ({"kind": "websocket", "url": "wss://bot.example.com/", "pool": "desk"}, {"/pool": "not_allowed"}),
    ],
)
def test_what_does_not_go_with_a_seat_is_refused_by_name(api: Api, body: dict[str, Any], fault: dict[str, str]) -> None:
    response = api.post("/v1/agents", {"name": "wrong", **body})
    assert (response.status_code, named(response)) == (422, fault)


def test_whose_seats_it_takes_never_changes(api: Api, world: World) -> None:
    agent_pools.update(world.database, "desk")
    made = api.post("/v1/agents", {"name": "stays", "kind": "fleet", "pool": "desk"}).headers["Location"]
    for field, value in (("pool", "other"), ("seat_policy", "at_answer")):
        response = api.send("PATCH", made, json={field: value})
        assert (response.status_code, set(named(response))) == (422, {f"/{field}"})
    assert api.send("PATCH", made, json={"name": "stays-on"}).get_json()["pool"] == "desk"


def test_calls_are_put_through_to_no_number_that_comes_in_to_the_account(api: Api, world: World) -> None:
    taken, path = "+4930999998", made(api, "circle")
    agent = parse_ref("agent", path.rpartition("/")[2])
    to_it = {"action": "transfer", "to": taken}
    numbers.put(world.database, number=taken, tenant_id=world.ours.id, agent_id=agent)
    carrier = carriers.put_carrier(world.database, name="switchboard", max_channels=10, cps=5)
    agent_trunks.put(world.database, "round", carrier_id=carrier.id, tenant_id=world.ours.id)
    try:
        for refused in (
            api.send("PATCH", path, json={"fallback": to_it}),
            api.post("/v1/agents", {"name": "circle-2", "kind": "websocket", "url": URL, "fallback": to_it}),
        ):
            assert (refused.status_code, named(refused)) == (422, {"/fallback/to": "inbound_number"})
        assert api.get(path).get_json()["fallback"]["action"] == "hangup"
        person = {"name": "circle-3", "kind": "sip", "number": taken}
        assert named(api.post("/v1/agents", person)) == {"/number": "inbound_number"}
        behind = api.post("/v1/agents", {**person, "trunk": "round"})
        assert behind.status_code == 201, "a trunk leads to a switchboard"
        where = behind.headers["Location"]
        assert named(api.send("PATCH", where, json={"trunk": None})) == {"/number": "inbound_number"}
        assert api.send("PATCH", where, json={"name": "circle-4"}).status_code == 200
        numbers.put(world.database, number=taken, tenant_id=world.ours.id, agent_id=agent, enabled=False)
        assert api.send("PATCH", path, json={"fallback": to_it}).status_code == 200
    finally:
        numbers.remove(world.database, taken)
