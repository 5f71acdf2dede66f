"""The way to Redis: bounded waits, and a look at the server's identity on every new connection."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.retry import Retry

from budget.scripts import source
from settings import Settings


def _identify(connection: Any) -> None:
    """After connecting: a Redis that is not the one that opened the epoch grants nothing until it is rebuilt."""
    connection.on_connect()
    connection.send_command("INFO", "server")
    info = connection.read_response()
    text = info.decode() if isinstance(info, bytes) else str(info)
    run_id = next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("run_id:"))
    script, _ = source("check_run")
    connection.send_command("EVAL", script, 0, run_id)
    connection.read_response()


def connect(settings: Settings, *, max_connections: int = 256, timeout_s: float | None = None) -> Redis:
    """A client whose every wait ends: ``redis_timeout_s`` for one reply; no silent second try of a script.

    Raises nothing itself; the first command raises ``redis.exceptions.ConnectionError`` when Redis is away.
    """
    wait = settings.redis_timeout_s if timeout_s is None else timeout_s
    pool = ConnectionPool.from_url(
        settings.redis_url,
        max_connections=max_connections,
        socket_timeout=wait,
        socket_connect_timeout=wait,
        retry=Retry(NoBackoff(), 0),
        redis_connect_func=_identify,
    )
    return Redis(connection_pool=pool)
