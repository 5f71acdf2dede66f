"""The budget's Lua, loaded from budget/lua/ once per process and run by EVALSHA (reloaded after SCRIPT FLUSH)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any
from weakref import WeakSet

from redis import Redis
from redis.exceptions import NoScriptError

#: Of every key of ours; another version of the scripts has another prefix.
PREFIX = "tl2:"
WAKE_CHANNEL = f"{PREFIX}wake"
#: What stands before every script.
HEAD = ("lib", "scope", "order", "lease")
#: What stands between the head and a script that is too long for one file.
PARTS = {"grant": ("grant/ask", "grant/choose", "grant/take")}
#: Clients of a rehearsal.
_VIRTUAL: WeakSet[Redis] = WeakSet()
_CLOCK = "local t = call('TIME')"


@cache
def source(name: str, *, virtual: bool = False) -> tuple[str, str]:
    """The text of script ``name`` with the shared head before it, and its SHA-1 as EVALSHA wants it.

    ``virtual``: the same script for a rehearsal, on the clock in the key ``<prefix>now`` (microseconds), not on Redis TIME.
    """
    folder = resources.files("budget") / "lua"
    text = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in (*HEAD, *PARTS.get(name, ()), name))
    if virtual:
        assert text.count(_CLOCK) == 1
        text = text.replace(_CLOCK, f"local v = tonumber(call('GET', '{PREFIX}now')); local t = {{ 0, v }}")
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def on_virtual_time(redis: Redis) -> None:
    """From now on scripts sent by this client take their time from the rehearsal's clock."""
    _VIRTUAL.add(redis)


def run(redis: Redis, name: str, *args: str | int | bytes) -> Any:
    """Runs script ``name``. Raises ``redis.exceptions.RedisError`` as redis-py does."""
    text, sha = source(name, virtual=redis in _VIRTUAL)
    try:
        return redis.evalsha(sha, 0, *args)
    except NoScriptError:
        return redis.eval(text, 0, *args)


def run_all(redis: Redis, name: str, calls: Sequence[Sequence[str | int | bytes]]) -> list[Any]:
    """Runs script ``name`` once for each list of arguments, in one pipeline; the replies in order.

    Nothing holds the runs together: others may come in between. Raises the first error after all have run.
    """
    if not calls:
        return []
    code, sha = source(name, virtual=redis in _VIRTUAL)
    pipe = redis.pipeline(transaction=False)
    # The first one loads it; a SCRIPT FLUSH between two of a pipeline would have to be timed to the microsecond.
    pipe.eval(code, 0, *calls[0])
    for args in calls[1:]:
        pipe.evalsha(sha, 0, *args)
    return list(pipe.execute())
