"""Waiting for Postgres in a gevent process: the hub is asked only when there is really something to wait for.

psycopg asks before each step whether the socket is ready, some twenty times in a transaction of a few statements sent
together, and mostly it is. Through gevent each such question makes watchers and goes once around the hub.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import TupleRow
from psycopg.waiting import Ready, Wait

RV = TypeVar("RV")

_EVENTS = {Wait.R: select.POLLIN, Wait.W: select.POLLOUT, Wait.RW: select.POLLIN | select.POLLOUT}
_READY = {select.POLLIN: Ready.R, select.POLLOUT: Ready.W, select.POLLIN | select.POLLOUT: Ready.RW}


@cache
def _plain_poll() -> Callable[[], Any]:
    """The kernel's own, whatever has been patched; in a process without gevent there is no other."""
    try:
        from gevent.monkey import get_original
    except ImportError:
        return select.poll
    made: Callable[[], Any] = get_original("select", "poll")
    return made


class EagerConnection(psycopg.Connection[TupleRow]):
    """psycopg's, but what is ready is taken at once."""

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        fileno = self.pgconn.socket
        try:
            wanted = next(gen)  # of a statement in a pipeline mostly the end: it was sent, and nothing is waited for
            poll = _plain_poll()()
            while ready := _ready(poll, fileno, wanted):
                wanted = gen.send(ready)
        except StopIteration as end:
            value: RV = end.value
            return value
        return super().wait(_eager(gen, poll, fileno, wanted), interval, timeout)


def _eager(gen: PQGen[RV], poll: Any, fileno: int, wanted: Wait) -> PQGen[RV]:
    """The rest of ``gen``, which is to wait for ``wanted``; and again only where the socket is not ready."""
    try:
        while True:
            ready = yield wanted
            while not ready:  # nothing yet: whoever waits goes on to wait for the same
                gen.send(ready)
                ready = yield wanted
            wanted = gen.send(ready)
            while ready := _ready(poll, fileno, wanted):
                wanted = gen.send(ready)
    except StopIteration as end:
        value: RV = end.value
        return value


def _ready(poll: Any, fileno: int, wanted: Wait) -> Ready:
    """What of ``wanted`` the socket is ready for. Anything but that, an end or an error, is whoever waits' to tell."""
    poll.register(fileno, _EVENTS[wanted])
    found = poll.poll(0)
    return _READY.get(found[0][1], Ready.NONE) if found else Ready.NONE
