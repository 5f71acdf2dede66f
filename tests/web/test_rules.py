"""The rules at the door: what is refused and by which name, what is put off, what a dry run says. The decision is shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from calls.consent import Consent
from calls.destinations import Entry
from calls.ids import agent_ref, parse_ref
from calls.rules import RetryRules
from lab.liberty import give_the_world
from store import agents, carriers, keys, outbound, permission, tenants
from store.agents import Agent
from store.tenants import Tenant
from tests.web.conftest import Api, Clock, World, named

Order = Callable[..., dict[str, Any]]
US, JAMAICA = "+12025550123", "+18762345678"
#: A Wednesday: 18:00 in Berlin, noon in New York, 9:00 in Los Angeles.
WEDNESDAY = datetime(2026, 11, 25, 17, 0, tzinfo=UTC)


class House:
    """A tenant of its own with the rules that a test sets."""

    def __init__(self, world: World, api: Api, clock: Clock, name: str) -> None:
        self.db = world.database
        self.tenant: Tenant = tenants.create(self.db, name=name)
        self.agent: Agent = agents.create(
            self.db, tenant_id=self.tenant.id, name="bot", kind="websocket", url="wss://bot.example/"
        )
        self.api = Api(api.app, keys.create(self.db, tenant_id=self.tenant.id)[1])
        carrier = carriers.put_carrier(self.db, name="acme", max_channels=10, cps=5)
        carriers.put_route(self.db, name="america", prefixes=["1"], carriers=[carrier.id])
        clock.fixed = WEDNESDAY

    def allow(self, *matches: str, caller: str = "+442079460000") -> None:
        outbound.allow(self.db, self.tenant.id, [Entry(match) for match in matches])
        outbound.put_caller_id(self.db, self.tenant.id, caller)

    def order(self, **changes: Any) -> dict[str, Any]:
        return {"to": "+4930123456", "from": "+442079460000", "agent_id": agent_ref(self.agent.id), **changes}

    def refused(self, **changes: Any) -> dict[str, str]:
        response = self.api.post("/v1/calls", self.order(**changes))
        assert response.status_code == 422, response.get_json()
        return named(response)

    def placed(self, **changes: Any) -> dict[str, Any]:
        response = self.api.post("/v1/calls", self.order(**changes))
        assert response.status_code == 202, response.get_json()
        answer: dict[str, Any] = response.get_json()
        return answer

    def dry(self, **changes: Any) -> dict[str, Any]:
        response = self.api.post("/v1/calls?dry_run=true", self.order(**changes))
        assert response.status_code == 200, response.get_json()
        answer: dict[str, Any] = response.get_json()
        return answer


@pytest.fixture
def house(world: World, api: Api, clock: Clock, request: pytest.FixtureRequest) -> House:
    return House(world, api, clock, request.node.name[5:].split("[")[0].replace("_", "-")[:50].strip("-"))


def test_a_new_account_places_no_call_until_something_is_set(house: House) -> None:
    assert house.refused() == {"/to": "account_not_set_up"}
    house.allow("DE")
    assert house.placed()["status"] == "queued"
    assert house.refused(to=US) == {"/to": "destination_not_allowed", "/consent": "consent_required"}
    house.allow("+1")
    assert house.refused(to=JAMAICA)["/to"] == "destination_risk"
    assert house.refused(**{"from": "+442079460001"}) == {"/from": "caller_id_not_allowed"}


def test_consent_is_asked_for_where_the_country_asks_and_kept(house: House) -> None:
    house.allow("US")
    assert house.refused(to=US) == {"/consent": "consent_required"}
    assert house.refused(to=US, consent={"basis": "existing_customer"}) == {"/consent/basis": "consent_basis_not_enough"}
    given = {"basis": "express_written", "at": "2026-03-01T09:30:00+01:00", "reference": "form 12"}
    call = house.placed(to=US, consent=given)
    assert call["consent"] == {**given, "at": "2026-03-01T08:30:00.000000Z"}
    (attempt,) = house.api.get(f"/v1/calls/{call['id']}/attempts").get_json()["data"]
    assert attempt["decision"]["consent"]["by"] == "call"
    outbound.update(house.db, house.tenant.id, consent=Consent("express", reference="contract 5"))
    assert house.dry(to=US)["consent"] == {"by": "tenant", "basis": "express", "at": None, "reference": "contract 5"}


@pytest.mark.parametrize(
    ("field", "value", "place", "code"),
    [
        ("consent", {}, "/consent/basis", "required"),
        ("consent", {"basis": "wish"}, "/consent/basis", "bad_value"),
        ("consent", {"basis": "express", "at": "yesterday"}, "/consent/at", "bad_format"),
        ("consent", {"basis": "express", "at": "2099-01-01T00:00:00Z"}, "/consent/at", "in_the_future"),
        ("consent", {"basis": "express", "proof": "x"}, "/consent/proof", "unknown_field"),
        ("consent", "express", "/consent", "wrong_type"),
        ("recipient", {"timezone": "Mars/Base"}, "/recipient/timezone", "unknown_time_zone"),
        ("recipient", {"timezone": "EST"}, "/recipient/timezone", "no_place"),
        ("recipient", {"country": "XX"}, "/recipient/country", "bad_value"),
        # No table of postal codes is here, and nothing is taken and ignored.
        ("recipient", {"postal_code": "94103"}, "/recipient/postal_code", "not_supported_yet"),
        ("window", {"time_zone": "theirs", "from": "09:00", "to": "10:00"}, "/window/time_zone", "unknown_time_zone"),
    ],
)
def test_what_cannot_be_read_is_named(api: Api, order: Order, field: str, value: Any, place: str, code: str) -> None:
    response = api.post("/v1/calls", order(**{field: value}))
    assert response.status_code == 422
    assert named(response) == {place: code}


def test_at_night_there_a_call_is_accepted_for_the_morning(house: House, clock: Clock) -> None:
    house.allow("DE", "US")
    clock.fixed = WEDNESDAY + timedelta(hours=4)  # 22:00 in Berlin
    morning = datetime(2026, 11, 26, 7, 0, tzinfo=UTC)
    call = house.placed()
    assert call["due_at"] == "2026-11-26T07:00:00.000000Z"
    assert call["recipient"] is None
    (attempt,) = house.api.get(f"/v1/calls/{call['id']}/attempts").get_json()["data"]
    assert [(one["rule"], one["until"]) for one in attempt["decision"]["findings"]] == [("hours", morning.isoformat())]
    # Whoever is in America now is called now, by the clock there.
    there = {"timezone": "America/Chicago", "country": "US"}
    call = house.placed(recipient=there, consent={"basis": "express"})
    assert call["recipient"] == there
    assert call["due_at"] == "2026-11-25T21:00:00.000000Z"
    outbound.update(house.db, house.tenant.id, hours="none", hours_reason="appointments alone")
    assert house.placed()["due_at"] == "2026-11-25T21:00:00.000000Z"


def test_hours_that_leave_no_moment_are_refused(house: House, clock: Clock) -> None:
    house.allow("DE")
    clock.fixed = WEDNESDAY + timedelta(hours=4)
    assert house.refused(expires_at="2026-11-26T06:59:00Z") == {"/recipient": "never_open"}
    assert house.placed(expires_at="2026-11-26T07:00:01Z")["due_at"] == "2026-11-26T07:00:00.000000Z"
    early = {"time_zone": "Europe/Berlin", "from": "05:00", "to": "07:00"}
    assert house.refused(window=early).popitem()[1] == "never_open"


def test_a_window_by_the_recipients_clock(house: House) -> None:
    house.allow("US")
    asked = {"time_zone": "recipient", "days": ["wed", "thu"], "from": "10:00", "to": "11:00"}
    call = house.placed(to="+14155552671", window=asked, consent={"basis": "express"}, retry={"per_day": 1})
    assert call["window"] == asked
    assert call["due_at"] == "2026-11-25T18:00:00.000000Z"  # ten in San Francisco
    from store import calls

    row = calls.get_call(house.db, house.tenant.id, parse_ref("call", call["id"]))
    assert row is not None
    assert RetryRules().with_(row.retry or {}).time_zone == "America/Los_Angeles"
    in_tokyo = house.placed(
        to="+14155552671", window=asked, consent={"basis": "express"}, recipient={"timezone": "Asia/Tokyo"}
    )
    assert in_tokyo["due_at"] == "2026-11-26T01:00:00.000000Z"


def test_a_dry_run_says_what_would_happen_and_keeps_nothing(house: House, world: World, clock: Clock) -> None:
    before = world.counts()
    said = house.dry(to=JAMAICA, **{"from": "+442079460001"})
    assert said["accepted"] is False
    assert {one["pointer"]: one["code"] for one in said["errors"]} == {"/to": "account_not_set_up"}
    assert said["first_dial_at"] is None
    house.allow("DE")
    clock.fixed = WEDNESDAY + timedelta(hours=4)
    said = house.dry()
    assert (said["accepted"], said["errors"], said["dry_run"]) == (True, [], True)
    assert (said["first_dial_at"], said["dial_until"]) == ("2026-11-26T07:00:00.000000Z", "2026-11-26T18:59:05.000000Z")
    assert (said["country"], said["zones"], said["zone_by"]) == ("DE", ["Europe/Berlin"], "number")
    assert (said["route"], said["hours"], said["caller_id"]) == ("germany", "country", "assigned")
    assert [one["rule"] for one in said["findings"]] == ["hours"]
    assert said["queue"]["queued"] == 0
    assert house.dry(agent_id=f"agent_{'0' * 32}")["errors"][0]["code"] == "unknown_agent"
    assert house.dry(to="+33142685300")["errors"][-1]["code"] == "no_route"
    assert house.dry(expires_at="2020-01-01T00:00:00Z")["errors"][0]["code"] == "in_the_past"
    tenants.update(house.db, house.tenant.name, max_queued=0)
    assert house.dry()["errors"][0]["code"] == "queue_full"
    assert world.counts() == before
    # The same is refused as without.
    assert house.api.post("/v1/calls?dry_run=true", house.order(to="+911")).status_code == 422
    assert named(house.api.post("/v1/calls?dry_run=1", house.order())) == {"dry_run": "wrong_type"}
    keyed = house.api.post("/v1/calls?dry_run=true", house.order(), headers={"Idempotency-Key": "k"})
    assert named(keyed) == {"Idempotency-Key": "not_allowed"}


def test_a_dry_run_and_the_call_agree(house: House) -> None:
    house.allow("DE", "US")
    for changes in ({}, {"to": US, "consent": {"basis": "express"}}, {"not_before": "2026-11-25T23:00:00Z"}):
        said, call = house.dry(**changes), house.placed(**changes)
        assert said["accepted"] is True
        assert said["first_dial_at"] == call["due_at"]
        kept = permission.decisions(house.db, house.tenant.id, parse_ref("call", call["id"]))
        ((_, decision),) = kept.items()
        assert decision is not None
        assert {name: decision[name] for name in ("zones", "consent", "caller_id", "ruleset", "findings")} == {
            name: said[name] for name in ("zones", "consent", "caller_id", "ruleset", "findings")
        }


def test_the_numbers_that_may_be_shown_are_listed_page_by_page(house: House, api: Api) -> None:
    house.allow("DE", caller="+442079460000")
    outbound.put_caller_id(house.db, house.tenant.id, "+4930999", block=True, reference="letter")
    page = house.api.get("/v1/caller_ids?limit=1").get_json()
    assert [one["id"] for one in page["data"]] == ["+442079460000"]
    assert page["has_more"] is True
    rest = house.api.get("/v1/caller_ids", query_string={"starting_after": page["next_cursor"]}).get_json()
    (block,) = rest["data"]
    assert (block["id"], block["block"], block["how"], block["reference"]) == ("+4930999", True, "assigned", "letter")
    assert house.placed(**{"from": "+49309991234"})["from"] == "+49309991234"
    other = [one["id"] for one in api.get("/v1/caller_ids").get_json()["data"]]
    assert "+442079460000" not in other


def test_the_laboratory_may_do_anything(house: House) -> None:
    give_the_world(house.db, house.tenant.id)
    for to in ("+4930123456", US, JAMAICA):
        assert house.placed(to=to)["status"] == "queued"
