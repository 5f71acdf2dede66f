"""The budget's Lua, loaded from budget/lua/ once per process and run by EVALSHA (reloaded after SCRIPT FLUSH)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any
from weakref import WeakSet

from redis import Redis
from redis.exceptions import NoScriptError

#: Counts up with every change of what scripts write or read: two versions at work have nothing in common in Redis but RQ's
#: queues. So only one of them may have an epoch open (jobs/rebuild.py), or a carrier would be given twice its limit.
VERSION = 5
#: Of every key of ours.
PREFIX = f"tl{VERSION}:"
WAKE_CHANNEL = f"{PREFIX}wake"
#: What stands before every script.
HEAD = ("lib", "scope", "names", "changes", "order", "seat", "lease")
#: But grant runs for every call. It has only what it always needs before it; of the rest, and of its own seldom part, it has
#: what it names as fields of ``seldom()``, which builds them when one is needed.
GRANT = ("lib", "grant/ask", "grant/plain", "scope", None, "grant/here", "grant/choose", "grant/take", "grant")
SELDOM = ("names", "changes", "order", "seat", "grant/seldom")
#: These know nothing of ours but names and time.
BARE = frozenset({"job_begin", "job_end", "requests"})
#: Clients of a rehearsal.
_VIRTUAL: WeakSet[Redis] = WeakSet()
_CLOCK = "local t = call('TIME')"
_PREFIX = "local P = 'prefix'"
_CONSTANT = re.compile(r"^local ([A-Z][A-Z_]*) = (\d+|'[^'\n]*')\n", re.M)


@cache
def source(name: str, *, virtual: bool = False) -> tuple[str, str]:
    """The text of script ``name`` with the shared head before it, and its SHA-1 as EVALSHA wants it.

    ``virtual``: the same script for a rehearsal, on the clock in the key ``<prefix>now`` (microseconds), not on Redis TIME.
    """
    return assemble(name, part, virtual=virtual)


def part(name: str) -> str:
    """A file of budget/lua/."""
    return (resources.files("budget") / "lua" / f"{name}.lua").read_text("utf-8")


def assemble(name: str, read: Callable[[str], str], *, virtual: bool) -> tuple[str, str]:
    """As :func:`source`, of the parts that ``read`` gives for their names."""
    parts = GRANT if name == "grant" else ("lib", name) if name in BARE else (*HEAD, name)
    text = "\n".join(read(one) if one else _seldom(read) for one in parts)
    assert text.count(_PREFIX) == 1
    text = _with_constants(text.replace(_PREFIX, f"local P = '{PREFIX}'"))
    if virtual:
        assert text.count(_CLOCK) == 1
        text = text.replace(_CLOCK, f"local v = tonumber(call('GET', '{PREFIX}now')); local t = {{ 0, v }}")
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _with_constants(text: str) -> str:
    """``local NAME = <number or 'text'>`` is a literal where it is used: Lua would make a variable of it each time."""
    values = dict(_CONSTANT.findall(text))
    named = re.compile(rf"\b(?:{'|'.join(values)})\b")
    return named.sub(lambda found: values[found[0]], _CONSTANT.sub("", text)).replace("' .. '", "")


def _seldom(read: Callable[[str], str]) -> str:
    body = "\n".join(map(read, SELDOM))
    names = dict.fromkeys(re.findall(r"\bseldom\(\)\.(\w+)", "".join(read(one) for one in GRANT if one)))
    table = ", ".join(f"{name} = {name}" for name in names)
    return f"local built\nlocal function seldom()\nif not built then\n{body}\nbuilt = {{ {table} }}\nend\nreturn built\nend"


def on_virtual_time(redis: Redis) -> None:
    """From now on scripts sent by this client take their time from the rehearsal's clock."""
    _VIRTUAL.add(redis)


def script(redis: Redis, name: str) -> tuple[str, str]:
    """:func:`source` as this client is to run it."""
    return source(name, virtual=redis in _VIRTUAL)


def names() -> list[str]:
    """Every script there is."""
    files = (file.name for file in (resources.files("budget") / "lua").iterdir())
    return sorted({name.removesuffix(".lua") for name in files if name.endswith(".lua")} - set(HEAD))


def load(redis: Redis) -> None:
    """Puts every script together and has Redis compile it, so that neither has to be done when one is first needed.

    Raises ``redis.exceptions.RedisError`` as redis-py does.
    """
    for name in names():
        redis.script_load(script(redis, name)[0])


def run(redis: Redis, name: str, *args: str | int | bytes) -> Any:
    """Runs script ``name``. Raises ``redis.exceptions.RedisError`` as redis-py does."""
    text, sha = script(redis, name)
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
    code, sha = script(redis, name)
    pipe = redis.pipeline(transaction=False)
    for args in calls:
        pipe.evalsha(sha, 0, *args)
    replies = pipe.execute(raise_on_error=False)
    if any(isinstance(reply, NoScriptError) for reply in replies):
        # Those were not run; a SCRIPT FLUSH between two of a pipeline would have to be timed to the microsecond.
        pipe.script_load(code)
        again = [args for args, reply in zip(calls, replies, strict=True) if isinstance(reply, NoScriptError)]
        for args in again:
            pipe.evalsha(sha, 0, *args)
        late = iter(pipe.execute(raise_on_error=False)[1:])
        replies = [next(late) if isinstance(reply, NoScriptError) else reply for reply in replies]
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return list(replies)
