"""Who gets the next connection: at most ``per_url`` deliveries in flight per receiver, ``total`` over all.

A receiver is one endpoint, or for a call's own address one tenant's scheme, host and port, so that addresses with a query of
their own do not count apart. One receiver's backlog would fill all the room there is, and others wait behind it. So no more
waits here for one than it takes in :data:`QUEUE_S` as quick as it is, or twice ``per_url``, and never more than ``total``; a
slow one's next turn, nothing for one that rests (jobs/webhook_pace.py). The rest is handed back to be tried later, and so
is what has waited for half of its lease: it must not be sent when somebody else may have it.

Ends go first: within a receiver, and by places of their own, so that a backlog of all else never delays them. Pure: no
clock, no input or output.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from jobs.webhook_address import origin
from jobs.webhook_pace import Pace
from store.outbox import Delivery

#: s; a receiver whose answer takes longer is slow, and so is one whose latest three tries failed.
SLOW_S = 1.0
#: s; what a receiver takes within that may wait for it. And its answer's time before it has answered.
QUEUE_S, UNKNOWN_S = 0.25, 0.05

_Key = UUID | tuple[UUID, str]


def _key(delivery: Delivery) -> _Key:
    return delivery.endpoint_id or (delivery.tenant_id, origin(delivery.url))


#: And when it was claimed, monotonic s.
_Waiting = tuple[Delivery, float]


@dataclass(slots=True)
class _Receiver:
    pace: Pace
    ends: deque[_Waiting] = field(default_factory=deque)
    others: deque[_Waiting] = field(default_factory=deque)
    started: dict[UUID, float] = field(default_factory=dict)  # monotonic s, by delivery
    unwritten: int = 0  # answered, and not on record
    was_slow: bool = False
    took: float = UNKNOWN_S  # s; lately, from POST to answer

    def slow(self, now: float) -> bool:
        return self.was_slow or self.pace.doubtful or any(now - since > SLOW_S for since in self.started.values())

    def took_s(self, now: float) -> float:
        """s; what an answer takes: as lately, or as long as one is awaited now."""
        return max(self.took, *(now - since for since in self.started.values()), 0.001)

    def queue(self, now: float, places: int) -> int:
        """How many may wait for it."""
        return places if self.slow(now) else max(2 * places, int(places * QUEUE_S / self.took_s(now)))

    @property
    def waiting(self) -> int:
        return len(self.ends) + len(self.others)


@dataclass(frozen=True, slots=True)
class HandedBack:
    """A delivery that is not tried now; ``rest_s`` > 0: its receiver rests for so long. ``soon_s``: by then its quick
    receiver has taken what is in front; None: nobody knows.
    """

    delivery: Delivery
    rest_s: float
    soon_s: float | None = None


class Receivers:
    """Deliveries claimed and not finished, grouped by receiver. ``now`` is monotonic seconds throughout.

    ``lease_s``: how long one is ours, since it was claimed.
    """

    def __init__(self, *, total: int, per_url: int, lease_s: float = math.inf) -> None:
        self._total, self._per_url, self._lease_s = total, per_url, lease_s
        self._kept = total // 4  # places that only ends get
        self._by_key: dict[_Key, _Receiver] = {}
        self._ids: set[UUID] = set()  # of all that is here, until it is on record
        self._late: list[_Waiting] = []  # for half of the lease nobody sent them
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

    def add(self, delivery: Delivery, claimed: float = 0.0) -> bool:
        """``claimed``: when that was asked for. False: it is here already, and stays once."""
        if delivery.id in self._ids:
            return False
        self._ids.add(delivery.id)
        receiver = self._by_key.setdefault(_key(delivery), _Receiver(Pace(self._per_url)))
        (receiver.others if delivery.lane else receiver.ends).append((delivery, claimed))
        self._waiting[_lane(delivery)] += 1
        return True

    def start(self, now: float, free: int | None = None) -> Iterator[Delivery]:
        """Deliveries to send now, each counted as running until :meth:`finished`; in turn over the receivers, ends first.

        ``free``: so many may be running at most now; None: ``total``.
        """
        total = self._total if free is None else min(self._total, free)
        self._set_late_apart(now)
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
                    delivery, _ = waiting.popleft()
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
        receiver.took += (now - since - receiver.took) / 4
        if ok:
            receiver.pace.succeeded(now)
        else:
            receiver.pace.failed(now, code, retry_after_s)
        self._running[_lane(delivery)] -= 1
        receiver.unwritten += 0 if written else 1
        if written:
            self._ids.discard(delivery.id)
        self._forget_idle(_key(delivery), now)

    def written(self, delivery: Delivery, now: float) -> None:
        """What became of it is on record, or never will be."""
        self._by_key[_key(delivery)].unwritten -= 1
        self._ids.discard(delivery.id)
        self._forget_idle(_key(delivery), now)

    def excess(self, now: float) -> Iterator[HandedBack]:
        """Deliveries that are no longer kept here: of a receiver that rests, more than may wait for one, and those that
        have waited for half of their lease. Ends are the last to go. What has waited for all of it is not ours to hand back.
        """
        self._set_late_apart(now)
        late, self._late = self._late, []
        self._ids.difference_update(delivery.id for delivery, _ in late)
        yield from (HandedBack(delivery, 0.0) for delivery, claimed in late if now - claimed < self._lease_s)
        for key, receiver in list(self._by_key.items()):
            rest = receiver.pace.rest(now)
            keep = 0 if rest else min(self._total, receiver.queue(now, self._per_url))
            soon = None if receiver.slow(now) else receiver.waiting / self._per_url * receiver.took_s(now)
            while receiver.waiting > keep:
                delivery, _ = (receiver.others or receiver.ends).pop()
                self._waiting[_lane(delivery)] -= 1
                self._ids.discard(delivery.id)
                yield HandedBack(delivery, rest, soon)
            self._forget_idle(key, now)

    def _set_late_apart(self, now: float) -> None:
        for receiver in self._by_key.values():
            for waiting in (receiver.ends, receiver.others):
                while waiting and now - waiting[0][1] > self._lease_s / 2:
                    self._late.append(waiting.popleft())
                    self._waiting[_lane(self._late[-1][0])] -= 1

    def _forget_idle(self, key: _Key, now: float) -> None:
        receiver = self._by_key[key]
        if not receiver.started and not receiver.waiting and not receiver.unwritten and receiver.pace.forgettable(now):
            del self._by_key[key]


def _lane(delivery: Delivery) -> int:
    return 1 if delivery.lane else 0
