"""The API on real Postgres and Redis: two tenants, a route, and a client that holds every refusal to RFC 9457."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from budget.connect import connect
from lab.liberty import give_the_world
from settings import Settings
from store import agents, carriers, keys, tenants
from store.agents import Agent
from store.pool import Database, open_database
from store.tenants import Tenant
from tests.web.served import Server
from web.app import create_app
from web.codes import codes, type_of

#: Valid German fixed-line and British numbers; the route below leads to +49 only.
TO, FROM, NO_ROUTE = "+4930123456", "+442079460000", "+33142685300"
TABLES = ("calls", "attempts", "call_events", "call_commands", "outbox", "idempotency_keys", "agents")


@dataclass
class World:
    """What is in the database before a test: ``ours`` may be used, ``theirs`` is another tenant's."""

    database: Database
    ours: Tenant
    theirs: Tenant
    our_key: str
    their_key: str
    our_agent: Agent
    their_agent: Agent

    def counts(self) -> dict[str, int]:
        """Rows by table."""
        with self.database.connection() as conn:
            query = "SELECT " + ", ".join(f"(SELECT count(*) FROM {name})" for name in TABLES)
            row = conn.execute(query.encode()).fetchone()
        assert row is not None
        return dict(zip(TABLES, row, strict=True))


@dataclass
class Api:
    """Requests with a key; ``seen`` collects (method, rule, status) of every answer."""

    app: Flask
    key: str
    seen: set[tuple[str, str, int]] = field(default_factory=set)

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def send(self, method: str, path: str, *, key: str | None = None, **more: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.key if key is None else key}", **more.pop("headers", {})}
        if key == "":
            del headers["Authorization"]
        with self.client() as client:
            response = client.open(path, method=method, headers=headers, **more)
            # Whatever the answer is made of, it must be readable as what it says it is.
            body = response.get_data()
        check_shape(response, body)
        return response

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.send("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> TestResponse:
        if body is not None:
            more["json"] = body
        return self.send("POST", path, **more)

    def place(self, **changes: Any) -> TestResponse:
        return self.post("/v1/calls", changes)


def check_shape(response: TestResponse, body: bytes) -> None:
    """Every answer names its request; every refusal is a complete RFC 9457 problem."""
    assert response.headers["X-Request-Id"]
    if response.status_code < 400:
        return
    assert response.mimetype == "application/problem+json", body
    problem = json.loads(body)
    assert problem["status"] == response.status_code
    assert problem["request_id"] == response.headers["X-Request-Id"]
    assert {"type", "title", "detail", "instance", "code"} <= problem.keys()
    told = codes().problems[problem["code"]]
    assert response.status_code in told.statuses
    assert problem["type"] == type_of(told.code)
    for error in problem.get("errors", []):
        assert len({"pointer", "parameter", "header"} & error.keys()) == 1
        assert error["code"] in codes().fields
        assert error["detail"]


def named(response: TestResponse) -> dict[str, str]:
    """Of a refusal: the place of each fault -> its code."""
    places = {}
    for error in response.get_json().get("errors", []):
        places[error.get("pointer", error.get("parameter", error.get("header")))] = error["code"]
    return places


@pytest.fixture(scope="module")
def database(postgres_url: str) -> Iterator[Database]:
    settings = Settings.model_validate({"database_url": postgres_url, "db_pool_size": 20, "db_pool_timeout_s": 20})
    with open_database(settings, "test", cooperative=False, wait_s=60) as opened:
        yield opened


@pytest.fixture(scope="module")
def world(database: Database) -> World:
    ours, theirs = tenants.create(database, name="ours"), tenants.create(database, name="theirs")
    for one in (ours, theirs):
        give_the_world(database, one.id)
    carrier = carriers.put_carrier(database, name="acme", max_channels=10, cps=5)
    carriers.put_route(database, name="germany", prefixes=["49"], carriers=[carrier.id])
    return World(
        database,
        ours,
        theirs,
        keys.create(database, tenant_id=ours.id)[1],
        keys.create(database, tenant_id=theirs.id)[1],
        agents.create(database, tenant_id=ours.id, name="greeter", kind="announcement", audio="hello.wav"),
        agents.create(database, tenant_id=theirs.id, name="greeter", kind="announcement", audio="hello.wav"),
    )


@pytest.fixture
def redis(settings: Callable[..., Settings]) -> Iterator[Redis]:
    client = connect(settings())
    yield client
    client.close()


class Clock:
    """The app's clock: real time until set."""

    def __init__(self) -> None:
        self.fixed: datetime | None = None

    def __call__(self) -> datetime:
        return self.fixed or datetime.now(UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(settings: Callable[..., Settings], world: World, redis: Redis, clock: Clock) -> Flask:
    # The tests ask faster than a customer would.
    return create_app(
        settings(requests_per_s=10_000, operator_requests_per_s=10_000), database=world.database, redis=redis, now=clock
    )


@pytest.fixture
def api(app: Flask, world: World) -> Api:
    return Api(app, world.our_key)


@pytest.fixture
def order(world: World) -> Callable[..., dict[str, Any]]:
    """``order(to=..., ...)``: the body of an acceptable call with changes."""
    from calls.ids import agent_ref

    def build(**changes: Any) -> dict[str, Any]:
        return {"to": TO, "from": FROM, "agent_id": agent_ref(world.our_agent.id), **changes}

    return build


@pytest.fixture
def serve(postgres_url: str, redis_url: str, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    running: list[Server] = []

    def begin(**environment: str) -> Server:
        given = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url, **environment}
        server = Server(given, tmp_path / f"web{len(running)}.log")
        running.append(server)
        server.await_alive()
        return server

    yield begin
    for server in running:
        server.close()
