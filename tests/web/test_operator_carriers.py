"""/v1/operator: carriers from their rows to the switches, routes, limits, switches, test calls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from store import carriers, gateways, switches, trunks
from tests.web.conftest import Api, World, named
from tests.web.operators import Noted, a_switch, carrier, fresh, noted, operator

__all__ = ["carrier", "noted", "operator"]  # fixtures


def test_a_carrier_is_made_changed_paused_and_shown(operator: Api, world: World, noted: Noted) -> None:
    name = fresh("telco")
    made = operator.post("/v1/operator/carriers", {"name": name, "max_channels": 30, "cps": 4.5})
    assert made.status_code == 201
    path = made.headers["Location"]
    changes = {
        "paused": True,
        "cps": 3,
        "auth": "digest",
        "username": "u4711",
        "secret_env": "TRUNKLINE_SECRET_TELCO",
        "number_format": "national",
        "country_code": "49",
        "tech_prefix": "7*",
        "codecs": ["PCMA"],
        "reject_texts": [{"code": 503, "text": "calls per second", "class": "cps"}],
        "ping_s": None,
    }
    changed = operator.send("PATCH", path, json=changes)
    assert changed.status_code == 200
    assert {field: changed.get_json()[field] for field in changes} == changes
    assert changed.get_json()["invite_cost"] == 2
    stored = trunks.get(world.database, name)
    assert stored is not None
    assert (stored.auth, stored.codecs, stored.reject_texts) == ("digest", ["PCMA"], changes["reject_texts"])
    # All of it or nothing: the limit is fine, the SIP side is not.
    refused = operator.send("PATCH", path, json={"cps": 1, "privacy": "id"})
    assert (refused.status_code, named(refused)) == (422, {"": "not_possible"})
    assert "from_domain" in refused.get_json()["errors"][0]["detail"]
    assert operator.get(path).get_json()["cps"] == 3
    listed = {one["name"]: one for one in operator.get("/v1/operator/carriers").get_json()["data"]}
    assert listed[name]["secret_env"] == "TRUNKLINE_SECRET_TELCO"
    again = operator.post("/v1/operator/carriers", {"name": name, "max_channels": 1, "cps": 1})
    assert (again.status_code, again.get_json()["code"]) == (409, "name_taken")
    assert operator.get(path).get_json()["max_channels"] == 30
    assert [line[1:3] for line in noted()] == [
        ("carrier.created", f"carrier:{name}"),
        ("carrier.changed", f"carrier:{name}"),
    ]


def test_endpoints_are_put_switched_off_and_removed(operator: Api, world: World, carrier: str, noted: Noted) -> None:
    path = f"/v1/operator/carriers/{carrier}/endpoints/e1"
    put = operator.send("PUT", path, json={"address": "192.0.2.10:5060"}).get_json()["endpoints"]
    assert put == [
        {"name": "e1", "gateway": f"{carrier}-e1-v1", "address": "192.0.2.10:5060", "enabled": True, "loaded": False}
    ]
    off = operator.send("PATCH", path, json={"enabled": False}).get_json()["endpoints"]
    assert [(one["address"], one["enabled"]) for one in off] == [("192.0.2.10:5060", False)]
    on = operator.send("PATCH", path, json={"enabled": True, "address": "192.0.2.11:5060"}).get_json()["endpoints"]
    assert [(one["address"], one["enabled"]) for one in on] == [("192.0.2.11:5060", True)]
    assert operator.send("DELETE", path).get_json()["endpoints"] == []
    assert [line[1] for line in noted()] == ["endpoint.put", "endpoint.put", "endpoint.put", "endpoint.removed"]


def test_gateways_are_ordered_and_what_was_found_is_told(operator: Api, world: World, carrier: str) -> None:
    a_switch(world, "fs-gw")
    operator.send("PUT", f"/v1/operator/carriers/{carrier}/endpoints/e1", json={"address": "192.0.2.10:5060"})
    applied = operator.post("/v1/operator/gateways/actions/apply", {})
    assert applied.status_code == 202
    gateway = f"{carrier}-e1-v1"
    assert gateway in applied.get_json()["made"]
    assert "fs-gw" in applied.get_json()["switches"]
    waiting = operator.get("/v1/operator/gateways").get_json()
    (order,) = [one for one in waiting["orders"] if one["switch"] == "fs-gw"]
    assert (order["kind"], order["done_at"], gateway in waiting["not_dialed"]) == ("apply", None, True)
    # As the controller beside the switch would.
    mine = gateways.open_order(world.database, "fs-gw")
    assert mine is not None
    found = [{"gateway": gateway, "what": "missing", "detail": "not there"}]
    gateways.done(world.database, "fs-gw", mine.id, found, datetime.now(UTC))
    gateways.put_loads(world.database, "fs-gw", {gateway: ("failed", "no file")}, datetime.now(UTC))
    told = operator.get("/v1/operator/gateways").get_json()
    (order,) = [one for one in told["orders"] if one["switch"] == "fs-gw"]
    assert (order["findings"], order["done_at"] is not None) == (found, True)
    assert {"switch": "fs-gw", "gateway": gateway, "state": "failed", "why": "no file"}.items() <= {
        **next(one for one in told["gateways"] if one["gateway"] == gateway)
    }.items()
    assert operator.post("/v1/operator/gateways/actions/look").get_json()["made"] == []
    again = operator.post("/v1/operator/gateways/actions/apply", {"renew": [carrier]}).get_json()
    assert again["made"] == [f"{carrier}-e1-v2"]


def test_a_dial_is_previewed_by_the_rules(operator: Api, world: World, carrier: str) -> None:
    path = f"/v1/operator/carriers/{carrier}"
    operator.send("PUT", f"{path}/endpoints/e1", json={"address": "192.0.2.10:5060"})
    operator.send(
        "PATCH",
        path,
        json={"number_format": "national", "country_code": "49", "tech_prefix": "7#", "caller_format": "digits"},
    )
    found = operator.get(f"{path}/preview?number=%2B4930123456&from=%2B442079460000").get_json()
    assert (found["written"], found["request_uri"]) == ("7#030123456", "sip:7%23030123456@192.0.2.10:5060")
    assert (found["route"], found["served"], found["country"]) == ("germany", False, "DE")
    assert any("442079460000" in line for line in found["headers"])


def test_a_route_is_put_listed_and_removed(operator: Api, world: World, carrier: str, noted: Noted) -> None:
    name = fresh("gb")
    body = {"prefixes": ["441", "442"], "carriers": [{"carrier": carrier, "tier": 2, "weight": 5, "price": 0.0125}]}
    put = operator.send("PUT", f"/v1/operator/routes/{name}", json=body)
    assert put.get_json() == {"name": name, **body}
    assert put.get_json() in operator.get("/v1/operator/routes").get_json()["data"]
    assert carriers.route_for(world.database, "+442079460000") == name
    left = operator.send("DELETE", f"/v1/operator/routes/{name}").get_json()["data"]
    assert name not in [one["name"] for one in left]
    assert [line[1:3] for line in noted()] == [("route.put", f"route:{name}"), ("route.removed", f"route:{name}")]


def test_a_switch_is_drained_and_back(operator: Api, world: World, noted: Noted) -> None:
    name = fresh("fs")
    a_switch(world, name)
    since = operator.post(f"/v1/operator/switches/{name}/actions/drain").get_json()["drained_at"]
    assert since is not None
    assert switches.drained(world.database, name)
    assert operator.post(f"/v1/operator/switches/{name}/actions/drain").get_json()["drained_at"] == since
    assert name in [one["name"] for one in operator.get("/v1/operator/switches").get_json()["data"] if one["drained_at"]]
    assert operator.post(f"/v1/operator/switches/{name}/actions/undrain").get_json()["drained_at"] is None
    assert [line[1] for line in noted()] == ["switch.drained", "switch.drained", "switch.undrained"]


def test_limits_are_set_and_taken_off(operator: Api, world: World) -> None:
    assert operator.send("PATCH", "/v1/operator/limits/account:acme", json={"cps": 2}).get_json()["cps"] == 2
    address = operator.send("PATCH", "/v1/operator/limits/ip:2001:DB8::1", json={"max_channels": 3}).get_json()
    assert address["scope"] == "ip:2001:db8::1"
    known = {one["scope"]: one for one in operator.get("/v1/operator/limits").get_json()["data"]}
    assert known["ip:2001:db8::1"]["max_channels"] == 3
    left = operator.send("DELETE", "/v1/operator/limits/ip:2001:db8::1").get_json()["data"]
    assert "ip:2001:db8::1" not in [one["scope"] for one in left]


def test_a_test_call_takes_no_other_call_with_it(operator: Api, world: World, carrier: str, noted: Noted) -> None:
    body = {"tenant": "ours", "agent": "greeter", "to": "+4930123456", "from": "+442079460000"}
    path = f"/v1/operator/carriers/{carrier}/test_calls"
    before = carriers.route_for(world.database, "+4930123456")
    placed = operator.post(path, body)
    assert placed.status_code == 202
    call = placed.get_json()
    assert (call["status"], call["max_attempts"], call["metadata"]) == ("queued", 1, {"test_call": carrier})
    assert carriers.route_for(world.database, "+4930123456") == before
    read = operator.get(placed.headers["Location"]).get_json()
    assert [one["state"] for one in read["attempts"]] == ["queued"]
    routes = {one.name: one for one in carriers.list_routes(world.database)}
    mine = next(one for name, one in routes.items() if name.startswith("trial-") and carrier[:10] in name)
    assert mine.prefix.startswith("0")
    assert operator.post(path, body).status_code == 202, "the route is there, and is not another's"
    for field, value, code in (("tenant", "nobody", "unknown_tenant"), ("agent", "nobody", "unknown_agent")):
        refused = operator.post(path, {**body, field: value})
        assert (refused.status_code, named(refused)) == (422, {f"/{field}": code})
    assert [line[1] for line in noted()] == ["carrier.test_call", "carrier.test_call"]


def test_a_tenants_own_calls_are_not_read_here(operator: Api, api: Api, order: Callable[..., Any]) -> None:
    call = api.post("/v1/calls", order()).get_json()["id"]
    assert operator.get(f"/v1/operator/tenants/ours/test_calls/{call}").status_code == 404
