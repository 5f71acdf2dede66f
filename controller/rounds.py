"""A loop that is woken: by a notification of Postgres', by its owner, and when it has slept for long enough."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import gevent
from gevent.event import Event

from settings import Settings
from store.listen import listen


class Rounds(ABC):
    """``run`` makes a round at once, whenever it is woken, and ``every_s`` after the last. What is said while one is made
    is heard: another follows.
    """

    def __init__(self, settings: Settings, channel: str, every_s: float) -> None:
        self._settings = settings
        self._channel = channel
        self._every_s = every_s
        self._woken = Event()
        #: Called with the listening greenlet when that ended by an error: then nobody wakes us in time any more.
        self.on_died: Callable[[gevent.Greenlet[..., None]], None] = lambda _: None

    @abstractmethod
    def round(self) -> None:
        """One. What it raises ends ``run``."""

    def concerns(self, payload: str) -> bool:  # noqa: ARG002
        """Whether a notification of that text is for us; one without a text says that some may have been missed."""
        return True

    def wake(self) -> None:
        """A round is due."""
        self._woken.set()

    def run(self) -> None:
        """Until killed."""
        ear = gevent.spawn(self._hear)
        ear.link_exception(self.on_died)
        try:
            while True:
                self._woken.clear()
                self.round()
                self._woken.wait(self._every_s)
        finally:
            ear.kill()

    def _hear(self) -> None:
        for _channel, payload in listen(self._settings, [self._channel]):
            if not payload or self.concerns(payload):
                self._woken.set()
