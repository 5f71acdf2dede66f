"""The epoch: which life of the budget this is. It lives in Postgres; Redis only repeats it.

Redis wiped, restarted or failed over -> no ``epoch`` key -> every permit is refused as ``not_ready`` until the leader has
rebuilt leases from Postgres and opened a new epoch: :func:`marks`, then :func:`begin`, :func:`wipe`, :func:`open_epoch`.
Each step is refused to a leader that a later one has overtaken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple, cast

from redis import Redis

from budget.replies import number, text
from budget.scripts import PREFIX, run

#: Keys removed by one script.
CHUNK = 500
_MARK = f"{PREFIX}rebuilding"
#: Keys of the budget, whatever version of the scripts they are of.
_OURS = re.compile(rb"tl[0-9]+:")


class Overtaken(RuntimeError):
    """This rebuild is not the one under way any more: another leader came later, or Redis forgot everything again."""


class Marks(NamedTuple):
    """What Redis says of itself, as written: the open epoch and the rebuild under way; '' for none."""

    opened: str
    rebuilding: str


def run_id(redis: Redis) -> str:
    """The identity of the Redis process that answers."""
    return str(cast("dict[str, object]", redis.info("server"))["run_id"])


def marks(redis: Redis) -> Marks:
    """To be read before the new epoch's number is taken: :func:`begin` refuses when it has changed."""
    opened, rebuilding = cast("list[bytes | None]", redis.mget(f"{PREFIX}epoch", _MARK))
    return Marks(text(opened or b""), text(rebuilding or b""))


def opened(redis: Redis) -> int | None:
    """The epoch that is open in Redis, or None."""
    return number(redis.get(f"{PREFIX}epoch"))


def begin(redis: Redis, seen: Marks, epoch: int) -> None:
    """Closes what is open, so that nothing is granted, and claims the rebuild for ``epoch``.

    Raises :class:`Overtaken` when Redis is no longer as ``seen``.
    """
    if not run(redis, "begin", epoch, seen.opened, seen.rebuilding):
        raise Overtaken(f"epoch {epoch}: another leader has begun a rebuild")


def wipe(redis: Redis, epoch: int) -> None:
    """Removes every lane, then every key of the budget: what follows is rebuilt from Postgres.

    Those of other versions of the scripts too, their epochs first: whoever still asks for permits with them gets none, and
    a rebuild of theirs that is under way has lost its mark.

    In this order, because pushes go on: one between the two leaves an attempt in its lane that the set of laned ids does
    not know, and pushing it again adds a duplicate, which a grant drops. The other way round it would be known and nowhere.
    Raises :class:`Overtaken`.
    """
    for pattern in ("tl[0-9]*:epoch", "rq:queue:dial.*", "tl[0-9]*:*"):
        keys = (key for key in _scan(redis, pattern) if key != _MARK.encode() and (_OURS.match(key) or key[:2] == b"rq"))
        while chunk := list(islice(keys, CHUNK)):
            if not run(redis, "wipe", epoch, *chunk):
                raise Overtaken(f"epoch {epoch}: this rebuild is not the one under way")


def _scan(redis: Redis, pattern: str) -> Iterator[bytes]:
    yield from redis.scan_iter(match=pattern, count=1000)


def open_epoch(redis: Redis, epoch: int, server_run_id: str, holds_us: Iterable[tuple[str, int]]) -> None:
    """Opens ``epoch``; each scope's first slot lies its hold (window + jitter, microseconds) ahead.

    Raises :class:`Overtaken`: nothing was opened.
    """
    flat: list[str | int] = []
    for scope, hold in holds_us:
        flat += [scope, hold]
    if not run(redis, "open", epoch, server_run_id, *flat):
        raise Overtaken(f"epoch {epoch}: this rebuild is not the one under way")
