"""Events to handlers: one call's events in order, a slow call delays only its shard, and no queue without an end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import gevent
from gevent.queue import Queue

from controller.frames import Event, text_of

log = logging.getLogger(__name__)

Handler = Callable[[Event], None]

#: Events handled before other greenlets get their turn: a backlog must not delay a dial slot.
_TURN = 16


@dataclass
class Dispatcher:
    """``shards`` greenlets with a queue of ``size`` events each. A call stays on one shard: order is kept per call."""

    shards: int
    size: int
    handled: int = 0
    dropped: int = 0  # left in the queues at a stop
    errors: int = 0  # handlers that raised
    stalls: int = 0  # times the reader had to wait for a full queue
    _handlers: dict[str, list[Handler]] = field(default_factory=dict)
    _queues: list[Queue[Event]] = field(default_factory=list)
    _greenlets: list[gevent.Greenlet[..., None]] = field(default_factory=list)
    _busy: int = 0
    _run: object = None  # a new one per start; None: stopped

    def register(self, name: str, handler: Handler) -> None:
        """``name``: an Event-Name, the subclass of a CUSTOM event, or ``*`` for every event besides."""
        handlers = self._handlers.setdefault(name, [])
        if handler not in handlers:
            handlers.append(handler)

    def unregister(self, name: str, handler: Handler) -> None:
        """ValueError when it is not registered."""
        try:
            self._handlers[name].remove(handler)
        except (KeyError, ValueError):
            raise ValueError(f"{name}: this handler is not registered") from None

    def start(self) -> None:
        if self._run is None:
            self._queues = [Queue(self.size) for _ in range(self.shards)]
            self._run = object()
            self._greenlets = [gevent.spawn(self._shard, queue, self._run) for queue in self._queues]

    def put(self, event: Event, waiting: Callable[[bool], None]) -> None:
        """Hand over one event; blocks while its shard is full. ``waiting`` is told when that begins and ends.

        Blocking is the right answer: the switch keeps 100,000 events for us, and a dropped one is lost for good.
        """
        key = text_of(event, "Unique-ID") or text_of(event, "Job-UUID") or ""
        queue = self._queues[hash(key) % self.shards]
        if queue.full():
            self.stalls += 1
            waiting(True)
            try:
                queue.put(event)
            finally:
                waiting(False)
        else:
            queue.put(event)

    @property
    def backlog(self) -> int:
        """Events handed over and not finished."""
        return sum(queue.qsize() for queue in self._queues) + self._busy

    def _shard(self, queue: Queue[Event], run: object) -> None:
        turn = 0
        while self._run is run:
            event = queue.get()
            self._busy += 1
            try:
                self._handle(event)
            finally:
                self._busy -= 1
            turn += 1
            if turn % _TURN == 0:
                gevent.sleep(0)

    def _handle(self, event: Event) -> None:
        name = text_of(event, "Event-Name")
        if name == "CUSTOM":
            name = text_of(event, "Event-Subclass")
        for handler in (*self._handlers.get(name or "", ()), *self._handlers.get("*", ())):
            try:
                handler(event)
            except (Exception, gevent.Timeout):
                # A handler's own expired timeout is its failure, not the shard's end; GreenletExit passes.
                self.errors += 1
                log.exception("handler failed", extra={"event": name, "handler": repr(handler)})
        self.handled += 1

    def stop(self, drain_s: float) -> None:
        """Handle what is queued for up to ``drain_s``, then end every shard; what is left counts as dropped."""
        inside = gevent.getcurrent() in self._greenlets  # a handler stops the link: it cannot wait for itself
        deadline = time.monotonic() + drain_s
        while self.backlog > (1 if inside else 0) and time.monotonic() < deadline:
            gevent.sleep(0.005)
        self._run = None
        self.dropped += sum(queue.qsize() for queue in self._queues)
        gevent.killall([g for g in self._greenlets if g is not gevent.getcurrent()])
        self._greenlets = []
        self._queues = []
