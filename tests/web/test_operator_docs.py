"""The operator API's description is true: every answer it tells of occurs, and fits."""

from __future__ import annotations

from typing import Any

import psycopg
from flask import Flask
from limits import RateLimitItemPerSecond

from calls.access import network
from calls.ids import tenant_ref
from store import agents, operator_keys, tenants
from tests.web.conftest import Api, World
from tests.web.operators import a_switch, operator_api
from tests.web.test_docs import MALFORMED, answers_that_fit, filled, in_flight_always, operations, spec, takes_a_key
from web.api.lists import IMPORT_BYTES

__all__ = ["spec"]  # a fixture

JSON = "application/json"
BROKEN = ((b"x" * 70_000, JSON), (b"x", JSON), (b"x", "text/plain"))


def test_every_described_answer_occurs_and_fits_its_schema(
    app: Flask, world: World, spec: dict[str, Any], monkeypatch: Any
) -> None:
    api = operator_api(app, world)
    with answers_that_fit(app, spec, lambda path: path.startswith("/v1/operator/")):
        _made(api, world)
        _bodies(api, spec)
        _refusals(api, world, spec, monkeypatch)


def _send(api: Api, method: str, path: str, body: Any = None, status: int | None = None) -> Any:
    response = api.send(method, f"/v1/operator{path}", **({} if body is None else {"json": body}))
    assert status is None or response.status_code == status, (method, path, response.get_json())
    return response


def _made(api: Api, world: World) -> None:
    """Everything once as it should be, and what there is none of."""
    a_switch(world)
    _send(api, "POST", "/tenants", {"name": "described"}, 201)
    _send(api, "POST", "/tenants", {"name": "described"}, 409)
    _send(api, "GET", "/tenants", status=200)
    _send(api, "GET", "/tenants?limit=x", status=422)
    for name, status in (("described", 200), ("nobody", 404)):
        _send(api, "GET", f"/tenants/{name}", status=status)
        _send(api, "PATCH", f"/tenants/{name}", {"weight": 2}, status)
        _send(api, "POST", f"/tenants/{name}/actions/cancel_queued", status=status + 2 * (status == 200))
        _send(api, "GET", f"/tenants/{name}/keys", status=status)
        made = {"name": "ci", "scopes": ["calls:read"]}
        key = _send(api, "POST", f"/tenants/{name}/keys", made, 201 if status == 200 else 404).get_json()
        _send(api, "POST", f"/tenants/{name}/keys", made, 409 if status == 200 else 404)
        path = f"/tenants/{name}/keys/{key.get('id', 'key_0')}"
        _send(api, "GET", path, status=status)
        for done in (201, 409):
            _send(api, "POST", f"{path}/rotate", {}, done if status == 200 else 404)
        _send(api, "DELETE", path, status=status)
    _send(api, "GET", "/tenants/described/keys?limit=x", status=422)

    carrier = {"name": "telco", "max_channels": 5, "cps": 1}
    _send(api, "POST", "/carriers", carrier, 201)
    _send(api, "POST", "/carriers", carrier, 409)
    _send(api, "GET", "/carriers", status=200)
    endpoint = {"address": "192.0.2.10:5060"}
    for name, status in (("telco", 200), ("nobody", 404)):
        _send(api, "GET", f"/carriers/{name}", status=status)
        _send(api, "PATCH", f"/carriers/{name}", {"cps": 2}, status)
        _send(api, "PUT", f"/carriers/{name}/endpoints/e1", endpoint, status)
        _send(api, "PATCH", f"/carriers/{name}/endpoints/e1", {"enabled": False}, status)
        _send(api, "GET", f"/carriers/{name}/preview?number=%2B4930123456", status=status)
        trial = {"tenant": "ours", "agent": "greeter", "to": "+4930123456", "from": "+442079460000"}
        placed = _send(api, "POST", f"/carriers/{name}/test_calls", trial, 202 if status == 200 else 404)
        if status == 200:
            assert api.get(placed.headers["Location"]).status_code == 200
            tenants.update(world.database, "ours", max_queued=0)
            _send(api, "POST", f"/carriers/{name}/test_calls", trial, 409)
            tenants.update(world.database, "ours", max_queued=None)
        _send(api, "DELETE", f"/carriers/{name}/endpoints/e1", status=status)
    _send(api, "GET", "/carriers/telco/preview", status=422)
    _send(api, "GET", f"/tenants/ours/test_calls/call_{'0' * 32}", status=404)

    _send(api, "GET", "/gateways", status=200)
    _send(api, "POST", "/gateways/actions/look", status=202)
    _send(api, "POST", "/gateways/actions/apply", {}, 202)
    route = {"prefixes": ["44"], "carriers": [{"carrier": "telco"}]}
    _send(api, "PUT", "/routes/described", route, 200)
    _send(api, "GET", "/routes", status=200)
    for status in (200, 404):
        _send(api, "DELETE", "/routes/described", status=status)
    for name, status in (("fs1", 202), ("nobody", 404)):
        _send(api, "POST", f"/switches/{name}/actions/drain", status=status)
        _send(api, "POST", f"/switches/{name}/actions/undrain", status=status)
    _send(api, "GET", "/switches", status=200)
    _send(api, "PATCH", "/limits/global", {"max_channels": 100}, 200)
    _send(api, "PATCH", "/limits/a%20b", {"max_channels": 100}, 404)
    _send(api, "GET", "/limits", status=200)
    for status in (200, 404):
        _send(api, "DELETE", "/limits/global", status=status)
    _send(api, "PATCH", "/pools/desk", {"inbound_reserved": 2, "dials_per_seat": 1.5}, 200)
    _send(api, "PATCH", "/pools/a%20b", {"inbound_reserved": 2}, 404)
    _send(api, "GET", "/pools", status=200)
    for pool, status in (("desk", 202), ("nobodys", 404)):
        _send(api, "POST", f"/pools/{pool}/actions/renew_key", status=status)
    agents.create(world.database, tenant_id=world.ours.id, name="seated", kind="fleet", pool="desk")
    _send(api, "DELETE", "/pools/desk", status=409)
    _send(api, "PATCH", "/pools/desk", {"tenant_id": tenant_ref(world.theirs.id)}, 409)
    _send(api, "PATCH", "/pools/spare", {"inbound_reserved": 0}, 200)
    for status in (200, 404):
        _send(api, "DELETE", "/pools/spare", status=status)
    trunk = {"carrier": "telco", "tenant_id": None}
    for name in ("hq", "spare"):
        _send(api, "PUT", f"/trunks/{name}", trunk, 200)
    _send(api, "PUT", "/trunks/a%20b", trunk, 404)
    _send(api, "GET", "/trunks", status=200)
    agents.create(world.database, tenant_id=world.ours.id, name="behind", kind="sip", number="+442079460123", trunk="hq")
    _send(api, "DELETE", "/trunks/hq", status=409)
    _send(api, "PUT", "/trunks/hq", {**trunk, "tenant_id": tenant_ref(world.theirs.id)}, 409)
    for status in (200, 404):
        _send(api, "DELETE", "/trunks/spare", status=status)
    _send(api, "GET", "/why", status=200)
    _send(api, "PATCH", "/destinations", {"entries": [{"match": "MV", "allow": False}]}, 200)
    _send(api, "PATCH", "/destinations", {"remove": ["MV"]}, 200)
    _send(api, "GET", "/destinations", status=200)
    _rules(api)
    _prices_and_suppressions(api)


def _rules(api: Api) -> None:
    number = "%2B442079460000"
    for name, status in (("described", 200), ("nobody", 404)):
        at = f"/tenants/{name}"
        for what in ("rules", "destinations", "caller_ids", "caps"):
            _send(api, "GET", f"{at}/{what}", status=status)
        _send(api, "PATCH", f"{at}/rules", {"hours": "none", "hours_reason": "own appointments"}, status)
        _send(api, "PATCH", f"{at}/rules", {"consent": {"basis": "contract", "reference": "archive 17"}}, status)
        _send(api, "PATCH", f"{at}/destinations", {"entries": [{"match": "DE"}, {"match": "+4312", "allow": False}]}, status)
        _send(api, "PATCH", f"{at}/caps", {"calls_per_minute": 60, "spend_per_day": 12.5}, status)
        _send(api, "PUT", f"{at}/caller_ids/{number}", {"how": "verified"}, status)
        for what in ("rules", "destinations", "caller_ids", "caps"):
            _send(api, "GET", f"{at}/{what}", status=status)
        _send(api, "GET", f"{at}/caller_ids/{number}", status=status)
        _send(api, "DELETE", f"{at}/caller_ids/{number}", status=status)
        _send(api, "DELETE", f"{at}/caller_ids/{number}", status=404)
    _send(api, "GET", "/tenants/described/caller_ids?limit=x", status=422)


def _prices_and_suppressions(api: Api) -> None:
    _send(api, "PUT", "/prices/4915", {"per_minute": 0.08}, 200)
    _send(api, "POST", "/prices/import", {"prices": [{"prefix": "all", "per_minute": 0.5}]}, 200)
    _send(api, "GET", "/prices", status=200)
    _send(api, "GET", "/prices?limit=x", status=422)
    for status in (200, 404):
        _send(api, "GET", "/prices/4915", status=status)
        _send(api, "DELETE", "/prices/4915", status=status)
    one = {"number": "+4930123499", "source": "letter"}
    several = {"numbers": ["+4930123498", "x"], "source": "registry", "obtained_at": "2026-03-01T00:00:00Z"}
    for at in ("/suppressions", "/tenants/described/suppressions"):
        where = _send(api, "POST", at, one, 201).headers["Location"].removeprefix("/v1/operator")
        _send(api, "POST", f"{at}/import", several, 200)
        _send(api, "GET", at, status=200)
        _send(api, "GET", f"{at}?limit=x", status=422)
        _send(api, "GET", where, status=200)
        _send(api, "DELETE", where, status=422)
        _send(api, "DELETE", f"{where}?reason=mistake", status=200)
        nobodys = f"{at}/suppression_{'0' * 32}"
        _send(api, "GET", nobodys, status=404)
        _send(api, "DELETE", f"{nobodys}?reason=mistake", status=404)
    _send(api, "GET", "/tenants/nobody/suppressions", status=404)
    _send(api, "POST", "/tenants/nobody/suppressions", one, 404)
    _send(api, "POST", "/tenants/nobody/suppressions/import", several, 404)


def _bodies(api: Api, spec: dict[str, Any]) -> None:
    """Each operation that takes a body is sent those that are none."""
    for (method, path), operation in operations(spec):
        if path.startswith("/v1/operator/") and "requestBody" in operation:
            for data, kind in BROKEN:
                api.send(method, filled(path), data=data, content_type=kind)
            assert api.send(method, filled(path), json={"unknown": 1}).status_code == 422, path
            if path.endswith("/import"):
                assert api.send(method, filled(path), data=b"x" * (IMPORT_BYTES + 1), content_type=JSON).status_code == 413


def _refusals(api: Api, world: World, spec: dict[str, Any], monkeypatch: Any) -> None:
    def everything(key: str | None) -> None:
        for (method, path), operation in operations(spec):
            if path.startswith("/v1/operator/"):
                more = {"json": {}} if "requestBody" in operation else {}
                api.send(method, filled(path), key=key, **more)

    def away(*_: object) -> None:
        raise psycopg.OperationalError("away")

    for (method, path), operation in operations(spec):
        if path.startswith("/v1/operator/") and method == "POST":
            more: dict[str, Any] = {"json": {}} if "requestBody" in operation else {}
            refused = api.send(method, filled(path), headers={"Idempotency-Key": "described"}, **more)
            taken = takes_a_key(operation)
            assert (refused.get_json().get("code") == "idempotency_key_not_taken") != taken, path
            if taken:
                described = path.replace("{tenant}", "described")
                assert api.send(method, filled(described), headers=MALFORMED, **more).status_code in (400, 422)
    with monkeypatch.context() as patch:
        patch.setattr("web.api.once.only_one", in_flight_always)
        for (method, path), operation in operations(spec):
            if path.startswith("/v1/operator/") and takes_a_key(operation):
                example = next(iter(operation.get("requestBody", {}).get("content", {}).values()), {}).get("example")
                body = {} if example is None else {"json": example}
                again = api.send(
                    method, filled(path.replace("{tenant}", "described")), headers={"Idempotency-Key": "described"}, **body
                )
                assert again.get_json()["code"] == "idempotency_in_flight", path
    everything("")
    everything(operator_keys.create(world.database, name="far", allowed_ips=[network("192.0.2.1")])[1])
    slow = Api(api.app, operator_keys.create(world.database, name="few")[1])
    with monkeypatch.context() as patch:
        patch.setattr("web.requestrate.window", one_in_ten)
        slow.get("/v1/operator/why")
        everything(slow.key)
    monkeypatch.setattr("web.auth.operator_keys.authenticate", away)
    everything(None)

    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("web.auth.operator_keys.authenticate", broken)
    everything(None)


def one_in_ten(_: float) -> Any:
    """The rate of a key that may ask once in ten seconds."""
    return RateLimitItemPerSecond(1, 10, namespace="api")
