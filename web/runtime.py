"""What a request needs of its process: settings, Postgres, Redis and the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from flask import current_app
from redis import Redis

from objects.place import Places
from settings import Settings
from store.pool import Database
from web.redisgate import RedisGate

if TYPE_CHECKING:
    from web.requestrate import RequestRates

_EXTENSION = "trunkline"


def utc_now() -> datetime:
    """The moment, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Runtime:
    """Made once per process by :func:`web.app.create_app`."""

    settings: Settings
    database: Database
    redis: Redis
    now: Callable[[], datetime]
    gate: RedisGate
    rates: RequestRates
    places: Places


def install(extensions: dict[str, object], runtime: Runtime) -> None:
    extensions[_EXTENSION] = runtime


def runtime() -> Runtime:
    """The runtime of the app that serves this request."""
    return cast(Runtime, current_app.extensions[_EXTENSION])
