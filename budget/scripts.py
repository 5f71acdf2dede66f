"""The budget's Lua, loaded from budget/lua/ once per process and run by EVALSHA (reloaded after SCRIPT FLUSH)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError

PREFIX = "tl1:"
WAKE_CHANNEL = f"{PREFIX}wake"


@cache
def source(name: str) -> tuple[str, str]:
    """The text of script ``name`` with the shared head before it, and its SHA-1 as EVALSHA wants it."""
    folder = resources.files("budget") / "lua"
    text = (folder / "lib.lua").read_text("utf-8") + "\n" + (folder / f"{name}.lua").read_text("utf-8")
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def run(redis: Redis, name: str, *args: str | int | bytes) -> Any:
    """Runs script ``name``. Raises ``redis.exceptions.RedisError`` as redis-py does."""
    text, sha = source(name)
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
    code, sha = source(name)
    pipe = redis.pipeline(transaction=False)
    # The first one loads it; a SCRIPT FLUSH between two of a pipeline would have to be timed to the microsecond.
    pipe.eval(code, 0, *calls[0])
    for args in calls[1:]:
        pipe.evalsha(sha, 0, *args)
    return list(pipe.execute())
