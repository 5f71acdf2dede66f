"""Is it alive (/healthz), and could it place a call now (/readyz)?"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import psycopg
from flask import Flask, Response, jsonify
from redis.exceptions import RedisError

from store import epoch, switches
from web.problems import Problem
from web.runtime import Runtime, runtime

log = logging.getLogger("trunkline.web")


class _Missing(Exception):
    """A part is not there; the text is shown to whoever asks."""


def register(app: Flask) -> None:
    app.add_url_rule("/healthz", "healthz", _healthz)
    app.add_url_rule("/readyz", "readyz", _readyz)


def _healthz() -> Response:
    return jsonify({"status": "ok"})


def _readyz() -> Response:
    ours = runtime()
    parts: dict[str, dict[str, object]] = {}
    for name, check in _CHECKS.items():
        if name in _KNOWN_BY_POSTGRES and not parts["postgres"]["ok"]:
            # Each question would wait for the pool in vain, and the answer would come too late for any probe.
            parts[name] = {"ok": False, "detail": "unknown without postgres"}
            continue
        try:
            check(ours)
        except _Missing as missing:
            parts[name] = {"ok": False, "detail": str(missing)}
        except (psycopg.Error, RedisError) as error:
            # The address or the reason may hold a secret; the log has it, masked.
            log.warning("not ready: %s: %s", name, error)
            parts[name] = {"ok": False, "detail": "does not answer"}
        else:
            parts[name] = {"ok": True}
    missing_parts = [name for name, part in parts.items() if not part["ok"]]
    if missing_parts:
        raise Problem(
            503,
            "not_ready",
            "Missing: " + "; ".join(f"{name} ({parts[name]['detail']})" for name in missing_parts),
            extra={"missing": missing_parts, "parts": parts},
            headers={"Retry-After": "1"},
        )
    return jsonify({"status": "ready", "parts": parts})


def _postgres(ours: Runtime) -> None:
    ours.database.ping()


def _redis(ours: Runtime) -> None:
    ours.redis.ping()


def _budget(ours: Runtime) -> None:
    current = epoch.get(ours.database)
    if current.opened_at is None:
        raise _Missing(f"epoch {current.epoch} of the budget is not open: nothing is dialed until the feeder opens it")


def _switch(ours: Runtime) -> None:
    settings = ours.settings
    longest = timedelta(seconds=settings.heartbeat_missed * settings.heartbeat_interval_s)
    if not switches.live(ours.database, ours.now() - longest, lab=False):
        raise _Missing(f"no controller has seen its switch for {longest.total_seconds():g} s")


_KNOWN_BY_POSTGRES = frozenset({"budget", "switch"})
_CHECKS: dict[str, Callable[[Runtime], None]] = {
    "postgres": _postgres,
    "redis": _redis,
    "budget": _budget,
    "switch": _switch,
}
