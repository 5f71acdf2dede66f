"""The API that takes the seats' word, once for all tests here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from budget.connect import connect
from settings import Settings
from store import agent_pools
from store.pool import open_database
from tests.fleet.house import PASSWORD, Call, Fleet
from tests.web.served import Server
from trunkline import guests
from trunkline.servers import Server as PostgresHouse


@pytest.fixture(scope="package")
def database_url(postgres: PostgresHouse, migrated_template: str) -> Iterator[str]:
    """A database for all tests here."""
    url = guests.create_database(postgres.url, "fleet", template=migrated_template)
    yield url
    guests.drop_database(postgres.url, url)


@pytest.fixture(scope="package")
def web(database_url: str, redis_database: tuple[str, bool], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_database[0], "TRUNKLINE_CDR_PASSWORD": PASSWORD}
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
def fleet(web: Server, redis: Redis, key: str, tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """Starts keepers; those that still run at the end are killed."""
    assert key
    started: list[Fleet] = []

    def start(*options: str, **more: object) -> Fleet:
        started.append(Fleet(redis, web.port, tmp_path / "keeper.log", *options, **more))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def call(redis: Redis, settings: Callable[..., Settings], key: str) -> Callable[[], Call]:
    return lambda: Call(redis, settings(), key)


@pytest.fixture(scope="package")
def key(database_url: str) -> str:
    """Of the pool desk, which an operator has made: the relay signs by it."""
    settings = Settings.model_validate({"database_url": database_url})
    with open_database(settings, "test", cooperative=False, wait_s=60) as database:
        agent_pools.update(database, "desk")
        return agent_pools.keys(database, ["desk"])["desk"]
