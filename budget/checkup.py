"""What a check-up asks of Redis: its version, whether it keeps what it knows, and whether the budget is open."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis
from redis.exceptions import ResponseError

from budget import epoch


@dataclass(frozen=True, slots=True)
class Server:
    """``version``: (6, 2, 14). ``policy`` and ``keeps``: "" when the server does not tell (CONFIG is closed).

    ``keeps``: ``aof``, ``rdb`` or ``nothing``. ``clock``: s since 1970. ``epoch``: None while the budget is closed.
    """

    name: str
    version: tuple[int, ...]
    policy: str
    keeps: str
    max_bytes: int
    used_bytes: int
    clock: float
    epoch: int | None


def server(redis: Redis) -> Server:
    """Raises ``RedisError`` when it does not answer."""
    info = redis.info()
    seconds, micros = redis.time()
    name = "Valkey" if "valkey_version" in info else "Redis"
    return Server(
        name=name,
        version=_version(str(info.get("valkey_version") or info["redis_version"])),
        policy=_setting(redis, "maxmemory-policy") or str(info.get("maxmemory_policy", "")),
        keeps=_keeps(redis, aof=bool(info.get("aof_enabled"))),
        max_bytes=int(info.get("maxmemory", 0)),
        used_bytes=int(info.get("used_memory", 0)),
        clock=float(seconds) + float(micros) / 1e6,
        epoch=epoch.opened(redis),
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _setting(redis: Redis, name: str) -> str | None:
    try:
        found = redis.config_get(name).get(name)
    except ResponseError:
        return None  # hosted servers close CONFIG
    return found.decode() if isinstance(found, bytes) else found


def _keeps(redis: Redis, *, aof: bool) -> str:
    if aof:
        return "aof"
    save = _setting(redis, "save")
    if save is None:
        return ""
    return "rdb" if save.strip() else "nothing"
