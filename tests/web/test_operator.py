"""/v1/operator: for operators' keys alone; what it changes is what the command line would, and every change is noted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from redis import Redis

from budget.connect import connect
from calls.access import SCOPES, network
from settings import Settings
from store import carriers, gateways, keys, operator_keys, scopes, switches, tenants, trunks
from store.scopes import tenant_scope
from tests.web.conftest import Api, Clock, World, named
from tests.web.operators import a_switch, operator_api
from web.app import create_app

Noted = Callable[[], list[tuple[str, str, str, dict[str, Any]]]]


@pytest.fixture
def operator(app: Flask, world: World) -> Api:
    return operator_api(app, world)


@pytest.fixture
def noted(monkeypatch: Any) -> Noted:
    """Every line for the audit ledger: (actor, action, subject, data)."""
    lines: list[tuple[str, str, str, dict[str, Any]]] = []

    def record(_: Any, *, actor: str, action: str, subject: str, data: dict[str, Any]) -> None:
        lines.append((actor, action, subject, json.loads(json.dumps(data, default=str))))

    monkeypatch.setattr("store.changes.audit.record", record)
    return lambda: lines


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid4().hex[:8]}"


@pytest.fixture
def carrier(world: World) -> str:
    name = fresh("telco")
    carriers.put_carrier(world.database, name=name, max_channels=10, cps=5)
    return name


ADDRESSES = [
    ("GET", "/v1/operator/tenants"),
    ("POST", "/v1/operator/tenants"),
    ("PATCH", "/v1/operator/carriers/acme"),
    ("DELETE", "/v1/operator/routes/germany"),
    ("GET", "/v1/operator/why"),
]


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_a_tenants_key_opens_nothing_here(api: Api, method: str, path: str) -> None:
    response = api.send(method, path)
    assert (response.status_code, response.get_json()["code"]) == (401, "wrong_key_kind")
    assert "tlo_" in response.get_json()["detail"]
    assert api.send(method, path, key="").get_json()["code"] == "missing_api_key"
    invented = f"tlo_{'a' * 12}_{'0' * 64}"
    assert api.send(method, path, key=invented).get_json()["code"] == "bad_api_key"
    # Nor does its secret under an operator's word.
    assert api.send(method, path, key="tlo_" + api.key.removeprefix("tl_")).status_code == 401


def test_an_operators_key_opens_nothing_of_a_tenants(app: Flask, operator: Api) -> None:
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/v1/") or rule.rule.startswith(("/v1/operator/", "/v1/docs", "/v1/openapi.json")):
            continue
        path = rule.rule.replace("<", "").replace(">", "")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            response = operator.send(method, path)
            assert (response.status_code, response.get_json()["code"]) == (401, "wrong_key_kind"), path


def test_an_operators_key_ends_and_is_bound(app: Flask, operator: Api, world: World, clock: Clock) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    made, plaintext = operator_keys.create(
        world.database, name="bob", allowed_ips=[network("203.0.113.0/24")], expires_at=end
    )
    there = {"environ_base": {"REMOTE_ADDR": "203.0.113.7"}}
    assert operator.get("/v1/operator/why", key=plaintext, **there).status_code == 200
    refused = operator.get("/v1/operator/why", key=plaintext)
    assert (refused.status_code, refused.get_json()["code"]) == (403, "ip_not_allowed")
    clock.fixed = end
    assert operator.get("/v1/operator/why", key=plaintext, **there).status_code == 401
    clock.fixed = None
    assert operator_keys.revoke(world.database, made.prefix, datetime.now(UTC))
    assert operator.get("/v1/operator/why", key=plaintext, **there).status_code == 401
    assert plaintext.rsplit("_", 1)[1] not in repr(operator_keys.list_keys(world.database))
    (shown,) = [one for one in operator_keys.list_keys(world.database) if one.id == made.id]
    assert shown.last_used_at is not None
    with pytest.raises(ValueError, match="name must be"):
        operator_keys.create(world.database, name="Not A Name")


def test_a_tenant_is_made_with_its_first_key(app: Flask, operator: Api, world: World, noted: Noted) -> None:
    name = fresh("acme")
    made = operator.post("/v1/operator/tenants", {"name": name, "weight": 3})
    assert made.status_code == 201
    secret = made.get_json()["webhook_secret"]
    assert secret.startswith("whsec_")
    where = made.headers["Location"]
    read = operator.get(where)
    assert "webhook_secret" not in read.get_json()
    assert (read.get_json()["weight"], read.get_json()["paused"], read.get_json()["queued"]) == (3, False, 0)
    key = operator.post(f"{where}/keys", {"name": "first", "scopes": list(SCOPES)})
    assert key.status_code == 201
    theirs = Api(app, key.get_json()["key"])
    assert theirs.get("/v1/keys").get_json()["data"][0]["name"] == "first"
    # What the operator sees of it, and ends.
    listed = operator.get(f"{where}/keys").get_json()["data"]
    assert [one["name"] for one in listed] == ["first"]
    rotated = operator.post(f"{key.headers['Location']}/rotate", {"old_expires_in_s": 60})
    assert rotated.status_code == 201
    assert operator.send("DELETE", key.headers["Location"]).get_json()["status"] == "revoked"
    assert theirs.get("/v1/keys").status_code == 401
    assert Api(app, rotated.get_json()["key"]).get("/v1/keys").status_code == 200
    assert [line[1:3] for line in noted()] == [
        ("tenant.created", f"tenant:{name}"),
        ("key.created", f"key:{listed[0]['prefix'].removeprefix('tl_')}"),
        ("key.rotated", f"key:{listed[0]['prefix'].removeprefix('tl_')}"),
        ("key.revoked", f"key:{listed[0]['prefix'].removeprefix('tl_')}"),
    ]
    assert {line[0] for line in noted()} == {"operator:alice"}
    told = json.dumps(noted())
    secrets = [key.get_json()["key"], rotated.get_json()["key"]]
    assert not [text for text in secrets if text.rsplit("_", 1)[1] in told]
    assert secret not in told


def test_a_tenants_key_is_found_below_its_own_tenant_alone(operator: Api, world: World) -> None:
    made, _ = keys.create(world.database, tenant_id=world.theirs.id)
    path = f"/v1/operator/tenants/ours/keys/key_{made.id.hex}"
    assert operator.get(path).status_code == 404
    assert operator.post(f"{path}/rotate", {}).status_code == 404
    assert operator.send("DELETE", path).status_code == 404
    assert operator.get(path.replace("/ours/", "/theirs/")).status_code == 200


def test_what_a_tenant_may_is_changed_and_cleared(operator: Api, world: World, api: Api, noted: Noted) -> None:
    name = fresh("acme")
    tenant = tenants.create(world.database, name=name)
    path = f"/v1/operator/tenants/{name}"
    changes = {"max_channels": 5, "cps": 2.5, "max_queued": 7, "requests_per_s": 9, "paused": True, "weight": 4}
    changed = operator.send("PATCH", path, json=changes).get_json()
    assert {field: changed[field] for field in changes} == changes
    stored = tenants.get(world.database, tenant.id)
    assert stored is not None
    assert (stored.paused, stored.max_queued, stored.requests_per_s) == (True, 7, 9)
    scope = tenant_scope(tenant.id)
    assert scopes.get_scopes(world.database, [scope])[scope].cps == 2.5
    cleared = operator.send("PATCH", path, json={"max_channels": None, "cps": None, "max_queued": None, "paused": False})
    assert [cleared.get_json()[field] for field in ("max_channels", "cps", "max_queued", "weight")] == [None, None, None, 4]
    assert operator.post(f"{path}/actions/cancel_queued").status_code == 202
    stored = tenants.get(world.database, tenant.id)
    assert stored is not None
    assert stored.canceled_before is not None
    assert [line[1] for line in noted()] == ["tenant.changed", "tenant.changed", "tenant.queue_canceled"]
    assert noted()[0][3] == changes


def test_tenants_are_paged_by_name(operator: Api, world: World) -> None:
    for letter in "abc":
        tenants.create(world.database, name=f"zz-{letter}")
    page = operator.get("/v1/operator/tenants?limit=2&starting_after=zz").get_json()
    assert [one["name"] for one in page["data"]] == ["zz-a", "zz-b"]
    rest = operator.get(f"/v1/operator/tenants?limit=2&starting_after={page['next_cursor']}").get_json()
    assert ([one["name"] for one in rest["data"]], rest["has_more"]) == (["zz-c"], False)


REFUSED: list[tuple[str, str, Any, dict[str, str]]] = [
    ("POST", "/tenants", {"name": "Not A Name"}, {"/name": "bad_format"}),
    ("POST", "/tenants", {"name": "Upper"}, {"/name": "bad_format"}),
    ("POST", "/tenants", {"name": "x", "webhook_url": "http://127.0.0.1/"}, {"/webhook_url": "bad_scheme"}),
    ("POST", "/tenants", {"name": "x", "webhook_secret": "whsec_x"}, {"/webhook_secret": "unknown_field"}),
    ("PATCH", "/tenants/ours", {}, {"": "required"}),
    ("PATCH", "/tenants/ours", [], {"": "wrong_type"}),
    ("PATCH", "/tenants/ours", {"name": "other"}, {"/name": "unknown_field"}),
    ("PATCH", "/tenants/ours", {"weight": None}, {"/weight": "wrong_type"}),
    ("PATCH", "/tenants/ours", {"cps": -1}, {"/cps": "out_of_range"}),
    ("PATCH", "/tenants/ours", {"cps": "1"}, {"/cps": "wrong_type"}),
    ("PATCH", "/tenants/ours", {"cps": True}, {"/cps": "wrong_type"}),
    ("PATCH", "/tenants/ours", {"max_queued": 2**31}, {"/max_queued": "out_of_range"}),
    ("PATCH", "/tenants/ours", {"recording_notice": "../x.wav"}, {"/recording_notice": "bad_format"}),
    ("POST", "/tenants/ours/keys", {"name": "a", "scopes": ["operator"]}, {"/scopes/0": "bad_value"}),
    ("POST", "/tenants/ours/keys", {"name": "a", "scopes": ["calls:read"], "mode": "test"}, {"/mode": "not_available"}),
    ("POST", "/carriers", {"name": "x"}, {"/max_channels": "required", "/cps": "required"}),
    ("POST", "/carriers", {"name": "x", "max_channels": 1, "cps": 1e6}, {"/cps": "out_of_range"}),
    ("POST", "/carriers", {"name": "x", "max_channels": 1, "cps": 1, "source_ip": "sip.example"}, {"": "not_possible"}),
    ("PATCH", "/carriers/acme", {}, {"": "required"}),
    ("PATCH", "/carriers/acme", {"password": "hunter2"}, {"/password": "not_kept"}),
    ("PATCH", "/carriers/acme", {"auth": "digest"}, {"": "not_possible"}),
    ("PATCH", "/carriers/acme", {"secret_env": "DATABASE_URL"}, {"": "not_possible"}),
    ("PATCH", "/carriers/acme", {"codecs": ["PCMA", "G722"]}, {"/codecs/1": "bad_value"}),
    ("PATCH", "/carriers/acme", {"codecs": ["PCMA", "PCMA"]}, {"": "not_possible"}),
    ("PATCH", "/carriers/acme", {"tech_prefix": "7;"}, {"/tech_prefix": "bad_format"}),
    ("PATCH", "/carriers/acme", {"username": "a\r\nX: y"}, {"/username": "bad_character"}),
    ("PATCH", "/carriers/acme", {"username": "a b"}, {"": "not_possible"}),
    ("PATCH", "/carriers/acme", {"reject_texts": [{"text": "a", "class": "x"}]}, {"/reject_texts/0/class": "bad_value"}),
    ("PUT", "/carriers/acme/endpoints/e1", {"address": "sip.example:5060"}, {"": "not_possible"}),
    ("PUT", "/carriers/acme/endpoints/e1", {"address": "192.0.2.1:0"}, {"": "not_possible"}),
    ("PUT", "/carriers/acme/endpoints/e1", {}, {"/address": "required"}),
    ("GET", "/carriers/acme/preview?number=112", None, {"number": "emergency"}),
    ("POST", "/carriers/acme/test_calls", {}, dict.fromkeys(("/tenant", "/agent", "/to", "/from"), "required")),
    ("POST", "/gateways/actions/apply", {"renew": ["nobody"]}, {"/renew/0": "unknown_carrier"}),
    ("PUT", "/routes/x", {"prefixes": ["49"], "carriers": [{"carrier": "acme"}]}, {"": "not_possible"}),
    ("PUT", "/routes/x", {"prefixes": ["+49"], "carriers": [{"carrier": "acme"}]}, {"/prefixes/0": "bad_format"}),
    ("PUT", "/routes/x", {"prefixes": ["1"], "carriers": [{"carrier": "no"}]}, {"/carriers/0/carrier": "unknown_carrier"}),
    ("PUT", "/routes/x", {"prefixes": [], "carriers": []}, {"/prefixes": "bad_length", "/carriers": "bad_length"}),
    ("PUT", "/routes/X%20Y", {"prefixes": ["1"], "carriers": [{"carrier": "acme"}]}, {"": "not_possible"}),
    ("PATCH", "/limits/carrier:acme", {"cps": 1}, {"": "not_possible"}),
    ("PATCH", "/limits/nonsense", {"cps": 1}, {"": "not_possible"}),
    ("PATCH", "/limits/global", {}, {"": "required"}),
]


@pytest.mark.parametrize(("method", "path", "body", "faults"), REFUSED)
def test_what_is_wrong_is_named_and_changes_nothing(
    operator: Api, world: World, noted: Noted, method: str, path: str, body: Any, faults: dict[str, str]
) -> None:
    def everything() -> list[Any]:
        db = world.database
        found: list[Any] = [tenants.list_tenants(db), carriers.list_limits(db), trunks.list_trunks(db)]
        return [*found, carriers.list_endpoints(db), carriers.list_routes(db), scopes.list_scopes(db)]

    before = everything()
    response = operator.send(method, f"/v1/operator{path}", **({} if body is None else {"json": body}))
    assert response.status_code == 422, response.get_json()
    assert named(response) == faults
    assert "hunter2" not in response.get_data(as_text=True)
    assert everything() == before
    assert noted() == []


@pytest.mark.parametrize("name", ["nobody", "No%20Body", "%00", "a%0Ab", "x" * 300, "..", "%2e%2e"])
def test_what_there_is_not_is_404(operator: Api, name: str) -> None:
    for method, path, body in (
        ("GET", f"/tenants/{name}", None),
        ("PATCH", f"/tenants/{name}", {"weight": 1}),
        ("GET", f"/tenants/{name}/keys", None),
        ("GET", f"/carriers/{name}", None),
        ("PATCH", f"/carriers/{name}", {"cps": 1}),
        ("PUT", f"/carriers/{name}/endpoints/e1", {"address": "192.0.2.1:5060"}),
        ("PATCH", f"/carriers/acme/endpoints/{name}", {"enabled": False}),
        ("DELETE", f"/carriers/acme/endpoints/{name}", None),
        ("DELETE", f"/routes/{name}", None),
        ("POST", f"/switches/{name}/actions/drain", None),
        ("DELETE", f"/limits/{name}", None),
    ):
        response = operator.send(method, f"/v1/operator{path}", **({} if body is None else {"json": body}))
        assert (response.status_code, response.get_json()["code"]) == (404, "not_found"), path


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


def test_why_tells_what_holds(operator: Api, world: World, api: Api, order: Callable[..., Any], redis: Redis) -> None:
    api.post("/v1/calls", order())
    a_switch(world, "fs-why")
    told = operator.get("/v1/operator/why").get_json()
    assert told["queued"] >= 1
    assert "ours" in [one["tenant"] for one in told["tenants"]]
    acme = next(one for one in told["carriers"] if one["carrier"] == "acme")
    assert (acme["held_by"]["name"], acme["reachable"], acme["asked_s"]) == ("closed", False, None)
    assert (told["budget"]["epoch"], told["feeder_leads"], told["due"]) == (None, False, True)
    assert "fs-why" in [one["name"] for one in told["switches"]]


def test_why_without_redis_tells_what_postgres_knows(settings: Callable[..., Settings], world: World) -> None:
    nowhere = connect(settings(redis_url="redis://127.0.0.1:1/0"))
    told = operator_api(create_app(settings(), database=world.database, redis=nowhere), world).get("/v1/operator/why")
    assert told.status_code == 200
    assert (told.get_json()["budget"], told.get_json()["carriers"]) == (None, None)
    assert told.get_json()["epoch"]["ours"] in (True, False)


def test_an_operators_requests_are_counted(settings: Callable[..., Settings], world: World, redis: Redis) -> None:
    app = create_app(settings(operator_requests_per_s=0.1), database=world.database, redis=redis)
    mine, others = operator_api(app, world), operator_api(app, world, "bob")
    assert mine.get("/v1/operator/switches").status_code == 200
    refused = mine.get("/v1/operator/switches")
    assert (refused.status_code, refused.get_json()["code"]) == (429, "request_rate")
    assert refused.get_json()["limit"]["name"] == "alice"
    assert others.get("/v1/operator/switches").status_code == 200


def test_a_change_that_cannot_be_noted_is_not_made(operator: Api, world: World, carrier: str, monkeypatch: Any) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("no ledger")

    monkeypatch.setattr("store.changes.audit.record", full)
    assert operator.send("PATCH", f"/v1/operator/carriers/{carrier}", json={"cps": 1, "ring_s": 20}).status_code == 500
    assert operator.send("PATCH", "/v1/operator/tenants/ours", json={"max_channels": 1}).status_code == 500
    monkeypatch.undo()
    assert operator.get(f"/v1/operator/carriers/{carrier}").get_json()["cps"] == 5
    assert operator.get(f"/v1/operator/carriers/{carrier}").get_json()["ring_s"] is None
    assert operator.get("/v1/operator/tenants/ours").get_json()["max_channels"] is None
