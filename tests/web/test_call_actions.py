"""Pressing keys, playing a file, and what is refused: by the API, as a caller meets it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from calls.evidence import Evidence, Source, State
from calls.ids import agent_ref
from calls.retry import RetryRules
from store import agents, attempts, call_actions, commands, holds, transfers
from store import relay as relay_rows
from tests.web.conftest import Api, World, named
from tests.web.test_actions import dialing

Order = Callable[..., dict[str, Any]]


def talking(api: Api, world: World, order: Order, **changes: Any) -> str:
    """The path of a call that is in progress, with an agent that talks."""
    known = agents.get_by_name(world.database, world.ours.id, "talker")
    agent = known or agents.create(
        world.database, tenant_id=world.ours.id, name="talker", kind="websocket", url="wss://bot.example.com/"
    )
    path = dialing(api, world, lambda: order(**{"agent_id": agent_ref(agent.id), **changes}))
    answer(api, world, path)
    return path


def answer(api: Api, world: World, path: str) -> None:
    (attempt,) = api.get(f"{path}/attempts").get_json()["data"]
    now = datetime.now(UTC)
    seen = Evidence(UUID(attempt["id"]), "core:answer", Source.EVENT, State.IN_PROGRESS, now)
    attempts.apply_evidence(world.database, [seen], rules=RetryRules(), timers=attempts.FixedTimers(25, 5.0, 30.0), now=now)


def test_an_action_is_accepted_and_can_be_read(api: Api, world: World, order: Order) -> None:
    path = talking(api, world, order)
    keyed = {"Idempotency-Key": "pin"}
    asked = api.post(f"{path}/actions/dtmf", {"digits": "12#", "tone_ms": 100}, headers=keyed)
    assert asked.status_code == 202
    action = asked.get_json()
    assert (action["type"], action["status"], action["result"], action["idempotency_key"]) == (
        "dtmf",
        "requested",
        None,
        "pin",
    )
    assert "12#" not in asked.get_data(as_text=True), "keys may be a secret"
    again = api.post(f"{path}/actions/dtmf", {"digits": "12#", "tone_ms": 100}, headers=keyed)
    assert again.headers["Location"] == asked.headers["Location"]
    other = api.post(f"{path}/actions/dtmf", {"digits": "13#", "tone_ms": 100}, headers=keyed)
    assert (other.status_code, other.get_json()["code"]) == (409, "idempotency_mismatch")
    play = api.post(f"{path}/actions/play", {"audio": "news.wav"}).get_json()
    rows = commands.list_open(world.database, "fs1")
    assert [(row.verb, row.args) for row in rows if str(row.id) in (action["id"], play["id"])] == [
        ("dtmf", {"digits": "12#", "tone_ms": 100}),
        ("play", {"audio": "news.wav"}),
    ]
    now = datetime.now(UTC)
    commands.finish(world.database, UUID(action["id"]), call_actions.SENT, now)
    call_actions.begun(world.database, UUID(play["id"]), now)
    assert api.get(f"{path}/actions/pin").get_json()["result"] == "sent"
    assert api.get(f"{path}/actions/{play['id']}").get_json()["status"] == "playing"
    call_actions.played(world.database, UUID(play["attempt_id"]), UUID(play["id"]), "not played: FILE NOT FOUND", now)
    done = api.get(f"{path}/actions/{play['id']}").get_json()
    assert (done["status"], done["result"]) == ("done", "not_played")
    # Heard once more, late: nothing more.
    call_actions.played(world.database, UUID(play["attempt_id"]), UUID(play["id"]), call_actions.PLAYED, now)
    assert api.get(f"{path}/actions/{play['id']}").get_json() == done
    assert [one["type"] for one in api.get(f"{path}/actions").get_json()["data"]] == ["dtmf", "play"]


def test_only_a_call_in_progress_has_somebody_to_do_it_to(api: Api, world: World, order: Order) -> None:
    waiting = api.post("/v1/calls", order()).headers["Location"]
    dialed = dialing(api, world, order)
    ended = api.post("/v1/calls", order()).headers["Location"]
    api.post(f"{ended}/actions/hangup")
    for path, status in ((waiting, "queued"), (dialed, "dialing"), (ended, "canceled")):
        for verb, body in (("dtmf", {"digits": "1"}), ("play", {"audio": "a.wav"}), ("hold", {}), ("resume", None)):
            refused = api.post(f"{path}/actions/{verb}", body).get_json()
            assert (refused["status"], refused["code"], refused["call_status"]) == (409, "not_in_progress", status)
    answer(api, world, dialed)  # its agent is an announcement
    assert api.post(f"{dialed}/actions/play", {"audio": "a.wav"}).get_json()["code"] == "plays_already"
    for verb, body in (("hold", {}), ("resume", None)):
        assert api.post(f"{dialed}/actions/{verb}", body).get_json()["code"] == "not_a_conversation"
    assert api.post(f"{dialed}/actions/dtmf", {"digits": "1"}).status_code == 202
    assert world.counts()["call_commands"] > 0


@pytest.mark.parametrize(
    ("verb", "body", "fault"),
    [
        ("dtmf", {}, {"/digits": "required"}),
        ("dtmf", {"digits": "1\nbgapi"}, {"/digits": "bad_character"}),
        ("dtmf", {"digits": "1@500"}, {"/digits": "bad_format"}),
        ("dtmf", {"digits": "wwww"}, {"/digits": "bad_format"}),
        ("dtmf", {"digits": "1" * 33}, {"/digits": "bad_length"}),
        ("dtmf", {"digits": "1", "tone_ms": 50}, {"/tone_ms": "out_of_range"}),
        ("dtmf", {"digits": "1", "after": 1}, {"/after": "unknown_field"}),
        ("play", {"audio": "../x.wav"}, {"/audio": "bad_format"}),
        ("hold", {"audio": "../x.wav"}, {"/audio": "bad_format"}),
        ("hold", {"audio": "local_stream://moh"}, {"/audio": "bad_character"}),
        ("hold", {"until": 1}, {"/until": "unknown_field"}),
        ("play", {"audio": "tone_stream://%(1,1,1)"}, {"/audio": "bad_character"}),
    ],
)
def test_what_is_not_so_is_refused_by_name(
    api: Api, world: World, order: Order, verb: str, body: dict[str, Any], fault: dict[str, str]
) -> None:
    path = api.post("/v1/calls", order()).headers["Location"]
    before = world.counts()["call_commands"]
    response = api.post(f"{path}/actions/{verb}", body)
    assert (response.status_code, set(named(response))) == (422, set(fault))
    assert world.counts()["call_commands"] == before


def test_a_hold_is_open_until_it_is_over(api: Api, world: World, order: Order) -> None:
    path, db = talking(api, world, order), world.database
    assert api.post(f"{path}/actions/resume").get_json()["code"] == "not_on_hold"
    keyed = {"Idempotency-Key": "wait"}
    asked = api.post(f"{path}/actions/hold", {"audio": "music.wav"}, headers=keyed)
    assert asked.status_code == 202, asked.get_json()
    hold = asked.get_json()
    assert (hold["type"], hold["status"]) == ("hold", "requested")
    assert api.post(f"{path}/actions/hold", {"audio": "music.wav"}, headers=keyed).get_json() == hold
    other = api.post(f"{path}/actions/hold", {"audio": "other.wav"}, headers=keyed)
    assert (other.status_code, other.get_json()["code"]) == (409, "idempotency_mismatch")
    for verb, body in (("hold", {}), ("play", {"audio": "a.wav"})):
        refused = api.post(f"{path}/actions/{verb}", body)
        assert (refused.status_code, refused.get_json()["code"]) == (409, "on_hold")
    assert api.post(f"{path}/actions/dtmf", {"digits": "1"}).status_code == 202
    attempt, id_ = UUID(hold["attempt_id"]), UUID(hold["id"])

    def row() -> tuple[str, str | None, bool]:
        (one,) = (one for one in holds.list_open(db, "fs1") if one.id == id_)
        return one.verb, one.audio, one.begun

    assert row() == ("hold", "music.wav", False)
    assert all(one.id != id_ for one in commands.list_open(db, "fs1")), "it is no controller's"
    assert held(world, attempt) is None
    call_actions.begun(db, id_, datetime.now(UTC))
    assert row() == ("hold", "music.wav", True)
    lasting = holds.held(held(world, attempt), attempt)
    assert lasting == holds.Wish(id_, attempt, "hold", "music.wav", "customer", "wait", begun=True)
    assert api.get(f"{path}/actions/wait").get_json()["status"] == "holding"
    resume = api.post(f"{path}/actions/resume", headers={"Idempotency-Key": "on"})
    assert resume.status_code == 202, resume.get_json()
    assert api.post(f"{path}/actions/resume").get_json()["code"] == "not_on_hold", "it is being resumed"
    again = api.post(f"{path}/actions/hold", {})
    assert again.status_code == 202, "after that"
    assert api.post(f"{path}/actions/resume", headers={"Idempotency-Key": "on"}).get_json() == resume.get_json()
    for done in (id_, UUID(resume.get_json()["id"])):
        commands.finish(db, done, holds.RESUMED, datetime.now(UTC))
    assert [api.get(f"{path}/actions/{key}").get_json()["result"] for key in ("wait", "on")] == ["resumed", "resumed"]
    assert held(world, attempt) is None
    for result, shown in ((holds.AGENT_FAILED, "agent_failed"), (holds.TRANSFERRED, "transferred")):
        commands.finish(db, UUID(again.get_json()["id"]), result, datetime.now(UTC))
        assert api.get(f"{path}/actions/{again.get_json()['id']}").get_json()["result"] == shown
        again = api.post(f"{path}/actions/hold", {})
    for verb in ("hold", "resume"):
        assert api.post(f"{path}/actions/{verb}", {}, key=world.their_key).status_code == 404


def held(world: World, attempt: UUID) -> dict[str, Any] | None:
    call = relay_rows.agent_for(world.database, attempt)
    assert call is not None
    return call.held


def test_two_people_who_talk_are_not_held(api: Api, world: World, order: Order) -> None:
    path = talking(api, world, order)
    may_transfer(api, path, LEG)
    action = api.post(f"{path}/actions/transfer", {"to": LEG}).get_json()
    hold = api.post(f"{path}/actions/hold", {})
    assert hold.status_code == 202, "while it rings there"
    now = datetime.now(UTC)
    commands.finish(world.database, UUID(hold.get_json()["id"]), holds.TRANSFERRED, now)
    commands.finish(world.database, UUID(action["id"]), transfers.TRANSFERRED, now)
    assert api.post(f"{path}/actions/hold", {}).get_json()["code"] == "not_a_conversation"


LEG = "+4930987654"


def may_transfer(api: Api, path: str, *entries: str) -> None:
    agent = api.get(path).get_json()["agent_id"]
    assert api.send("PATCH", f"/v1/agents/{agent}", json={"transfer_to": list(entries)}).status_code == 200


def test_a_transfer_is_accepted_and_its_second_leg_can_be_read(api: Api, world: World, order: Order) -> None:
    path = talking(api, world, order)
    may_transfer(api, path, "+4930*")
    keyed = {"Idempotency-Key": "through"}
    asked = api.post(f"{path}/actions/transfer", {"to": LEG, "ring_timeout_s": 15}, headers=keyed)
    assert asked.status_code == 202, asked.get_json()
    action = asked.get_json()
    assert (action["type"], action["status"], action["result"]) == ("transfer", "requested", None)
    leg = api.get(f"/v1/calls/{action['leg_call_id']}").get_json()
    assert (leg["to"], leg["status"], leg["ring_timeout_s"], leg["transfer_of"]) == (
        LEG,
        "queued",
        15,
        path[len("/v1/calls/") :],
    )
    again = api.post(f"{path}/actions/transfer", {"to": LEG, "ring_timeout_s": 15}, headers=keyed)
    assert again.get_json() == action
    other = api.post(f"{path}/actions/transfer", {"to": "+4930987655"}, headers=keyed)
    assert (other.status_code, other.get_json()["code"]) == (409, "idempotency_mismatch")
    second = api.post(f"{path}/actions/transfer", {"to": LEG})
    assert (second.status_code, second.get_json()["code"]) == (409, "transfer_pending")
    commands.finish(world.database, UUID(action["id"]), f"{transfers.NOT_TRANSFERRED}: busy", datetime.now(UTC))
    assert api.get(f"{path}/actions/through").get_json()["result"] == "not_transferred"


def test_where_a_call_may_not_be_transferred_is_said_by_name(api: Api, world: World, order: Order) -> None:
    path = talking(api, world, order)
    may_transfer(api, path)
    before = world.counts()
    for body, fault in (
        ({}, {"/to": "required"}),
        ({"to": "0800"}, {"/to": "missing_plus"}),
        ({"to": LEG}, {"/to": "transfer_not_allowed"}),
        ({"to": LEG, "agent": "x"}, {"/agent": "unknown_field"}),
    ):
        refused = api.post(f"{path}/actions/transfer", body)
        assert (refused.status_code, named(refused)) == (422, fault)
    may_transfer(api, path, "+33142685300")
    refused = api.post(f"{path}/actions/transfer", {"to": "+33142685300"})
    assert named(refused) == {"/to": "no_route"}
    assert world.counts() == before
    waiting = api.post("/v1/calls", order()).headers["Location"]
    refused = api.post(f"{waiting}/actions/transfer", {"to": LEG})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "not_in_progress")
    for verb, body in (("dtmf", {"digits": "1"}), ("play", {"audio": "a.wav"}), ("transfer", {"to": LEG})):
        assert api.post(f"{path}/actions/{verb}", body, key=world.their_key).status_code == 404


def test_another_agent_can_be_asked_to_talk_on(api: Api, world: World, order: Order) -> None:
    path = talking(api, world, order)
    named_expert = agents.get_by_name(world.database, world.ours.id, "expert")
    expert = named_expert or agents.create(
        world.database, tenant_id=world.ours.id, name="expert", kind="websocket", url="wss://bot.example.com/"
    )
    wanted = {"agent_id": agent_ref(expert.id)}
    may_transfer(api, path)
    refused = api.post(f"{path}/actions/transfer", wanted)
    assert named(refused) == {"/agent_id": "transfer_not_allowed"}
    theirs = agent_ref(world.their_agent.id)
    may_transfer(api, path, agent_ref(expert.id), theirs)
    assert named(api.post(f"{path}/actions/transfer", {"agent_id": theirs})) == {"/agent_id": "unknown_agent"}
    for body, fault in (
        ({**wanted, "to": LEG}, {"/to": "required"}),
        ({**wanted, "ring_timeout_s": 20}, {"/ring_timeout_s": "not_allowed"}),
    ):
        assert named(api.post(f"{path}/actions/transfer", body)) == fault
    action = api.post(f"{path}/actions/transfer", wanted).get_json()
    assert (action["type"], action["status"], action["leg_call_id"]) == ("transfer", "requested", None)
    commands.finish(world.database, UUID(action["id"]), transfers.HANDED_ON, datetime.now(UTC))
    assert api.get(f"{path}/actions/{action['id']}").get_json()["result"] == "transferred"


@pytest.mark.parametrize("entry", ["*", "+*", "+49301x", "4930*", "+4930"])
def test_a_list_that_says_no_number_is_refused(api: Api, world: World, order: Order, entry: str) -> None:
    agent = order()["agent_id"]
    refused = api.send("PATCH", f"/v1/agents/{agent}", json={"transfer_to": ["+44*", entry]})
    assert (refused.status_code, named(refused)) == (422, {"/transfer_to/1": "bad_format"})
