"""One TCP connection to the event socket: the order of its commands, their replies, and its one end.

Explicitly ``gevent.socket``, so it behaves the same whether or not the process is patched.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

import gevent
import gevent.socket
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from controller.esl_errors import CommandRefused, CommandTimeout, EslError, LinkDown, NotOnDuty, TooLate, refusal
from controller.esl_state import Counters
from controller.esl_wire import Command, wire
from controller.frames import FrameError, FrameParser

#: s; after a deadline the hub gets this long to read what is already here: the process may have been paused itself.
LATE_GRACE_S = 0.05
#: SO_LINGER on, 0 s: close() throws away what has not left and resets the connection.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_NO_REPLY = "-ERR no reply"  # how the switch words an API's empty answer


class Pending:
    """A command that was written and whose reply is awaited."""

    __slots__ = ("_connection", "_done", "_error", "_reply", "command", "limit_s", "written_at")

    def __init__(self, command: Command, connection: Connection, limit_s: float) -> None:
        self.command = command
        self.limit_s = limit_s  # from written_at; then the connection is closed
        self.written_at = time.monotonic()
        self._connection = connection
        self._done = Event()
        self._reply = ""
        self._error: EslError | None = None

    @property
    def done(self) -> bool:
        """The reply is here, or will never be."""
        return self._done.is_set()

    def within(self, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` for the reply without any consequence."""
        return bool(self._done.wait(timeout_s))

    def wait(self, timeout_s: float | None = None) -> str:
        """The reply's text as it is, ``-ERR`` included. Raises LinkDown, or CommandTimeout after ``timeout_s``.

        Default: what is left of the command's own limit. A timeout closes the connection, because replies match by
        order alone. A ``gevent.Timeout`` of the caller passes through and costs nothing: the reply is not looked at.
        """
        if timeout_s is None:
            limit = max(0.0, self.written_at + self.limit_s - time.monotonic())
        else:
            limit = timeout_s
            self.limit_s = max(self.limit_s, time.monotonic() - self.written_at + timeout_s)
        while not self._done.wait(limit):
            if self._connection.stalled:
                gevent.sleep(LATE_GRACE_S)
                continue  # the reader waits for our own handlers: the switch is not to blame
            if not self._done.wait(LATE_GRACE_S):
                late = time.monotonic() - self.written_at
                self.fail(CommandTimeout(self.command.kind, late))
                self._connection.time_out(f"no reply to {self.command.kind} within {late:.2f} s")
            break
        if self._error is not None:
            raise self._error
        return self._reply

    def accepted(self, timeout_s: float | None = None) -> str:
        """As :meth:`wait`, but a refusal is CommandRefused; an empty answer is the empty text where that is usual."""
        reply = self.wait(timeout_s)
        if self.command.empty_ok and reply == _NO_REPLY:
            return ""
        if refusal(reply):
            raise CommandRefused(self.command.kind, reply)
        return reply

    def settle(self, reply: str) -> None:
        """The reply came."""
        self._reply = reply
        self._done.set()

    def fail(self, error: EslError) -> None:
        """It will never come."""
        if not self._done.is_set():
            self._error = error
            self._done.set()


class Connection:
    """Owns the socket from the TCP connect to :meth:`close`, which happens once, whoever notices first."""

    def __init__(
        self,
        sock: gevent.socket.socket,
        *,
        max_frame_bytes: int,
        command_timeout_s: float,
        on_close: Callable[[Connection], None],
        counters: Counters,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        self.sock = sock
        self.parser = FrameParser(max_frame_bytes)
        self.command_timeout_s = command_timeout_s
        self.greeted = Event()  # the switch asks us to log in; also set by the end
        self.closed = Event()
        self.error: LinkDown | None = None  # why it ended
        self.stalled = False  # the reader waits because our handlers are slow
        self.silent_s = 0.0  # without a heartbeat, in time this process really ran
        self._fifo: deque[Pending] = deque()
        self._lock = BoundedSemaphore(1)
        self._on_close = on_close
        self._may_act = may_act
        self._counters = counters
        sock.settimeout(command_timeout_s)  # for sendall; the reader goes on after it

    @property
    def oldest(self) -> Pending | None:
        """The command whose reply is due next."""
        return self._fifo[0] if self._fifo else None

    def unacknowledged(self, kind: str) -> int:
        """Commands of this kind that were written and not answered."""
        return sum(1 for pending in self._fifo if pending.command.kind == kind)

    def write(
        self, commands: Sequence[Command], *, timeout_s: float | None = None, use_by: float | None = None
    ) -> list[Pending]:
        """All ``commands`` by one ``sendall``, nothing between them. LinkDown tells whether any byte may have left.

        TooLate when another greenlet's write kept this one waiting past ``use_by`` (monotonic). NotOnDuty when one of them
        would change something at the switch and we may not (any more).
        """
        data = b"".join(wire(command) for command in commands)
        with self._lock:
            if self.closed.is_set():
                raise LinkDown(str(self.error), maybe_sent=False)
            if use_by is not None and time.monotonic() > use_by:
                raise TooLate("its moment had passed before it could be written")
            if any(command.is_deed for command in commands) and not self._may_act():
                raise NotOnDuty("another controller may be on duty beside this switch")
            limit = self.command_timeout_s if timeout_s is None else timeout_s
            pendings = [Pending(command, self, limit) for command in commands]
            self._fifo.extend(pendings)
            try:
                self.sock.sendall(data)
            except OSError as error:
                self.close(f"cannot write: {error}")
                raise LinkDown(str(self.error), maybe_sent=True) from error
            except BaseException:
                # Cut off by a caller's timeout or by a kill: half a command may be out, so no more can follow it.
                self.close("a write was interrupted")
                raise
        return pendings

    def settle(self, reply: str) -> None:
        """A reply belongs to the oldest command. FrameError when there is none."""
        if not self._fifo:
            raise FrameError("a reply to no command")
        self._fifo.popleft().settle(reply)

    def check(self) -> None:
        """Raises what ended the connection, if it has ended."""
        if self.error is not None:
            raise self.error

    def time_out(self, reason: str) -> None:
        """A reply did not come."""
        self._counters.timeouts += 1
        self.close(reason)

    def close(self, reason: str | LinkDown) -> None:
        """The one end: every waiting command fails now, then the owner hears of it."""
        if self.closed.is_set():
            return
        self.error = reason if isinstance(reason, LinkDown) else LinkDown(reason, maybe_sent=True)
        self.closed.set()
        self.greeted.set()
        waiting, self._fifo = self._fifo, deque()
        for pending in waiting:
            pending.fail(LinkDown(self.error.reason, maybe_sent=True))
        if waiting:
            # Without this the kernel goes on sending what has not left yet, for minutes after a network has healed: long
            # after an originate that was lost on the way has been taken for never sent.
            with suppress(OSError):
                self.sock.setsockopt(gevent.socket.SOL_SOCKET, gevent.socket.SO_LINGER, _RESET_ON_CLOSE)
        self.sock.close()
        self._on_close(self)
