"""The link to a switch: greenswitch's ``InboundESL`` by name and role; reader, parser, send, connect, stop replaced.

What it keeps true: every wait has a deadline; a loss is one DOWN that fails every waiting command; after each connect
it subscribes again and tells its owner to reconcile; nothing a switch sends ends a greenlet silently; only a
:class:`controller.commands.Command` reaches the socket. A link belongs to one hub (one operating-system thread).
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import gevent
import gevent.socket
from gevent.event import Event as Flag

from controller import commands_link
from controller.commands import Command
from controller.esl_connection import Connection, Pending
from controller.esl_dispatch import Handler
from controller.esl_errors import AuthRejected, CommandRefused, CommandTimeout, EslError, LinkDown, NotOnDuty, TooLate
from controller.esl_reading import Reading
from controller.esl_session import begin, watch
from controller.esl_state import CALL_EVENTS, LinkState, Subscription
from settings import Settings

__all__ = [
    "CALL_EVENTS",
    "AuthRejected",
    "CommandRefused",
    "CommandTimeout",
    "EslError",
    "EslLink",
    "LinkDown",
    "LinkState",
    "NotOnDuty",
    "Pending",
    "Subscription",
    "TooLate",
]

log = logging.getLogger(__name__)


class EslLink(Reading):
    """One link of a controller. ``role`` is ``commands`` (no events at all) or ``events`` (follows ``subscription``).

    Two links per switch: events queued on a connection are written before its next command is even read.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        role: str = "commands",
        rng: random.Random | None = None,
        subscription: Subscription | None = None,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        if role not in ("commands", "events"):
            raise ValueError(f"role: give commands or events, not {role!r}")
        super().__init__(settings, role)
        self.state = LinkState.STOPPED
        self.round_trip_s: float | None = None  # of the last ping
        self._rng = rng or random.Random()
        self._login = commands_link.auth(user=settings.esl_user, password=settings.esl_password)
        self._subscription = subscription or (CALL_EVENTS if role == "events" else None)
        self._may_act = may_act  # asked before each write of a command that changes something at the switch
        self._connection: Connection | None = None
        self._ready = Flag()
        self._stopping = Flag()
        self._supervisor: gevent.Greenlet[..., None] | None = None
        self._readers: set[gevent.Greenlet[..., None]] = set()

    # --- what an owner uses ---------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Logged in and subscribed."""
        return self.state is LinkState.READY

    def wait_up(self, timeout_s: float) -> bool:
        """Whether the link is up within ``timeout_s``."""
        return bool(self._ready.wait(timeout_s))

    def on_up(self, hook: Callable[[], None]) -> None:
        """Called after every connect, subscription standing: events were lost meanwhile, so reconcile.

        Hooks run one after another in a greenlet of their own and may use the link.
        """
        self._hooks.up.append(hook)

    def on_down(self, hook: Callable[[str], None]) -> None:
        """Called with the reason after every loss of a link that was up (not by :meth:`stop`)."""
        self._hooks.down.append(hook)

    def on_restart(self, hook: Callable[[str, str], None]) -> None:
        """Called with the old and the new Core-UUID when the switch turns out to be another process."""
        self._hooks.restart.append(hook)

    def on_event(self, handler: Handler) -> None:
        """``handler`` gets every event, in order per call, on its shard's greenlet."""
        self.register_handle("*", handler)

    def register_handle(self, name: str, handler: Handler) -> None:
        """An Event-Name, the subclass of a CUSTOM event, or ``*``; every handler that fits runs, ``*`` last."""
        self.dispatcher.register(name, handler)

    def unregister_handle(self, name: str, handler: Handler) -> None:
        self.dispatcher.unregister(name, handler)

    def write(
        self, items: Sequence[Command], *, timeout_s: float | None = None, use_by: float | None = None
    ) -> list[Pending]:
        """Write the commands at once and together; their replies are awaited by the pendings.

        Raises LinkDown; TooLate when ``use_by`` (``time.monotonic()``) had passed before the first byte was written;
        NotOnDuty when one of them would change something and we may not act here.
        ``timeout_s``: a reply later than this closes the link (default settings.esl_command_timeout_s).
        """
        connection = self._connection
        if connection is None or self.state is not LinkState.READY:
            raise LinkDown(f"{self.role} link to {self.host}:{self.port} is {self.state}", maybe_sent=False)
        return connection.write(items, timeout_s=timeout_s, use_by=use_by)

    def call(self, item: Command, timeout_s: float | None = None) -> str:
        """Write one command and return its reply's text.

        Raises LinkDown, CommandTimeout (the link is then closed and made anew) or CommandRefused.
        """
        return self.write([item], timeout_s=timeout_s)[0].accepted()

    send = call  # greenswitch's name for it

    def unacknowledged(self, kind: str) -> int:
        """Commands of this kind (``originate`` ...) that were written and not answered yet."""
        return self._connection.unacknowledged(kind) if self._connection is not None else 0

    def start(self) -> None:
        """Connect in the background and stay connected until :meth:`stop`. Returns at once; twice is once."""
        self._start(None)

    def connect(self) -> None:
        """Connect now, then stay connected as after :meth:`start`. Raises AuthRejected or LinkDown; nothing remains."""
        if self.state is not LinkState.STOPPED:
            if not self.wait_up(self.settings.esl_connect_timeout_s):
                raise LinkDown(f"{self.role} link to {self.host}:{self.port} is {self.state}", maybe_sent=False)
        else:
            self.dispatcher.start()
            try:
                connection = self._open()
            except BaseException:
                self.state = LinkState.STOPPED
                self.dispatcher.stop(0)
                raise
            self._start(connection)

    def stop(self, drain_s: float = 1.0) -> None:
        """Close, let handlers finish what has arrived for up to ``drain_s``, and leave no greenlet behind."""
        if self.state is LinkState.STOPPED:
            return
        self._stopping.set()
        if self._connection is not None:
            self._connection.close("stopped")
        gevent.joinall(list(self._readers), timeout=drain_s)  # closed sockets end them; they hand over what they have
        self.dispatcher.stop(drain_s)
        self._hooks.stop()
        gevent.killall([g for g in (self._supervisor, *self._readers) if g is not None])
        self._supervisor = None
        self._readers.clear()
        self._ready.clear()
        self.state = LinkState.STOPPED

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    # --- staying connected ----------------------------------------------------------------------------------------

    def _start(self, connection: Connection | None) -> None:
        if self._supervisor is not None:
            return
        self._stopping.clear()
        self.dispatcher.start()
        if connection is None:
            self.state = LinkState.DOWN
        self._hooks.start()
        self._supervisor = gevent.spawn(self._supervise, connection)
        if connection is not None:
            self._went_up()

    def _supervise(self, connection: Connection | None) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            if connection is None:
                try:
                    connection = self._open()
                    self._went_up()
                except EslError as error:
                    self.counters.failed_connects += 1
                    log.warning("no link", extra={"role": self.role, "error": str(error)})
                except Exception:
                    self.counters.failed_connects += 1
                    log.exception("connecting failed", extra={"role": self.role})
            if connection is not None:
                self._keep(connection)
                connection = None
            # A link that stood for a while starts over; one that falls at once waits longer and longer.
            failures = 0 if time.monotonic() - began > self.settings.esl_backoff_max_s else failures + 1
            self._stopping.wait(self.backoff_s(failures))

    def backoff_s(self, failures: int) -> float:
        """s to wait before the next try: doubling per failure in a row, the upper half of it random."""
        whole = min(self.settings.esl_backoff_max_s, self.settings.esl_backoff_min_s * 2 ** min(max(failures - 1, 0), 16))
        return float(whole * (0.5 + self._rng.random() / 2))

    def _open(self) -> Connection:
        """TCP, login, subscription and the first answers under one deadline. Raises LinkDown or AuthRejected."""
        settings = self.settings
        self.state = LinkState.AUTH
        limit = gevent.Timeout.start_new(settings.esl_connect_timeout_s)
        connection: Connection | None = None
        try:
            try:
                sock = gevent.socket.create_connection((self.host, self.port), settings.esl_connect_timeout_s)
            except OSError as error:
                raise LinkDown(f"cannot connect to {self.host}:{self.port}: {error}", maybe_sent=False) from error
            sock.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
            connection = self._connection = Connection(
                sock,
                max_frame_bytes=settings.esl_max_frame_bytes,
                command_timeout_s=settings.esl_command_timeout_s,
                on_close=self._went_down,
                counters=self.counters,
                may_act=self._may_act,
            )
            reader = gevent.spawn(self.receive_events, connection)
            self._readers.add(reader)
            reader.link(self._readers.discard)
            self._note_core(begin(connection, self._login, self._subscription))
        except BaseException as error:
            ours = error is limit
            reason = f"no answer from {self.host}:{self.port} within {settings.esl_connect_timeout_s:g} s"
            if connection is not None:
                connection.close(reason if ours else str(error) or type(error).__name__)
            self._connection = None
            self.state = LinkState.DOWN
            if ours:
                raise LinkDown(reason, maybe_sent=False) from None
            if isinstance(error, CommandTimeout):
                raise LinkDown(str(error), maybe_sent=False) from None
            raise
        finally:
            limit.close()
        self.counters.connects += 1
        self.state = LinkState.READY
        self.connected = True
        return connection

    def _keep(self, connection: Connection) -> None:
        settings, heartbeat_s = self.settings, None
        if self._subscription is not None and "HEARTBEAT" in self._subscription.events:
            heartbeat_s = settings.heartbeat_interval_s * settings.heartbeat_missed + settings.esl_ping_interval_s
        watch(
            connection,
            interval_s=settings.esl_ping_interval_s,
            heartbeat_s=heartbeat_s,
            round_trip=lambda seconds: setattr(self, "round_trip_s", seconds),
        )

    def _went_up(self) -> None:
        """READY: tell the owner. Once per connection, from the supervisor's side."""
        if self.state is LinkState.READY:
            self._ready.set()
            log.info("link up", extra={"role": self.role, "host": self.host, "port": self.port})
            self._hooks.went_up()

    def _went_down(self, connection: Connection) -> None:
        """Called once by a connection that ends."""
        if connection is not self._connection:
            return
        self._connection = None
        self.connected = False
        self._ready.clear()
        was_up, self.state = self.state is LinkState.READY, LinkState.DOWN
        if not was_up or self._stopping.is_set():
            return
        reason = str(connection.error)
        self.counters.downs += 1
        log.warning("link down", extra={"role": self.role, "reason": reason})
        self._hooks.went_down(reason)
