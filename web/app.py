"""The HTTP application: every route, every guard, put together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
from flask import Flask
from flask.sessions import NullSession, SessionInterface
from redis import Redis

from objects.place import Places
from settings import Settings
from store.pool import Database
from web import access, auth, breath, docs, health, operator, problems, recording_files, requestlog, requestrate
from web.api import (
    actions,
    agents,
    batches,
    call_actions,
    caller_ids,
    calls,
    idempotency,
    keys,
    limits,
    queue,
    record,
    recordings,
    suppressions,
    webhook_deliveries,
    webhook_endpoints,
    webhook_listeners,
)
from web.internal import auth as internal_auth
from web.internal import calls as internal_calls
from web.internal import cdr, seats
from web.internal.pool_keys import PoolKeys
from web.redisgate import RedisGate
from web.requestrate import RequestRates
from web.runtime import Runtime, install, utc_now
from web.testmode import register as register_test_mode


class _Web(Flask):
    """Flask without what a request of ours never needs: none of our functions is a coroutine, which it would ask of each
    hook and view of each request, by looking into it.
    """

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself."""
        return func


class _NoSession(SessionInterface):
    """Nobody has one: each request brings its key."""

    def open_session(self, *_: object) -> NullSession:
        return _NOBODYS

    def save_session(self, *_: object) -> None:
        """There is nothing to be saved."""


_NOBODYS = NullSession()


def create_app(
    settings: Settings,
    *,
    database: Database,
    redis: Redis,
    now: Callable[[], datetime] = utc_now,
    tenants: Database | None = None,
) -> Flask:
    """A WSGI application on the given parts; it opens and closes nothing itself.

    ``tenants``: the pool for tenants' requests (store/tenancy.py); None: ``database`` is it, whose transactions for a tenant
    take on the same role.
    """
    app = _Web("web", static_folder=None)
    app.session_interface = _NoSession()
    # One more than is taken, so that web.jsonbody can tell a body that was cut off from one that fits.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes + 1
    app.config["TRAP_BAD_REQUEST_ERRORS"] = False
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    gate = RedisGate()
    rates, places, pool_keys = RequestRates(redis, gate), Places(settings), PoolKeys(database)
    bound = tenants or database
    install(app.extensions, Runtime(settings, database, redis, now, gate, rates, places, database, bound, pool_keys))
    requestlog.register(app)
    breath.register(app)
    auth.register(app)
    internal_auth.register(app)
    requestrate.register(app)
    access.register(app)
    register_test_mode(app)
    idempotency.register(app)
    # Postgres away, or too slow to answer: the same to whoever asks.
    problems.register(app, (psycopg.OperationalError, psycopg.InterfaceError))
    health.register(app)
    app.register_blueprint(cdr.blueprint)
    app.register_blueprint(internal_calls.blueprint)
    app.register_blueprint(seats.blueprint)
    app.register_blueprint(recording_files.blueprint)
    api = docs.configure(app)
    hooks = (webhook_endpoints, webhook_deliveries, webhook_listeners)
    rooms = (
        calls,
        batches,
        actions,
        call_actions,
        agents,
        caller_ids,
        limits,
        queue,
        record,
        recordings,
        keys,
        suppressions,
    )
    for room in (*rooms, *hooks):
        api.register_blueprint(room.blueprint)
    api.register_blueprint(operator.blueprint)
    access.require_declared(app)
    return app
