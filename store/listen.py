"""LISTEN: being woken by Postgres, over a connection of its own that comes back after every loss.

A notification only ever says "look now": what was sent while the connection was away is lost, so every (re)connect
yields ``('connected', '')`` and the receiver looks at everything once.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence

import psycopg
from psycopg import sql

from settings import Settings
from store.pool import conninfo

#: s; first and longest wait before a reconnect.
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.1, 5.0
#: s; how long one wait for notifications lasts: the connection is tried and ``stop`` asked this often.
WAIT_S = 1.0

log = logging.getLogger("trunkline.store")


def _never() -> bool:
    return False


def listen(settings: Settings, channels: Sequence[str], *, stop: Callable[[], bool] = _never) -> Iterator[tuple[str, str]]:
    """Yield ``(channel, payload)`` for ever, ``('connected', '')`` after each connect; ends when ``stop()`` is true.

    Blocks its thread or greenlet (gevent-patched: only the greenlet). ``stop`` is asked at least every WAIT_S seconds.
    """
    backoff = BACKOFF_MIN_S
    while not stop():
        try:
            with psycopg.connect(conninfo(settings, "listen"), autocommit=True) as conn:
                for channel in channels:
                    conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                backoff = BACKOFF_MIN_S
                yield "connected", ""
                while not stop():
                    for notice in conn.notifies(timeout=WAIT_S):
                        yield notice.channel, notice.payload
                        if stop():
                            return
                    # A question now and then: a connection that is half open would be silent for ever.
                    conn.execute("SELECT 1")
        except psycopg.Error as error:
            if stop():
                return
            wait_s = random.uniform(0.5, 1.0) * backoff
            log.warning("LISTEN connection lost (%s), again in %.1f s", error, wait_s)
            time.sleep(wait_s)
            backoff = min(BACKOFF_MAX_S, backoff * 2)
