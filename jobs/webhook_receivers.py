"""Who gets the next connection: at most ``per_url`` deliveries in flight per receiver, ``total`` over all.

A receiver is one endpoint, or for a call's own address one tenant's scheme, host and port, so that addresses with a query of
their own do not count apart. A receiver that hangs would, with its backlog alone, take every place. So beyond a few waiting
deliveries a slow receiver gets no more: those are handed back to be tried later, and all of them while it rests
(jobs/webhook_pace.py).

Ends go first: within a receiver, and by places of their own, so that a backlog of all else never delays them. Pure: no
clock, no input or output.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from jobs.webhook_address import origin
from jobs.webhook_pace import Pace
from store.outbox import Delivery

#: s; a receiver whose answer takes longer is slow, and so is one whose latest three tries failed.
SLOW_S = 1.0

_Key = UUID | tuple[UUID, str]


def _key(delivery: Delivery) -> _Key:
    return delivery.endpoint_id or (delivery.tenant_id, origin(delivery.url))


@dataclass(slots=True)
class _Receiver:
    pace: Pace
    ends: deque[Delivery] = field(default_factory=deque)
    others: deque[Delivery] = field(default_factory=deque)
    started: dict[UUID, float] = field(default_factory=dict)  # monotonic s, by delivery
    unwritten: int = 0  # answered, and not on record
    was_slow: bool = False

    def slow(self, now: float) -> bool:
        return self.was_slow or self.pace.doubtful or any(now - since > SLOW_S for since in self.started.values())

    @property
    def waiting(self) -> int:
        return len(self.ends) + len(self.others)


@dataclass(frozen=True, slots=True)
class HandedBack:
    """A delivery that is not tried now; ``rest_s`` > 0: its receiver rests for so long."""

    delivery: Delivery
    rest_s: float


class Receivers:
    """Deliveries claimed and not finished, grouped by receiver. ``now`` is monotonic seconds throughout."""

    def __init__(self, *, total: int, per_url: int) -> None:
        self._total, self._per_url = total, per_url
        self._kept = total // 4  # places that only ends get
        self._by_key: dict[_Key, _Receiver] = {}
        self._running = [0, 0]  # by lane
        self._waiting = [0, 0]

    @property
    def room(self) -> int:
        """How many more may be claimed now: what can start, and as much again to wait for its turn."""
        return max(0, 2 * self._total - sum(self._running) - sum(self._waiting))

    @property
    def ends_room(self) -> int:
        """How many more ends, whatever else waits."""
        return max(0, 2 * self._total - self._running[0] - self._waiting[0])

    @property
    def running(self) -> int:
        return sum(self._running)

    def add(self, delivery: Delivery) -> None:
        receiver = self._by_key.setdefault(_key(delivery), _Receiver(Pace(self._per_url)))
        (receiver.others if delivery.lane else receiver.ends).append(delivery)
        self._waiting[_lane(delivery)] += 1

    def start(self, now: float, free: int | None = None) -> Iterator[Delivery]:
        """Deliveries to send now, each counted as running until :meth:`finished`; in turn over the receivers, ends first.

        ``free``: so many may be running at most now; None: ``total``.
        """
        total = self._total if free is None else min(self._total, free)
        for lane in (0, 1):
            most = total - lane * self._kept
            progress = True
            while progress:
                progress = False
                for receiver in list(self._by_key.values()):
                    waiting = receiver.others if lane else receiver.ends
                    if not waiting or len(receiver.started) >= receiver.pace.places(now):
                        continue
                    if len(receiver.started) + receiver.unwritten >= 2 * self._per_url:
                        continue
                    if self.running >= total or self._running[lane] >= most:
                        return
                    delivery = waiting.popleft()
                    receiver.started[delivery.id] = now
                    self._waiting[lane] -= 1
                    self._running[lane] += 1
                    progress = True
                    yield delivery

    def finished(
        self,
        delivery: Delivery,
        *,
        ok: bool,
        now: float,
        code: int | None = None,
        retry_after_s: float | None = None,
        written: bool = True,
    ) -> None:
        """It was answered, or failed. Not ``written``: :meth:`written` follows. Until then it takes up no connection; but a
        receiver is sent no more than twice ``per_url`` of which a process that dies would not know what became of them.
        """
        receiver = self._by_key[_key(delivery)]
        since = receiver.started.pop(delivery.id)
        receiver.was_slow = now - since > SLOW_S
        if ok:
            receiver.pace.succeeded(now)
        else:
            receiver.pace.failed(now, code, retry_after_s)
        self._running[_lane(delivery)] -= 1
        receiver.unwritten += 0 if written else 1
        self._forget_idle(_key(delivery), now)

    def written(self, delivery: Delivery, now: float) -> None:
        """What became of it is on record, or never will be."""
        self._by_key[_key(delivery)].unwritten -= 1
        self._forget_idle(_key(delivery), now)

    def excess(self, now: float) -> Iterator[HandedBack]:
        """Deliveries that wait for a receiver that rests, or behind a slow one beyond its next turn; they are no longer kept
        here. Ends are the last to go.
        """
        for key, receiver in list(self._by_key.items()):
            rest = receiver.pace.rest(now)
            keep = 0 if rest else self._per_url
            while receiver.waiting > keep and (rest or receiver.slow(now)):
                delivery = (receiver.others or receiver.ends).pop()
                self._waiting[_lane(delivery)] -= 1
                yield HandedBack(delivery, rest)
            self._forget_idle(key, now)

    def _forget_idle(self, key: _Key, now: float) -> None:
        receiver = self._by_key[key]
        if not receiver.started and not receiver.waiting and not receiver.unwritten and receiver.pace.forgettable(now):
            del self._by_key[key]


def _lane(delivery: Delivery) -> int:
    return 1 if delivery.lane else 0
