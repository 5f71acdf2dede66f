"""The API that takes the seats' word, once for all tests here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from budget.connect import connect
from settings import Settings
from tests.fleet.house import PASSWORD, Call, Fleet
from tests.web.served import Server


@pytest.fixture(scope="module")
def web(postgres_url: str, redis_database: tuple[str, bool], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_database[0], "TRUNKLINE_CDR_PASSWORD": PASSWORD}
    server = Server(environment, tmp_path_factory.mktemp("web") / "log")
    server.await_alive()
    yield server
    server.close()


@pytest.fixture
def redis(settings: Callable[..., Settings]) -> Iterator[Redis]:
    client = connect(settings())
    yield client
    client.close()


@pytest.fixture
def fleet(web: Server, redis: Redis, tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """Starts keepers; those that still run at the end are killed."""
    started: list[Fleet] = []

    def start(*options: str, **more: object) -> Fleet:
        started.append(Fleet(redis, web.port, tmp_path / "keeper.log", *options, **more))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def call(redis: Redis, settings: Callable[..., Settings]) -> Callable[[], Call]:
    return lambda: Call(redis, settings())
