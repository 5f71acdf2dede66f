"""What is done once under an Idempotency-Key beside calls: tests and replays of webhooks, canceling, operators' work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from flask import Flask

from store import audit, carriers, prices, trunks
from tests.web.conftest import FROM, TO, Api, World, named
from tests.web.operators import a_switch, fresh, operator, operator_api

__all__ = ["operator"]  # a fixture

AT = "/v1/operator"


def twice(api: Api, path: str, body: Any = None, status: int = 202) -> Any:
    """The answer to a request that is sent twice under one key: the same to the byte, the second marked."""
    key = {"Idempotency-Key": str(uuid4())}
    first, again = api.post(path, body, headers=key), api.post(path, body, headers=key)
    assert (first.status_code, again.status_code) == (status, status), first.get_json()
    assert first.data == again.data
    assert first.headers.get("Location") == again.headers.get("Location")
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    return first.get_json()


def test_canceling_again_spares_what_was_placed_meanwhile(api: Api, order: Callable[..., dict[str, Any]]) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first = api.post("/v1/calls/actions/cancel_queued", headers=key)
    placed = api.post("/v1/calls", order()).get_json()
    again = api.post("/v1/calls/actions/cancel_queued", headers=key)
    assert (again.get_json(), again.headers["Idempotent-Replayed"]) == (first.get_json(), "true")
    assert first.get_json()["canceled_before"] < placed["created_at"]
    # Under another key it is another request.
    other = api.post("/v1/calls/actions/cancel_queued", headers={"Idempotency-Key": str(uuid4())})
    assert other.get_json()["canceled_before"] > placed["created_at"]


def test_a_webhook_is_tested_and_replayed_once(api: Api, world: World) -> None:
    hook = api.post("/v1/webhook_endpoints", {"url": "https://example.com/hook", "events": ["*"]}).get_json()["id"]
    tested = twice(api, f"/v1/webhook_endpoints/{hook}/test")
    listed = f"/v1/webhook_deliveries?endpoint_id={hook}"
    assert [one["id"] for one in api.get(listed).get_json()["data"]] == [tested["id"]]
    with world.database.connection() as conn:
        conn.execute(
            "UPDATE webhook_deliveries SET status = 'failed', ended_at = now() WHERE id = %s", (tested["id"].split("_")[1],)
        )
    assert twice(api, f"/v1/webhook_deliveries/{tested['id']}/replay")["id"] == tested["id"]
    told = {"endpoint_id": hook, "since": "2026-01-01T00:00:00Z", "which": "all"}
    key = {"Idempotency-Key": str(uuid4())}
    assert api.post("/v1/webhook_deliveries/replay", told, headers=key).status_code == 202
    changed = api.post("/v1/webhook_deliveries/replay", {**told, "which": "undelivered"}, headers=key)
    assert (changed.status_code, named(changed)) == (422, {"Idempotency-Key": "idempotency_mismatch"})


def test_an_operators_test_call_is_placed_once(app: Flask, operator: Api, world: World) -> None:
    name = fresh("telco")
    carrier = carriers.put_carrier(world.database, name=name, max_channels=10, cps=5)
    where = {"name": "e1", "address": "192.0.2.10:5060", "enabled": True}
    trunks.put_endpoint(world.database, carrier_id=carrier.id, carrier=name, **where)
    path = f"{AT}/carriers/{name}/test_calls"
    body = {"tenant": "ours", "agent": "greeter", "to": TO, "from": FROM}
    before = world.counts()
    placed = twice(operator, path, body)
    after = world.counts()
    assert (after["calls"] - before["calls"], after["attempts"] - before["attempts"]) == (1, 1)
    lines = audit.list_entries(world.database, 100, subject=f"carrier:{name}")
    assert [(one.action, one.data["call"]) for one in lines] == [("carrier.test_call", placed["id"])]
    # Another operator's key of the same text is another key.
    key = {"Idempotency-Key": "the-same"}
    others = [api.post(path, body, headers=key).get_json() for api in (operator, operator_api(app, world, "bob"))]
    assert len({one["id"] for one in others}) == 2


def test_what_a_crash_left_of_a_test_call_is_found_again(operator: Api, world: World, monkeypatch: Any) -> None:
    name = fresh("telco")
    carriers.put_carrier(world.database, name=name, max_channels=10, cps=5)
    key = {"Idempotency-Key": str(uuid4())}
    body = {"tenant": "ours", "agent": "greeter", "to": TO, "from": FROM}
    with monkeypatch.context() as patch:
        # The call is committed, and then the process dies before its answer is.
        patch.setattr("web.operator.trials.snapshot", _dies)
        assert operator.post(f"{AT}/carriers/{name}/test_calls", body, headers=key).status_code == 500
    before = world.counts()["calls"]
    again = operator.post(f"{AT}/carriers/{name}/test_calls", body, headers=key)
    assert (again.status_code, world.counts()["calls"]) == (202, before)


def _dies(*_: object) -> None:
    raise RuntimeError("killed")


def test_an_operators_changes_are_made_once(operator: Api, world: World) -> None:
    a_switch(world)
    name = fresh("once")
    made = twice(operator, f"{AT}/carriers", {"name": name, "max_channels": 5, "cps": 1}, 201)
    assert made["name"] == name
    assert operator.post(f"{AT}/carriers", {"name": name, "max_channels": 5, "cps": 1}).status_code == 409
    twice(operator, f"{AT}/gateways/actions/look")
    twice(operator, f"{AT}/gateways/actions/apply", {})
    twice(operator, f"{AT}/tenants/ours/actions/cancel_queued")
    key = {"Idempotency-Key": str(uuid4())}
    drained = operator.post(f"{AT}/switches/fs1/actions/drain", headers=key)
    operator.post(f"{AT}/switches/fs1/actions/undrain")
    again = operator.post(f"{AT}/switches/fs1/actions/drain", headers=key)
    assert again.get_json() == drained.get_json()
    assert operator.get(f"{AT}/switches").get_json()["data"][0]["drained_at"] is None
    twice(operator, f"{AT}/prices/import", {"prices": [{"prefix": "7", "per_minute": 1}]}, 200)
    assert len(audit.list_entries(world.database, 100, action="prices.changed")) == 1
    assert prices.price_of(world.database, "+7123") is not None
    # What was refused is not kept: a corrected request may use its key.
    wrong = operator.post(f"{AT}/gateways/actions/apply", {"renew": ["nobody"]}, headers=key)
    assert wrong.status_code == 422
    assert operator.post(f"{AT}/gateways/actions/apply", {}, headers=key).status_code == 202
