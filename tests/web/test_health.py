"""/healthz says that it lives, /readyz what is missing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from flask import Flask
from redis import Redis

from budget.connect import connect
from settings import Settings
from store import epoch, switches
from tests.web.conftest import Api, Clock, World
from web.app import create_app


def test_alive_asks_nobody(api: Api) -> None:
    response = api.get("/healthz", key="")
    assert (response.status_code, response.get_json()) == (200, {"status": "ok"})


def missing(response: Any) -> list[str]:
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    named: list[str] = response.get_json()["missing"]
    return named


def test_ready_names_every_missing_part(
    api: Api, world: World, clock: Clock, settings: Callable[..., Settings], redis: Redis, monkeypatch: Any
) -> None:
    now = datetime.now(UTC)
    closed = api.get("/readyz", key="")
    assert missing(closed) == ["budget", "switch"]
    # Who has to do something about it is named rightly: the feeder opens the budget.
    assert "until the feeder opens it" in closed.get_json()["parts"]["budget"]["detail"]

    opened = epoch.bump(world.database, epoch.get(world.database).epoch, "run-1")
    epoch.mark_open(world.database, opened, now)
    assert missing(api.get("/readyz", key="")) == ["switch"]

    switches.seen(world.database, "fs1", "core-1", now)
    ready = api.get("/readyz", key="")
    assert (ready.status_code, ready.get_json()["status"]) == (200, "ready")

    silence = settings().heartbeat_missed * settings().heartbeat_interval_s
    clock.fixed = now + timedelta(seconds=silence + 1)
    assert missing(api.get("/readyz", key="")) == ["switch"]
    clock.fixed = None

    nowhere = connect(settings(redis_url="redis://:hidden@127.0.0.1:1/0"))
    lonely = Api(create_app(settings(), database=world.database, redis=nowhere), "")
    response = lonely.get("/readyz", key="")
    assert missing(response) == ["redis"]
    assert "hidden" not in response.get_data(as_text=True)
    assert "127.0.0.1" not in response.get_data(as_text=True)

    def away() -> None:
        raise psycopg.OperationalError("10.0.0.7 refused")

    monkeypatch.setattr(world.database, "ping", away)
    response = api.get("/readyz", key="")
    assert missing(response) == ["postgres", "budget", "switch"]
    assert "10.0.0.7" not in response.get_data(as_text=True)


def test_nothing_of_it_needs_a_key(app: Flask) -> None:
    with app.test_client() as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code in (200, 503)
