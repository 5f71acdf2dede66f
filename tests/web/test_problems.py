"""Every failure, also the framework's own and our own faults, is an RFC 9457 problem; and who may ask at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask
from psycopg_pool import PoolTimeout

from store import keys
from tests.web.conftest import Api, Clock, World


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/calls/", 404, "not_found"),
        ("GET", "//v1/calls", 404, "not_found"),
        ("GET", "/v1/docs/../../etc/passwd", 404, "not_found"),
        ("GET", "/v1/docs/answers.py", 404, "not_found"),
        ("DELETE", "/v1/calls", 405, "method_not_allowed"),
        ("PUT", "/v1/calls/call_0", 405, "method_not_allowed"),
        ("PUT", "/v1/calls/call_0/actions/hangup", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
    ],
)
def test_the_frameworks_refusals(api: Api, method: str, path: str, status: int, code: str) -> None:
    response = api.send(method, path)
    assert (response.status_code, response.get_json()["code"]) == (status, code)
    assert ("Allow" in response.headers) == (status == 405)
    names = "/v1/docs" if status == 404 else ", ".join(sorted(response.headers["Allow"].split(", ")))
    assert names in response.get_json()["detail"], "what there is instead"


def test_our_own_fault_is_told_without_its_reason(api: Api, monkeypatch: Any, caplog: Any) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a secret detail")

    monkeypatch.setattr("web.api.calls.call_list.get", fail)
    response = api.get(f"/v1/calls/call_{'0' * 32}")
    assert (response.status_code, response.get_json()["code"]) == (500, "internal_error")
    assert "secret" not in response.get_data(as_text=True)
    assert "a secret detail" in caplog.text


@pytest.mark.parametrize(
    "error", [psycopg.OperationalError("10.0.0.7 refused"), PoolTimeout("no"), psycopg.InterfaceError("x")]
)
def test_postgres_away_is_told_with_a_time(api: Api, monkeypatch: Any, error: Exception) -> None:
    def away(*_: object) -> None:
        raise error

    monkeypatch.setattr("web.auth.keys.authenticate", away)
    response = api.get("/v1/calls")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert response.get_json()["code"] == "database_unavailable"
    assert response.get_json()["retry_after_s"] == 1
    assert "10.0.0.7" not in response.get_data(as_text=True)


def test_a_request_id_is_kept_if_well_formed(api: Api) -> None:
    assert api.get("/healthz", headers={"X-Request-Id": "abc-1.2_3"}).headers["X-Request-Id"] == "abc-1.2_3"
    for bad in ("a b", "x" * 65, "ä", "a;b", ""):
        given = api.get("/healthz", headers={"X-Request-Id": bad}).headers["X-Request-Id"]
        assert re.fullmatch(r"req_[0-9a-f]{32}", given)


GUARDED = [
    ("GET", "/v1/calls"),
    ("POST", "/v1/calls"),
    ("GET", f"/v1/calls/call_{'0' * 32}"),
    ("GET", f"/v1/calls/call_{'0' * 32}/events"),
    ("GET", f"/v1/calls/call_{'0' * 32}/attempts"),
    ("POST", f"/v1/calls/call_{'0' * 32}/actions/hangup"),
    ("GET", "/v1/agents"),
    ("POST", "/v1/agents"),
    ("GET", f"/v1/agents/agent_{'0' * 32}"),
]


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_without_a_key_nothing_is_told(api: Api, world: World, method: str, path: str) -> None:
    before = world.counts()
    response = api.send(method, path, key="")
    assert (response.status_code, response.get_json()["code"]) == (401, "missing_api_key")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="trunkline"'
    assert world.counts() == before


def test_every_route_but_the_open_ones_is_guarded(app: Flask, api: Api) -> None:
    """A route added later is guarded without anybody thinking of it."""
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<[^>]*>", "x", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            status = api.send(method, path, key="").status_code
            if path in ("/healthz", "/readyz") or path.startswith(("/v1/docs", "/v1/openapi.json")):
                assert status != 401
            elif path.startswith("/recordings/"):
                assert status == 403, rule.rule  # no key opens it: the link is signed
            elif path.startswith("/internal/calls/"):
                assert status == 401, rule.rule  # by the attempt's own token
            elif path.startswith("/internal/"):
                assert status == 503, rule.rule  # the switch's own password is not set here: nothing is taken from anybody
            else:
                assert status == 401, rule.rule


@pytest.mark.parametrize("header", ["{key}", "Basic {key}", "Token {key}", "Bearer:{key}", "bearer"])
def test_a_header_without_bearer_is_told_what_it_lacks(api: Api, world: World, header: str) -> None:
    def asked(header: str) -> Any:
        return api.app.test_client().get("/v1/calls", headers={"Authorization": header})

    refused = asked(header.format(key=world.our_key))
    assert (refused.status_code, refused.get_json()["code"]) == (401, "bad_api_key")
    assert "Send 'Authorization: Bearer tl_...'" in refused.get_json()["detail"]
    assert asked(f"BEARER {world.our_key}").status_code == 200


def test_a_wrong_key_is_one_answer(api: Api, world: World) -> None:
    good = world.our_key
    prefix, secret = good.removeprefix("tl_").split("_")
    flipped = "0" if secret[-1] != "0" else "1"
    bad = [
        "x",
        good[:-1],
        good[:-1] + flipped,
        good + "0",
        f"tl_{'z' * len(prefix)}_{secret}",
        good.upper(),
        good + "\u00e9",
        f"tl_{prefix}_{world.their_key.rsplit('_', 1)[1]}",
    ]
    bodies = set()
    for key in bad:
        response = api.get("/v1/calls", key=key)
        assert (response.status_code, response.get_json()["code"]) == (401, "bad_api_key")
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
        bodies.add(response.get_json()["detail"])
    assert len(bodies) == 1
    for header in ("Basic abc", f"Token {good}", good, "Bearer", f"Bearer {good} x"):
        assert api.get("/v1/calls", headers={"Authorization": header}).status_code == 401


def test_a_revoked_or_expired_key_is_refused_at_once(api: Api, world: World, clock: Clock) -> None:
    expires = datetime.now(UTC) + timedelta(hours=1)
    key, plaintext = keys.create(world.database, tenant_id=world.ours.id, expires_at=expires)
    assert api.get("/v1/calls", key=plaintext).status_code == 200
    clock.fixed = expires + timedelta(seconds=1)
    assert api.get("/v1/calls", key=plaintext).status_code == 401
    clock.fixed = None
    assert keys.revoke(world.database, key.prefix, datetime.now(UTC))
    assert api.get("/v1/calls", key=plaintext).status_code == 401


def test_no_secret_is_stored(world: World) -> None:
    secret = world.our_key.rsplit("_", 1)[1]
    with world.database.connection() as conn:
        rows = conn.execute("SELECT k::text, t::text FROM api_keys k JOIN tenants t ON t.id = k.tenant_id").fetchall()
    assert rows
    assert all(secret not in text and secret.encode().hex() not in text for row in rows for text in row)


def test_the_log_names_the_request_and_hides_the_key(api: Api, world: World, caplog: Any, order: Callable[..., Any]) -> None:
    from logs import JsonFormatter

    with caplog.at_level("INFO"):
        response = api.post("/v1/calls?note=%2B4930123456", order())
    lines = [JsonFormatter().format(record) for record in caplog.records]
    (line,) = [line for line in lines if response.headers["X-Request-Id"] in line]
    assert '"status": 422' in line  # there is no such parameter
    assert '"tenant": "ours"' in line
    for hidden in (world.our_key, world.our_key.rsplit("_", 1)[1], "+4930123456", "4930123456"):
        assert all(hidden not in line for line in lines)
