"""Real Postgres and Redis for every test that asks; see trunkline/servers.py for where they come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from settings import Settings
from trunkline import guests
from trunkline.servers import GivenServer, RedisServer, Server, postgres_server, redis_server

# How long an example takes to draw or to try says something of the machine alone. The suite tries the same examples each
# time, so that a failure is of the change at hand; ``TRUNKLINE_EXAMPLES=500`` looks for new ones, that many where a test
# names no number.
_SLOW = [hypothesis.HealthCheck.too_slow]
_LOOK = os.environ.get("TRUNKLINE_EXAMPLES")
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, suppress_health_check=_SLOW)
hypothesis.settings.register_profile("look", deadline=None, max_examples=int(_LOOK or 100), suppress_health_check=_SLOW)
hypothesis.settings.load_profile("look" if _LOOK else "tests")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The session's Postgres server; ``.url`` names a database where others can be created. Do not stop it."""
    server = postgres_server()
    yield server
    server.close()


@pytest.fixture(scope="session")
def migrated_template(postgres: Server) -> Iterator[str]:
    """Name of a database with every migration applied and nobody connected: CREATE DATABASE ... TEMPLATE."""
    from store.migrate import migrate  # not above: the pure tests need no store

    url = guests.create_database(postgres.url, "template")
    migrate(url)
    yield guests.database_name(url)
    guests.drop_database(postgres.url, url)


@pytest.fixture(scope="module")
def postgres_url(postgres: Server, migrated_template: str) -> Iterator[str]:
    """A fresh, migrated database for this test module."""
    url = guests.create_database(postgres.url, "test", template=migrated_template)
    yield url
    guests.drop_database(postgres.url, url)


@pytest.fixture(scope="session")
def redis_database() -> Iterator[tuple[str, bool]]:
    """The session's Redis URL and whether the server is a guest house, where our mark has to stay."""
    server: RedisServer | GivenServer = redis_server()
    taken = isinstance(server, GivenServer)
    url = guests.take_redis_database(server.url) if taken else server.url
    yield url, taken
    if taken:
        guests.give_back_redis(url)
    server.close()


@pytest.fixture
def redis_url(redis_database: tuple[str, bool]) -> str:
    """A Redis database that is empty when the test starts."""
    url, taken = redis_database
    guests.empty_redis(url, taken=taken)
    return url


@pytest.fixture
def settings(postgres_url: str, redis_url: str) -> Callable[..., Settings]:
    """``settings(web_port=0, ...)``: settings with this test's database and Redis."""

    def build(**changes: object) -> Settings:
        return Settings.model_validate({"database_url": postgres_url, "redis_url": redis_url, **changes})

    return build


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """``TRUNKLINE_FAILED`` names a file to which each failure is added in a few lines.

    ``make test`` is several runs of pytest; it shows them together at its very end, where a log is read first.
    """
    path = os.environ.get("TRUNKLINE_FAILED")
    failed = [report for kind in ("failed", "error") for report in terminalreporter.getreports(kind)]
    if not path or not failed or hasattr(terminalreporter.config, "workerinput"):
        return
    with open(path, "a", encoding="utf-8") as file:
        for report in failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            where = f" ({os.path.relpath(crash.path)}:{crash.lineno})" if crash else ""
            said = crash.message if crash else str(report.longrepr or "")[-600:]
            file.write(f"FAILED {report.nodeid}{where}\n  " + said[:600].replace("\n", "\n  ") + "\n")
