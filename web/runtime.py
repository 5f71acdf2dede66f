"""What a request needs of its process: settings, Postgres, Redis and the clock.

Postgres is there twice. ``database`` is what a request works with: once a tenant's key was accepted, that tenant's own, in
which row level security shows nothing of another's (store/tenancy.py); for all others (operators, switches, health) the
system's. ``system`` is always the system's: the few doors of tenants' requests to what is not theirs, listed in
docs/security.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from flask import current_app, g
from redis import Redis

from objects.place import Places
from settings import Settings
from store.pool import Database
from web.redisgate import RedisGate

if TYPE_CHECKING:
    from web.internal.pool_keys import PoolKeys
    from web.requestrate import RequestRates

_EXTENSION = "trunkline"
_GIVEN: ContextVar[Settings | None] = ContextVar("settings", default=None)


def utc_now() -> datetime:
    """The moment, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Runtime:
    """Made once per process by :func:`web.app.create_app`; ``tenants``: the pool that is bound to one at a time."""

    settings: Settings
    database: Database
    redis: Redis
    now: Callable[[], datetime]
    gate: RedisGate
    rates: RequestRates
    places: Places
    system: Database
    tenants: Database
    pool_keys: PoolKeys


def install(extensions: dict[str, object], runtime: Runtime) -> None:
    extensions[_EXTENSION] = runtime


def runtime() -> Runtime:
    """The runtime of the app that serves this request; from the acceptance of a tenant's key on, as that tenant's."""
    known = vars(g)  # each name asked of g itself goes through its proxy, and a request asks for this a dozen times
    own: Runtime | None = known.get("own_runtime")
    if own is not None:
        return own
    found = cast(Runtime, current_app.extensions[_EXTENSION])
    tenant = known.get("tenant")
    if tenant is None:
        return found
    known["own_runtime"] = own = replace(found, database=found.tenants.of_tenant(tenant.id))
    return own


def bounds() -> Settings:
    """The settings that fields of a body go by: the app's, or those of :func:`bounded_by`."""
    given = _GIVEN.get()
    return runtime().settings if given is None else given


@contextmanager
def bounded_by(settings: Settings) -> Iterator[None]:
    """Around the judging of a body that came by no request: the terminal takes what the API takes."""
    before = _GIVEN.set(settings)
    try:
        yield
    finally:
        _GIVEN.reset(before)
