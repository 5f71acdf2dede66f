"""What a link is, listens to, counts and tells: the plain parts of :class:`controller.esl.EslLink`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

import gevent
from gevent.queue import Queue

from controller import commands_link
from controller.commands import Command

log = logging.getLogger(__name__)


class LinkState(StrEnum):
    """DOWN: no connection, another try comes. AUTH: connecting, logging in, subscribing. READY: commands may go."""

    STOPPED = "stopped"
    DOWN = "down"
    AUTH = "auth"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a link listens to. ``our_calls``: of channels only those this system originated."""

    events: tuple[str, ...]
    subclasses: tuple[str, ...] = ()
    our_calls: bool = True

    def commands(self) -> list[Command]:
        """Filters first, so that nothing unfiltered comes between. Filters are ORed and apply to every event."""
        filters: list[Command] = []
        if self.our_calls:
            bare = [name for name in self.events if name in commands_link.WITHOUT_VARIABLES]
            filters = [commands_link.filter_our_calls()]
            filters += [commands_link.filter_event(name) for name in bare]
            filters += [commands_link.filter_subclass(name) for name in self.subclasses]
        return [*filters, commands_link.subscribe(self.events, self.subclasses)]


#: What the controller follows calls by: about four events a call.
CALL_EVENTS = Subscription(
    (
        "CHANNEL_CREATE",
        "CHANNEL_PROGRESS",
        "CHANNEL_PROGRESS_MEDIA",
        "CHANNEL_ANSWER",
        "CHANNEL_HANGUP_COMPLETE",
        "BACKGROUND_JOB",
        "HEARTBEAT",
    ),
    ("sofia::gateway_state", "trunkline::inbound"),
)


@dataclass(slots=True)
class Counters:
    """Of one link since its start."""

    connects: int = 0
    failed_connects: int = 0
    downs: int = 0
    restarts: int = 0  # another Core-UUID than before
    frames: int = 0
    bad_frames: int = 0  # each closed its connection
    bad_events: int = 0  # each lost one event
    timeouts: int = 0  # commands whose reply did not come

    @property
    def reconnects(self) -> int:
        return max(0, self.connects - 1)


@dataclass
class Hooks:
    """An owner's callbacks: one after another, in a greenlet of their own, so they may use the link and take their time."""

    up: list[Callable[[], None]] = field(default_factory=list)
    down: list[Callable[[str], None]] = field(default_factory=list)
    restart: list[Callable[[str, str], None]] = field(default_factory=list)
    errors: int = 0
    _queue: Queue[Callable[[], None]] | None = None
    _greenlet: gevent.Greenlet[..., None] | None = None

    def start(self) -> None:
        self._queue = Queue()
        self._greenlet = gevent.spawn(self._run, self._queue)

    def went_up(self) -> None:
        for hook in self.up:
            self._call(hook)

    def went_down(self, reason: str) -> None:
        for hook in self.down:
            self._call(partial(hook, reason))

    def restarted(self, old: str, new: str) -> None:
        for hook in self.restart:
            self._call(partial(hook, old, new))

    def stop(self) -> None:
        """What has not begun is dropped; what runs is killed, unless it is the caller."""
        greenlet, self._greenlet, self._queue = self._greenlet, None, None
        if greenlet is not None and greenlet is not gevent.getcurrent():
            greenlet.kill()

    def _call(self, hook: Callable[[], None]) -> None:
        if self._queue is not None:
            self._queue.put(hook)

    def _run(self, queue: Queue[Callable[[], None]]) -> None:
        while self._queue is queue:
            hook = queue.get()
            try:
                hook()
            except (Exception, gevent.Timeout):
                self.errors += 1
                log.exception("hook failed", extra={"hook": repr(hook)})
