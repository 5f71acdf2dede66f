"""Names of receivers, asked for without one hanging name server standing in everybody's way.

The system's lookup blocks a thread for as long as the name server likes. So they are threads of our own, few for one zone,
one for one name; who waits for an answer waits :data:`LOOKUP_S` at most, and an answer is good for :data:`KEPT_S`. Whoever
connects still checks what it was given, and connects to that (jobs/webhook_address.py).
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Sequence
from weakref import WeakValueDictionary

import gevent
from gevent.lock import Semaphore
from gevent.threadpool import ThreadPool

from jobs.webhook_address import Lookup, system_lookup

#: Lookups at once: of all names, and of one zone, which one owner's name servers answer for.
THREADS, PER_ZONE = 32, 4
#: s; longest wait for an answer, and how long one is good for. Names whose answers are kept.
LOOKUP_S, KEPT_S, KEPT_NAMES = 3.0, 30.0, 1024

_Key = tuple[str, int]
#: Addresses, or why there are none: a greenlet that raises says so on the standard error output.
_Found = Sequence[str] | OSError | UnicodeError


class Names:
    """For the greenlets of one thread. ``ask`` runs in threads of its own and may block."""

    def __init__(self, ask: Lookup = system_lookup, *, wait_s: float = LOOKUP_S) -> None:
        self._ask, self._wait_s = ask, wait_s
        self._pool: ThreadPool | None = None
        self._asking: dict[_Key, gevent.Greenlet[[_Key], _Found]] = {}
        self._zones: WeakValueDictionary[str, Semaphore] = WeakValueDictionary()
        self._kept: OrderedDict[_Key, tuple[float, Sequence[str]]] = OrderedDict()

    def lookup(self, host: str, port: int) -> Sequence[str]:
        """Its addresses. Raises OSError where there are none, or no answer in time."""
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        key = (host.lower(), port)
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() < kept[0]:
            return kept[1]
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = gevent.spawn(self._answer, key)
        asking.join(self._wait_s)
        if not asking.ready():
            raise OSError("the name server does not answer")
        found = asking.get()
        if isinstance(found, Exception):
            raise OSError(str(found))
        return found

    def _answer(self, key: _Key) -> _Found:
        name = zone(key[0])
        places = self._zones.get(name)
        if places is None:
            places = self._zones[name] = Semaphore(PER_ZONE)
        try:
            if not places.acquire(timeout=self._wait_s):
                return OSError("the zone's name servers do not answer")
            try:
                if self._pool is None:
                    self._pool = ThreadPool(THREADS)
                found = self._pool.spawn(self._ask, *key).get() or ()
            finally:
                places.release()
        except (OSError, UnicodeError) as error:
            return error
        finally:
            del self._asking[key]
        self._kept[key] = (time.monotonic() + KEPT_S, found)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT_NAMES:
            self._kept.popitem(last=False)
        return found


def zone(host: str) -> str:
    """What one owner is likely to answer for: the last two labels, three where the second is as short as in ``co.uk``."""
    labels = host.lower().rstrip(".").split(".")
    most = 3 if len(labels) > 2 and len(labels[-2]) <= 3 else 2
    return ".".join(labels[-most:])
