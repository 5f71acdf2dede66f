"""Who gets the next connection: at most ``per_url`` deliveries in flight per receiver, ``total`` over all.

A receiver is one tenant's scheme, host and port, so that addresses with a query of their own do not count apart.

A receiver that hangs would, with its backlog alone, take every place. So beyond a few waiting deliveries a slow receiver
gets no more: those are handed back to be tried by the schedule. Pure: no clock, no input or output.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from jobs.webhook_address import origin
from store.outbox import Delivery

#: s; a receiver whose answer takes longer is slow, and so is one whose latest answer was a failure.
SLOW_S = 1.0


_Key = tuple[UUID, str]


def _key(delivery: Delivery) -> _Key:
    return (delivery.tenant_id, origin(delivery.url))


@dataclass(slots=True)
class _Receiver:
    waiting: deque[Delivery] = field(default_factory=deque)
    started: dict[UUID, float] = field(default_factory=dict)  # monotonic s, by delivery
    was_slow: bool = False

    def slow(self, now: float) -> bool:
        return self.was_slow or any(now - since > SLOW_S for since in self.started.values())


class Receivers:
    """Deliveries claimed and not finished, grouped by receiver. ``now`` is monotonic seconds throughout."""

    def __init__(self, *, total: int, per_url: int) -> None:
        self._total, self._per_url = total, per_url
        self._by_key: dict[_Key, _Receiver] = {}
        self._running = 0
        self._waiting = 0

    @property
    def room(self) -> int:
        """How many more may be claimed now: what can start, and as much again to wait for its turn."""
        return max(0, 2 * self._total - self._running - self._waiting)

    @property
    def running(self) -> int:
        return self._running

    def add(self, delivery: Delivery) -> None:
        self._by_key.setdefault(_key(delivery), _Receiver()).waiting.append(delivery)
        self._waiting += 1

    def start(self, now: float) -> Iterator[Delivery]:
        """Deliveries to send now, each counted as running until :meth:`finished`; in turn over the receivers."""
        progress = True
        while progress:
            progress = False
            for receiver in list(self._by_key.values()):
                if self._running >= self._total:
                    return
                if receiver.waiting and len(receiver.started) < self._per_url:
                    delivery = receiver.waiting.popleft()
                    receiver.started[delivery.id] = now
                    self._waiting -= 1
                    self._running += 1
                    progress = True
                    yield delivery

    def finished(self, delivery: Delivery, *, ok: bool, now: float) -> None:
        receiver = self._by_key[_key(delivery)]
        since = receiver.started.pop(delivery.id)
        receiver.was_slow = not ok or now - since > SLOW_S
        self._running -= 1
        self._forget_idle(_key(delivery))

    def excess(self, now: float) -> Iterator[Delivery]:
        """Deliveries that wait behind a slow receiver beyond its next turn; they are no longer kept here."""
        for receiver in self._by_key.values():
            while len(receiver.waiting) > self._per_url and receiver.slow(now):
                self._waiting -= 1
                yield receiver.waiting.pop()

    def _forget_idle(self, key: _Key) -> None:
        receiver = self._by_key[key]
        if not receiver.started and not receiver.waiting:
            del self._by_key[key]
