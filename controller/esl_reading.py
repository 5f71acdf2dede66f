"""The reading side of a link: frames from the socket to whoever they are for.

Whatever happens while reading ends as its connection's one DOWN; nothing a switch sends ends a greenlet silently.
"""

from __future__ import annotations

import logging
import re

import gevent
from greenswitch import InboundESL

from controller.esl_connection import Connection
from controller.esl_dispatch import Dispatcher
from controller.esl_errors import AuthRejected
from controller.esl_state import Counters, Hooks
from controller.frames import Event, EventError, Frame, FrameError, text_of
from settings import Settings

log = logging.getLogger(__name__)

_READ_BYTES = 65_536
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Reading(InboundESL):  # type: ignore[misc]  # greenswitch has no types
    """What a link knows by listening: which process the switch is, what came, and who is told of it."""

    def __init__(self, settings: Settings, role: str) -> None:
        super().__init__(settings.esl_host, settings.esl_port, settings.esl_password, settings.esl_connect_timeout_s)
        self.settings = settings
        self.role = role
        self.core_uuid: str | None = None
        self.counters = Counters()
        self.dispatcher = Dispatcher(settings.event_shards, settings.esl_event_queue)
        self._hooks = Hooks()

    def receive_events(self, connection: Connection) -> None:
        """The reader greenlet of one connection: whatever happens in it ends as that connection's one DOWN."""
        sock, reason = connection.sock, "the switch closed the connection"
        try:
            while True:
                try:
                    data = sock.recv(_READ_BYTES)
                except TimeoutError:
                    continue  # the socket's timeout is for writing; pings judge the silence
                if not data:
                    break
                for frame in connection.parser.feed(data):
                    self.counters.frames += 1
                    self.handle_event(connection, frame)
                gevent.sleep(0)  # a socket that always has more would never let anybody else run
        except FrameError as error:
            self.counters.bad_frames += 1
            reason = f"bad frame: {error}"
        except OSError as error:
            reason = f"cannot read: {error}"
        except Exception as error:
            log.exception("reader failed", extra={"role": self.role})
            reason = f"reader failed: {error}"
        finally:
            connection.close(reason)

    def handle_event(self, connection: Connection, frame: Frame) -> None:
        """One frame. FrameError when it cannot be part of the conversation."""
        if frame.is_event:
            self._take_event(connection, frame)
        elif frame.is_reply:
            if not connection.closed.is_set():
                connection.settle(frame.text())
        elif frame.content_type == "auth/request":
            connection.greeted.set()
        elif frame.content_type == "text/rude-rejection":
            connection.close(AuthRejected("the switch's access list refuses this address; see apply-inbound-acl"))
        elif frame.content_type == "text/disconnect-notice" and frame.headers.get("Content-Disposition") != "linger":
            connection.close("the switch said goodbye")

    def _take_event(self, connection: Connection, frame: Frame) -> None:
        try:
            event = frame.event()
        except EventError as error:
            # The framing is sound, so the conversation goes on; what the event said, reconcile will find.
            self.counters.bad_events += 1
            log.warning("event not decoded", extra={"role": self.role, "error": str(error)})
            return
        if event.get("Event-Name") == "HEARTBEAT":
            connection.silent_s = 0.0
        if event.get("Core-UUID") != self.core_uuid:
            self._note_core(text_of(event, "Core-UUID") or "")
        self.process_events(event, connection)

    def process_events(self, event: Event, connection: Connection) -> None:
        """Hand one event to its shard; waits while that is full, and says so on the connection."""

        def waiting(stalled: bool) -> None:
            connection.stalled = stalled

        self.dispatcher.put(event, waiting)

    def _note_core(self, core: str) -> None:
        if _UUID.fullmatch(core) is None or core == self.core_uuid:
            return
        old, self.core_uuid = self.core_uuid, core
        if old is not None:
            self.counters.restarts += 1
            log.warning("the switch was restarted", extra={"old": old, "new": core})
            self._hooks.restarted(old, core)
