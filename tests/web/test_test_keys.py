"""What a test key opens: test calls alone, by a closed list of operations; and what a live key sees of them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from calls.ids import agent_ref, parse_ref
from calls.test_numbers import TEST_ROUTE
from lab.carrier.outcomes import MAGIC
from store import agents, calls, carriers, keys, tenants, test_lab
from tests.web.conftest import FROM, TO, Api, World, named
from tests.web.key_houses import account, other, tenant_id
from web.access import is_guarded, needed
from web.testmode import CALL, OPEN

__all__ = ["account"]  # a fixture
BUSY, ANSWERED = "+12025550101", "+14155550120"


@pytest.fixture
def laboratory(world: World) -> Iterator[None]:
    """The rows of one."""
    test_lab.set_up(world.database, address="127.0.0.1:5090", max_channels=5, cps=5)
    yield
    carriers.remove_route(world.database, TEST_ROUTE)


@pytest.fixture
def tester(account: Api, world: World) -> Api:
    """A test key of an account for which nothing was ever set."""
    return other(world, account, mode="test")[1]


@pytest.fixture
def body(account: Api, world: World) -> Callable[..., dict[str, Any]]:
    agent = agents.create(
        world.database, tenant_id=tenant_id(world, account), name="greeter", kind="announcement", audio="a.wav"
    )
    return lambda **changes: {"to": BUSY, "from": FROM, "agent_id": agent_ref(agent.id), **changes}


@pytest.mark.usefixtures("laboratory")
def test_a_test_key_places_test_calls_whatever_its_account_may(
    account: Api, tester: Api, body: Callable[..., dict[str, Any]]
) -> None:
    placed = tester.post("/v1/calls", body())
    assert placed.status_code == 202
    call = placed.get_json()
    assert (call["test"], call["to"], call["status"]) == (True, BUSY, "queued")
    assert tester.get(placed.headers["Location"]).get_json() == call
    for more in ("/events", "/attempts", "/queue", "/actions"):
        assert tester.get(placed.headers["Location"] + more).status_code == 200, more
    dry = tester.post("/v1/calls?dry_run=true", body(to=ANSWERED)).get_json()
    assert (dry["accepted"], dry["errors"], dry["route"]) == (True, [], TEST_ROUTE)
    hung_up = tester.post(f"/v1/calls/{call['id']}/actions/hangup")
    assert (hung_up.status_code, hung_up.get_json()["status"]) == (202, "canceled")
    assert tester.get(hung_up.headers["Location"]).status_code == 200
    # The live key of the same account is held to its rules: nothing was set for it.
    assert account.post("/v1/calls", body()).status_code == 422


@pytest.mark.usefixtures("laboratory")
@pytest.mark.parametrize("number", [TO, "+12025550199", "+12025550117", "+12125551101", "+442079460101", "+12125551234"])
def test_another_number_is_refused_with_the_remedy(tester: Api, body: Callable[..., dict[str, Any]], number: str) -> None:
    response = tester.post("/v1/calls", body(to=number))
    assert (response.status_code, named(response)) == (422, {"/to": "not_a_test_number"})
    assert "docs/test-keys.md" in response.get_json()["errors"][0]["detail"]


@pytest.mark.usefixtures("laboratory")
def test_nothing_is_recorded_in_the_laboratory(
    account: Api, tester: Api, world: World, body: Callable[..., dict[str, Any]]
) -> None:
    (owner,) = [one for one in tenants.list_tenants(world.database) if one.id == tenant_id(world, account)]
    tenants.update(world.database, owner.name, recording="answer", recording_allowed="any")
    asks: tuple[dict[str, Any], ...] = ({}, {"enabled": True}, {"start": "answer"})
    for asked in asks:
        refused = tester.post("/v1/calls", body(recording=asked))
        assert (refused.status_code, named(refused)) == (422, {"/recording": "not_with_a_test_key"})
    leaves: tuple[dict[str, Any], ...] = ({}, {"recording": {"enabled": False}})
    for more in leaves:
        assert tester.post("/v1/calls", body(**more)).get_json()["recording"] is None


def test_without_a_laboratory_it_is_said_so(tester: Api, body: Callable[..., dict[str, Any]]) -> None:
    response = tester.post("/v1/calls", body())
    assert (response.status_code, named(response)) == (422, {"/to": "test_lab_not_set_up"})
    dry = tester.post("/v1/calls?dry_run=true", body()).get_json()
    assert [error["code"] for error in dry["errors"]] == ["test_lab_not_set_up"]


@pytest.mark.usefixtures("laboratory")
def test_live_calls_are_not_there_for_a_test_key(
    api: Api, world: World, order: Callable[..., dict[str, Any]], app: Flask
) -> None:
    """On every route with a call in it; and a foreign call is as far away."""
    mine = Api(app, keys.create(world.database, tenant_id=world.ours.id, mode="test", name="tests")[1])
    theirs = Api(app, keys.create(world.database, tenant_id=world.theirs.id, mode="test")[1])
    live = api.post("/v1/calls", order()).get_json()
    assert live["test"] is False
    test = mine.post("/v1/calls", order(to=BUSY)).get_json()
    seen = 0
    for rule in app.url_map.iter_rules():
        if "<call_id>" not in rule.rule or needed(app, rule.endpoint) in (None, "operator"):
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            expected = (404, "not_found") if (method, rule.rule) in OPEN else (403, None)
            for key, call in ((mine, live), (theirs, test), (theirs, live)):
                path = rule.rule.replace("<call_id>", call["id"]).replace("<action_id>", "a")
                refused = key.send(method, path)
                assert refused.status_code == expected[0], path
                assert expected[1] in (None, refused.get_json()["code"]), path
            seen += 1
    assert seen > 5
    assert mine.send("HEAD", f"/v1/calls/{test['id']}").status_code == 200
    assert mine.get("/v1/calls/call_nonsense").status_code == 404
    kept = calls.get_call(world.database, world.ours.id, parse_ref("call", live["id"]))
    assert kept is not None
    assert (kept.status, kept.cancel_requested) == ("queued", False)


@pytest.mark.usefixtures("laboratory")
def test_each_kind_is_listed_by_itself(api: Api, world: World, order: Callable[..., dict[str, Any]], app: Flask) -> None:
    mine = Api(app, keys.create(world.database, tenant_id=world.ours.id, mode="test", name="lists")[1])
    live = api.post("/v1/calls", order()).get_json()["id"]
    test = mine.post("/v1/calls", order(to=BUSY)).get_json()["id"]

    def ids(who: Api, query: str = "") -> list[str]:
        return [one["id"] for one in who.get(f"/v1/calls?limit=200{query}").get_json()["data"]]

    for query in ("", "&test=false", "&status=queued"):
        assert live in ids(api, query)
        assert test not in ids(api, query)
    for who, query in ((api, "&test=true"), (api, "&test=true&status=queued"), (mine, ""), (mine, "&test=true")):
        assert test in ids(who, query)
        assert live not in ids(who, query)
    refused = mine.get("/v1/calls?test=false")
    assert (refused.status_code, named(refused)) == (422, {"test": "not_with_a_test_key"})
    assert api.get(f"/v1/calls/{test}").get_json()["test"] is True


@pytest.mark.usefixtures("laboratory")
def test_a_test_repeats_no_live_request(api: Api, world: World, order: Callable[..., dict[str, Any]], app: Flask) -> None:
    """Under the same Idempotency-Key and with the same body: each of the two places its own call, and repeats its own."""
    mine = Api(app, keys.create(world.database, tenant_id=world.ours.id, mode="test", name="repeats")[1])
    headers = {"Idempotency-Key": "order-4711"}
    test, live = [who.post("/v1/calls", order(to=BUSY), headers=headers) for who in (mine, api)]
    assert test.get_json()["test"] is True
    # The route of this house leads to Germany alone: the live key is told so, and is not given the test call.
    assert (live.status_code, named(live)) == (422, {"/to": "no_route"})
    again = mine.post("/v1/calls", order(to=BUSY), headers=headers)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.get_json()["id"] == test.get_json()["id"]


def test_what_is_not_on_the_list_is_closed(app: Flask, tester: Api) -> None:
    """Of every route there is; with all the scopes that a test key may have."""
    opened = set()
    for rule in app.url_map.iter_rules():
        if not is_guarded(rule.rule) or needed(app, rule.endpoint) == "operator":
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            response = tester.send(method, rule.rule.replace("<", "").replace(">", ""))
            if (method, rule.rule) in OPEN:
                assert response.status_code != 403, rule.rule
                opened.add((method, rule.rule))
            else:
                code = response.get_json()["code"]
                assert (response.status_code, code in ("missing_scope", "not_with_a_test_key")) == (403, True), rule.rule
    assert {("POST", "/v1/calls"), ("GET", CALL), ("GET", "/v1/limits")} <= opened
    refused = tester.post("/v1/calls/actions/cancel_queued")
    assert (refused.status_code, refused.get_json()["code"]) == (403, "not_with_a_test_key")


def test_test_keys_are_made_by_the_api(account: Api) -> None:
    made = account.post("/v1/keys", {"name": "ci", "scopes": ["calls:write", "calls:read"], "mode": "test"})
    assert (made.status_code, made.get_json()["mode"]) == (201, "test")
    assert made.get_json()["key"].startswith("tl_test_")
    mine = Api(account.app, made.get_json()["key"])
    assert mine.get("/v1/calls").status_code == 200
    assert mine.get("/v1/agents").get_json()["code"] == "missing_scope"
    followed = account.post(f"/v1/keys/{made.get_json()['id']}/rotate", {}).get_json()
    assert (followed["mode"], followed["key"].startswith("tl_test_")) == ("test", True)


def test_every_ending_that_is_documented_is_the_laboratorys() -> None:
    from calls.test_numbers import FATES
    from tests.contract.ends import ENDINGS

    for fate in FATES.values():
        assert MAGIC[fate.ending].name == fate.outcome
        if fate.outcome in ENDINGS and not fate.stays:
            status, sip_code, end_reason, *_ = ENDINGS[fate.outcome].row
            assert (fate.status, fate.sip_code, fate.end_reason) == (status, sip_code, end_reason), fate
        assert MAGIC[fate.ending].answers == (fate.status == "completed")
        assert (MAGIC[fate.ending].hangup_after is None and MAGIC[fate.ending].answers) == fate.stays
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs/test-keys.md").read_text()
    told = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| 0")]
    assert told == [
        [one.ending, one.happens, one.status + "*" * one.stays, one.end_reason, str(one.sip_code or "")]
        for one in sorted(FATES.values(), key=lambda fate: fate.ending)
    ]
