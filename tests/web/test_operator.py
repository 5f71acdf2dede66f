"""/v1/operator: for operators' keys alone; what it changes is what the command line would, and every change is noted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from redis import Redis

from budget.connect import connect
from calls.access import SCOPES, network
from settings import Settings
from store import carriers, keys, operator_keys, scopes, tenants, trunks
from store.scopes import tenant_scope
from tests.web.conftest import Api, Clock, World, named
from tests.web.operators import Noted, a_switch, carrier, fresh, noted, operator, operator_api
from web.app import create_app

__all__ = ["carrier", "noted", "operator"]  # fixtures

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
    (
        "POST",
        "/tenants/ours/keys",
        {"name": "a", "scopes": ["keys:manage"], "mode": "test"},
        {"/scopes": "not_for_test_keys"},
    ),
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
    app = create_app(settings(operator_requests_per_s=0.01), database=world.database, redis=redis)
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
