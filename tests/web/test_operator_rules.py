"""/v1/operator: a tenant's rules, destinations, caller ids, caps; prices; what nobody calls. As the command line has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.liberty import give_the_world
from store import audit, caps, outbound, prices, suppressions, tenants
from store.prices import Price
from tests.web.conftest import FROM, TO, Api, World, named
from tests.web.operators import fresh, operator

__all__ = ["operator"]  # a fixture

AT = "/v1/operator"


@pytest.fixture
def tenant(world: World) -> str:
    """One for which nothing was set."""
    name = fresh("ruled")
    tenants.create(world.database, name=name)
    return name


def _told(world: World, subject: str) -> list[tuple[str, str, Any]]:
    """(actor, action, data) of each entry of the ledger about it, in order."""
    found = audit.list_entries(world.database, 100, subject=subject)
    return [(one.actor, one.action, one.data) for one in reversed(found)]


def _id(world: World, name: str) -> Any:
    found = tenants.get_by_name(world.database, name)
    assert found is not None
    return found.id


def test_rules_are_set_and_noted(operator: Api, world: World, tenant: str) -> None:
    at = f"{AT}/tenants/{tenant}/rules"
    before = operator.get(at).get_json()
    assert (before["set"], before["hours"], before["consent"]) == (False, "country", None)
    told = {"hours": "none", "hours_reason": "J. Doe, 27 November: own appointments", "time_zone": "Europe/Berlin"}
    consent = {"basis": "contract", "reference": "archive 17", "at": "2026-03-01T09:30:00Z"}
    after = operator.send("PATCH", at, json={**told, "consent": consent}).get_json()
    assert {name: after[name] for name in told} == told
    assert (after["set"], after["consent"]["basis"], after["consent"]["reference"]) == (True, "contract", "archive 17")
    kept = outbound.get(world.database, _id(world, tenant))
    assert kept is not None
    assert (kept.hours, kept.time_zone) == ("none", "Europe/Berlin")
    # Only what is named.
    assert operator.send("PATCH", at, json={"consent": None}).get_json()["time_zone"] == "Europe/Berlin"
    assert operator.send("PATCH", at, json={"hours": "country"}).get_json()["hours_reason"] is None
    ((actor, action, data), *_) = lines = _told(world, f"tenant:{tenant}")
    assert (actor, action, len(lines)) == ("operator:alice", "tenant.rules_changed", 3)
    # What names people is kept apart, where it can be erased.
    assert (data["hours"], data["consent"]["basis"]) == ("none", "contract")
    assert "Doe" not in str(data)
    assert "archive" not in str(data)


@pytest.mark.parametrize(
    ("body", "where", "code"),
    [
        ({}, "", "required"),
        ({"hours": "none"}, "/hours_reason", "required"),
        ({"hours": "none", "hours_reason": " "}, "/hours_reason", "required"),
        ({"hours_reason": "x"}, "/hours_reason", "not_allowed"),
        ({"time_zone": "Mars/Base"}, "/time_zone", "unknown_time_zone"),
        ({"time_zone": "UTC"}, "/time_zone", "no_place"),
        ({"consent": {"basis": "contract"}}, "/consent/reference", "required"),
        ({"consent": {"basis": "contract", "reference": "x", "at": "2099-01-01T00:00:00Z"}}, "/consent/at", "in_the_future"),
    ],
)
def test_rules_that_are_none_are_refused_by_the_field(
    operator: Api, tenant: str, body: dict[str, Any], where: str, code: str
) -> None:
    refused = operator.send("PATCH", f"{AT}/tenants/{tenant}/rules", json=body)
    assert (refused.status_code, named(refused)) == (422, {where: code})
    assert operator.get(f"{AT}/tenants/{tenant}/rules").get_json()["set"] is False


def test_destinations_are_changed_all_or_none(operator: Api, world: World, tenant: str) -> None:
    at = f"{AT}/tenants/{tenant}/destinations"
    entries = [{"match": "DE"}, {"match": "MV", "risk": "toll_fraud"}, {"match": "+4930900", "allow": False}]
    shown = operator.send("PATCH", at, json={"entries": entries}).get_json()["data"]
    assert [(one["match"], one["allow"], one["risk"], one["own_risk"]) for one in shown] == [
        ("+4930900", False, None, None),
        ("DE", True, "low", "low"),
        ("MV", True, "toll_fraud", "toll_fraud"),
    ]
    assert operator.send("PATCH", at, json={"remove": ["MV"], "entries": [{"match": "FR"}]}).status_code == 200
    assert [one["match"] for one in operator.get(at).get_json()["data"]] == ["+4930900", "DE", "FR"]
    for wrong, where, code in (
        ({"entries": [{"match": "GB"}, {"match": "XX"}]}, "/entries/1/match", "unknown_country"),
        ({"entries": [{"match": "de"}]}, "/entries/0/match", "bad_format"),
        ({"entries": [{"match": "GB"}], "remove": ["GB"]}, "", "conflict"),
        ({}, "", "required"),
    ):
        refused = operator.send("PATCH", at, json=wrong)
        assert (refused.status_code, named(refused)) == (422, {where: code})
    assert [one["match"] for one in operator.get(at).get_json()["data"]] == ["+4930900", "DE", "FR"]
    assert [action for _, action, _ in _told(world, f"tenant:{tenant}")] == [
        "tenant.destinations_allowed",
        "tenant.destinations_allowed",
        "tenant.destinations_denied",
        "tenant.destinations_removed",
        "tenant.destinations_allowed",
    ]


def test_what_the_house_excludes_no_tenant_dials_and_what_it_allows_each_may(
    operator: Api, api: Api, world: World, order: Callable[..., dict[str, Any]]
) -> None:
    at = f"{AT}/destinations"
    assert operator.get(at).get_json() == {"data": []}
    try:
        assert api.post("/v1/calls?dry_run=true", order()).get_json()["accepted"] is True
        shown = operator.send("PATCH", at, json={"entries": [{"match": "DE", "allow": False}]}).get_json()["data"]
        assert shown == [{"match": "DE", "allow": False, "risk": None, "own_risk": "low"}]
        # As one call, as a row of a batch, as a dry run.
        refused = api.post("/v1/calls", order())
        assert (refused.status_code, named(refused)) == (422, {"/to": "destination_not_allowed"})
        assert "DE are dialed by nobody of this system" in refused.get_json()["errors"][0]["detail"]
        assert named(api.post("/v1/batches", {"calls": [order()]})) == {"/calls/0/to": "destination_not_allowed"}
        said = api.post("/v1/calls?dry_run=true", order()).get_json()
        assert [one["rule"] for one in said["findings"]] == ["destination"]
        changed = {"remove": ["DE"], "entries": [{"match": "FR", "risk": "low"}]}
        assert [one["match"] for one in operator.send("PATCH", at, json=changed).get_json()["data"]] == ["FR"]
        # Where its own list says nothing of a number the house's decides.
        outbound.forget(world.database, world.ours.id, ["+"])
        assert named(api.post("/v1/calls", order())) == {"/to": "destination_not_allowed"}
        assert api.post("/v1/calls?dry_run=true", order(to="+33142685300")).get_json()["findings"] == []
    finally:
        operator.send("PATCH", at, json={"remove": ["DE", "FR"]})
        give_the_world(world.database, world.ours.id)
    assert [(who, what) for who, what, _ in _told(world, "house")[-4:]] == [
        ("operator:alice", "house.destinations_denied"),
        ("operator:alice", "house.destinations_removed"),
        ("operator:alice", "house.destinations_allowed"),
        ("operator:alice", "house.destinations_removed"),
    ]
    assert named(operator.send("PATCH", at, json={"entries": [{"match": "XX"}]})) == {"/entries/0/match": "unknown_country"}


def test_caller_ids_are_put_and_removed(operator: Api, world: World, tenant: str) -> None:
    at = f"{AT}/tenants/{tenant}/caller_ids"
    put = operator.send("PUT", f"{at}/{FROM}", json={"how": "verified", "reference": "letter of 3 May"}).get_json()
    assert (put["id"], put["how"], put["reference"], put["block"]) == (FROM, "verified", "letter of 3 May", False)
    assert operator.send("PUT", f"{at}/+4930123456", json={"block": True}).get_json()["block"] is True
    assert operator.get(f"{at}/{FROM}").get_json() == put
    first = operator.get(f"{at}?limit=1").get_json()
    second = operator.get(f"{at}?limit=1&starting_after=%2B{first['next_cursor'][1:]}").get_json()
    assert [first["data"][0]["id"], second["data"][0]["id"]] == [FROM, "+4930123456"]
    for number, body in (("+49", {"block": True}), ("+4930", {}), ("x", {})):
        refused = operator.send("PUT", f"{at}/{number}", json=body)
        assert (refused.status_code, named(refused)) == (422, {"": "not_possible"})
    assert operator.send("DELETE", f"{at}/{FROM}").get_json() == {"id": FROM, "deleted": True}
    assert operator.send("DELETE", f"{at}/{FROM}").status_code == 404
    lines = _told(world, f"tenant:{tenant}")
    assert [action for _, action, _ in lines] == ["tenant.caller_id_put"] * 2 + ["tenant.caller_id_removed"]
    assert FROM not in str(lines)  # the number is among what can be erased


def test_caps_are_set_shown_and_taken_away(operator: Api, world: World, tenant: str) -> None:
    at = f"{AT}/tenants/{tenant}/caps"
    assert operator.get(at).get_json()["used"] is None
    wanted = {"calls_per_minute": 60, "spend_per_day": 400.000001, "time_zone": "Europe/Berlin"}
    shown = operator.send("PATCH", at, json=wanted).get_json()
    assert {name: shown[name] for name in wanted} == wanted
    assert shown["used"] == {
        "calls_per_minute": 0,
        "minutes_per_day": 0.0,
        "spend_per_day": 0.0,
        "new_prefixes_per_hour": 0,
        "on_the_line": 0,
    }
    assert caps.get_caps(world.database, _id(world, tenant)).spend_per_day == 400_000_001
    assert operator.send("PATCH", at, json={"calls_per_minute": None, "spend_per_day": None}).get_json()["used"] is None
    for wrong, code in (
        ({"calls_per_minute": 0}, "out_of_range"),
        ({"spend_per_day": 0.0000001}, "bad_format"),
        ({"spend_per_day": -1}, "out_of_range"),
        ({"spend_per_day": "1"}, "wrong_type"),
    ):
        refused = operator.send("PATCH", at, json=wrong)
        assert (refused.status_code, named(refused)) == (422, {f"/{next(iter(wrong))}": code})
    (line, *_) = _told(world, f"tenant:{_id(world, tenant)}")
    assert line[:2] == ("operator:alice", "tenant.caps_changed")


def test_prices_are_set_one_by_one_and_in_lists(operator: Api, world: World) -> None:
    at = f"{AT}/prices"
    one = operator.send("PUT", f"{at}/all", json={"per_minute": 1, "per_attempt": 0.000001, "increment_s": 1}).get_json()
    assert one == {"prefix": "all", "per_minute": 1.0, "per_attempt": 0.000001, "increment_s": 1}
    several = [{"prefix": prefix, "per_minute": 0.0125} for prefix in ("4915", "49", "44")]
    assert operator.get(f"{at}/all").get_json() == one
    assert operator.post(f"{at}/import", {"prices": several}).get_json() == {"prices": 3}
    assert Price("4915", 12_500, 0, 60) in prices.list_prices(world.database)
    seen, cursor = [], ""
    while cursor is not None:
        page = operator.get(f"{at}?limit=1{cursor and f'&starting_after={cursor}'}").get_json()
        seen += [one["prefix"] for one in page["data"]]
        cursor = page["next_cursor"]
    assert seen == ["all", "44", "49", "4915"]
    # One that is wrong keeps all of them back.
    wrong = [{"prefix": "1", "per_minute": 1}, {"prefix": "+1", "per_minute": 1}]
    assert named(operator.post(f"{at}/import", {"prices": wrong})) == {"/prices/1/prefix": "bad_format"}
    twice = [{"prefix": "1", "per_minute": 1}, {"prefix": "1", "per_minute": 2}]
    assert named(operator.post(f"{at}/import", {"prices": twice})) == {"": "not_possible"}
    assert named(operator.send("PUT", f"{at}/+49", json={"per_minute": 1})) == {"prefix": "bad_format"}
    assert prices.price_of(world.database, "+1415").minute_micros == 1_000_000  # type: ignore[union-attr]
    assert operator.send("DELETE", f"{at}/all").get_json() == {"prefix": "all", "deleted": True}
    assert operator.send("DELETE", f"{at}/all").status_code == 404
    actions = [(actor, action) for actor, action, _ in _told(world, "prices")]
    assert set(actions) == {("operator:alice", "prices.changed"), ("operator:alice", "prices.removed")}


def test_what_the_operator_suppresses_nobody_calls(
    operator: Api, api: Api, world: World, order: Callable[..., dict[str, Any]]
) -> None:
    at = f"{AT}/suppressions"
    waiting = api.post("/v1/calls", order()).get_json()["id"]
    made = operator.post(at, {"number": "+49 30 123456", "source": "letter", "list_name": "2026-03"})
    entry = made.get_json()
    assert (made.status_code, entry["number"], entry["new"], entry["calls_ended"]) == (201, TO, True, 1)
    assert (entry["origin"], entry["created_by"]) == ("operator", "operator:alice")
    assert api.get(f"/v1/calls/{waiting}").get_json()["status"] == "canceled"
    assert named(api.post("/v1/calls", order())) == {"/to": "suppressed"}
    again = operator.post(at, {"number": TO, "source": "another"}).get_json()
    assert (again["id"], again["new"], again["source"]) == (entry["id"], False, "letter")
    # Tenants see the refusal, and not the entry; the operator's list has none of theirs.
    assert api.get("/v1/suppressions").get_json()["data"] == []
    assert api.get(f"/v1/suppressions/{entry['id']}").status_code == 404
    own = api.post("/v1/suppressions", {"number": "+4930123457", "source": "hotline"}).get_json()["id"]
    assert operator.get(f"{at}/{own}").status_code == 404
    assert operator.send("DELETE", f"{at}/{own}?reason=x").status_code == 404
    assert [one["id"] for one in operator.get(at).get_json()["data"]] == [entry["id"]]
    lifted = operator.send("DELETE", f"{at}/{entry['id']}?reason=mistake").get_json()
    assert (lifted["lifted_by"], lifted["lifted_reason"]) == ("operator:alice", "mistake")
    assert operator.get(at).get_json()["data"] == []
    assert operator.get(f"{at}?lifted=include").get_json()["data"] == [lifted]
    assert api.post("/v1/calls", order()).status_code == 202
    lines = _told(world, "suppressions:global")
    assert [action for _, action, _ in lines] == ["suppression.created", "suppression.lifted"]
    assert TO not in str(lines)


def test_what_the_operator_suppresses_for_a_tenant_that_one_does_not_call(
    operator: Api, api: Api, world: World, order: Callable[..., dict[str, Any]]
) -> None:
    number = "+4930123888"
    at, theirs = (f"{AT}/tenants/{name}/suppressions" for name in (world.ours.name, world.theirs.name))
    waiting = api.post("/v1/calls", order(to=number)).get_json()["id"]
    made = operator.post(at, {"number": number, "source": "letter", "note": "by post"})
    entry = made.get_json()
    assert (made.status_code, made.headers["Location"]) == (201, f"{at}/{entry['id']}")
    assert (entry["new"], entry["calls_ended"], entry["created_by"]) == (True, 1, "operator:alice")
    assert api.get(f"/v1/calls/{waiting}").get_json()["status"] == "canceled"
    assert named(api.post("/v1/calls", order(to=number))) == {"/to": "suppressed"}
    # It is the tenant's own, whoever wrote it down: no other's, nor the house's.
    kept = {name: value for name, value in entry.items() if name not in ("new", "calls_ended")}
    assert api.get(f"/v1/suppressions/{entry['id']}").get_json() == kept
    assert operator.get(f"{at}/{entry['id']}").get_json() == kept
    only = "number=%2B4930123888"
    assert operator.get(f"{at}?{only}").get_json()["data"] == [kept]
    assert operator.get(f"{theirs}?{only}").get_json()["data"] == []
    for elsewhere in (f"{theirs}/{entry['id']}", f"{AT}/suppressions/{entry['id']}"):
        assert operator.get(elsewhere).status_code == 404
        assert operator.send("DELETE", f"{elsewhere}?reason=x").status_code == 404
    own = api.post("/v1/suppressions", {"number": "+4930123889", "source": "hotline"}).get_json()["id"]
    assert [one["id"] for one in operator.get(f"{at}?limit=2").get_json()["data"]] == [own, entry["id"]]
    lifted = operator.send("DELETE", f"{at}/{entry['id']}?reason=mistake").get_json()
    assert (lifted["lifted_by"], lifted["lifted_reason"]) == ("operator:alice", "mistake")
    assert operator.send("DELETE", f"{at}/{own}?reason=asked%20for").get_json()["lifted_by"] == "operator:alice"
    assert operator.get(f"{at}?{only}").get_json()["data"] == []
    assert operator.get(f"{at}?{only}&lifted=include").get_json()["data"] == [lifted]
    assert api.post("/v1/calls", order(to=number)).status_code == 202
    body = {"numbers": [number, "no number"], "source": "registry", "obtained_at": "2026-03-01T00:00:00Z"}
    told = operator.post(f"{at}/import", body).get_json()
    assert (told["new"], told["refused"], told["calls_ended"]) == (1, 1, 1)
    lines = _told(world, f"suppressions:{world.ours.id}")
    assert {actor for actor, _, data in lines if data.get("origin") != "api"} == {"operator:alice"}
    assert operator.get(f"{AT}/tenants/nobody/suppressions").status_code == 404


def test_a_list_is_suppressed_with_where_it_is_from(operator: Api, world: World) -> None:
    body = {"numbers": ["+4930123401", "no number", "+4930123402", "+4930123401"], "source": "registry"}
    refused = operator.post(f"{AT}/suppressions/import", body)
    assert named(refused) == {"/obtained_at": "required"}
    told = operator.post(f"{AT}/suppressions/import", {**body, "obtained_at": "2026-03-01T00:00:00Z"}).get_json()
    assert (told["new"], told["known"], told["refused"], told["calls_ended"]) == (2, 1, 1, 0)
    assert [error["pointer"] for error in told["errors"]] == ["/numbers/1"]
    kept = suppressions.list_page(world.database, None, 10, number="+4930123402")
    assert [(one.origin, one.source, one.created_by) for one in kept] == [("import", "registry", "operator:alice")]
    # A list may be larger than other bodies.
    many = {"numbers": [f"+49301{n:06d}" for n in range(5000)], "source": "registry", "obtained_at": "2026-03-01T00:00:00Z"}
    assert operator.post(f"{AT}/suppressions/import", many).get_json()["new"] == 5000
