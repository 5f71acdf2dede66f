"""An event socket connection for asyncio: connects, authenticates, subscribes, and does so again after every loss.

Several serve the relay: one for events, one for commands, so that a flood of events delays no command, and one each for
what may keep the switch waiting.
Replies come in the order of the commands; so a reply that is late spoils the connection, and it is closed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence

from controller import commands, commands_link
from controller.esl_errors import AuthRejected, LinkDown, NoReply
from controller.frames import Event, Frame, FrameError, FrameParser
from settings import Settings

log = logging.getLogger(__name__)

_READ_BYTES = 65_536
#: s; enough for the event loop to read what has come.
_READ_S = 0.05


class Link:
    """One connection that is made again whenever it falls. :meth:`run` does the work; the rest never blocks.

    ``on_event`` is called for each event, in order; ``on_up`` after each (re)connect, when the subscription stands.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        *,
        subscribe: Sequence[commands.Command] = (),
        on_event: Callable[[Event], None] | None = None,
        on_up: Callable[[], None] | None = None,
    ) -> None:
        self._settings = settings
        self._name = name
        self._subscribe = subscribe
        self._on_event = on_event
        self._on_up = on_up
        self._writer: asyncio.StreamWriter | None = None
        self._pending: deque[tuple[float, asyncio.Future[str]]] = deque()
        self._up = asyncio.Event()

    @property
    def up(self) -> bool:
        """Authenticated and subscribed."""
        return self._up.is_set()

    async def wait_up(self, timeout_s: float) -> None:
        """Returns when the link is up; raises ``TimeoutError`` after ``timeout_s``."""
        async with asyncio.timeout(timeout_s):
            await self._up.wait()

    def write(self, command: commands.Command) -> asyncio.Future[str]:
        """Write ``command`` now; the future brings the reply's text, or :class:`LinkDown`.

        Raises :class:`LinkDown` when there is no connection: then nothing was written.
        """
        if not self.up:
            raise LinkDown(f"{self._name}: no connection to the switch", maybe_sent=False)
        return self._write(command)

    async def ask(self, command: commands.Command) -> str:
        """Write ``command`` and return the reply's text (``+OK ...``, ``-ERR ...``). Raises :class:`LinkDown`.

        Waits at most ``esl_command_timeout_s``: a later reply closes the connection.
        """
        return await self.write(command)

    def _write(self, command: commands.Command) -> asyncio.Future[str]:
        assert self._writer is not None
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[str] = loop.create_future()
        reply.add_done_callback(_look)
        self._pending.append((loop.time() + self._settings.esl_command_timeout_s, reply))
        self._writer.write(commands.wire(command))
        return reply

    async def run(self) -> None:
        """Keep the link up until cancelled; then nobody waits for a reply any more."""
        try:
            await self._keep_up()
        finally:
            self._fall()

    async def _keep_up(self) -> None:
        settings = self._settings
        delay = settings.esl_backoff_min_s
        while True:
            try:
                await self._session()
            except (OSError, FrameError, LinkDown) as error:  # TimeoutError is an OSError
                log.warning("%s: %s", self._name, error or type(error).__name__)
            if self.up:
                delay = settings.esl_backoff_min_s
            self._fall()
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, settings.esl_backoff_max_s)

    async def _session(self) -> None:
        settings = self._settings
        parser = FrameParser(settings.esl_max_frame_bytes)
        async with asyncio.timeout(settings.esl_connect_timeout_s):
            reader, writer = await asyncio.open_connection(settings.esl_host, settings.esl_port)
        self._writer = writer
        try:
            async with asyncio.timeout(settings.esl_connect_timeout_s):
                early = await self._log_in(reader, parser)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                group.create_task(self._open())
                await self._read(reader, parser, early)
                raise LinkDown("the switch closed the connection", maybe_sent=True)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        finally:
            self._writer = None
            writer.transport.abort()

    async def _log_in(self, reader: asyncio.StreamReader, parser: FrameParser) -> list[Frame]:
        """Authenticate; returns frames that came after the reply in the same bytes."""
        asked = False
        while True:
            data = await reader.read(_READ_BYTES)
            if not data:
                raise LinkDown("the switch closed the connection before it accepted us", maybe_sent=False)
            frames = list(parser.feed(data))
            for i, frame in enumerate(frames):
                if frame.content_type == "auth/request" and not asked:
                    asked = True
                    assert self._writer is not None
                    settings = self._settings
                    user = settings.relay_esl_user or settings.esl_user
                    login = commands_link.auth(user=user, password=settings.esl_password)
                    self._writer.write(commands.wire(login))
                elif frame.content_type == "command/reply" and asked:
                    if not frame.text().startswith("+OK"):
                        raise AuthRejected(
                            f"the switch refused us: {frame.text()}; check TRUNKLINE_RELAY_ESL_USER and _ESL_PASSWORD"
                        )
                    return frames[i + 1 :]
                elif frame.content_type == "text/rude-rejection":
                    raise AuthRejected("the switch's access list refuses this address; see apply-inbound-acl")

    async def _open(self) -> None:
        for command in self._subscribe:
            reply = await self._write(command)
            if not reply.startswith("+OK"):
                raise LinkDown(f"the switch refused a subscription: {reply}", maybe_sent=True)
        log.info("%s: connected", self._name)
        self._up.set()
        if self._on_up is not None:
            self._on_up()

    async def _read(self, reader: asyncio.StreamReader, parser: FrameParser, early: list[Frame]) -> None:
        for frame in early:
            self._take(frame)
        while data := await reader.read(_READ_BYTES):
            for frame in parser.feed(data):
                self._take(frame)

    def _take(self, frame: Frame) -> None:
        if frame.is_reply:
            if not self._pending:
                raise LinkDown("a reply to no command", maybe_sent=True)
            _, reply = self._pending.popleft()
            if not reply.done():
                reply.set_result(frame.text())
        elif frame.is_event and self._on_event is not None:
            try:
                self._on_event(frame.event())
            except FrameError:
                raise
            except Exception:
                # One event we trip over must not cost the link, and with it every other call.
                log.exception("%s: an event was not understood", self._name)
        elif frame.content_type == "text/disconnect-notice":
            raise LinkDown("the switch ends the connection", maybe_sent=True)

    async def _watch(self) -> None:
        """Close the link when a reply is late; ask something when nothing was asked for a while."""
        clock = asyncio.get_running_loop().time
        interval = min(self._settings.esl_ping_interval_s, self._settings.esl_command_timeout_s / 2)
        while True:
            await asyncio.sleep(interval)
            if self._pending:
                first = self._pending[0]
                if clock() < first[0]:
                    continue
                # It may be we who stood still: what lies in the socket gets its turn before the switch is blamed.
                await asyncio.sleep(_READ_S)
                if self._pending and self._pending[0] is first:
                    if not first[1].done():
                        first[1].set_exception(NoReply(f"{self._name}: no reply in time, the connection was closed"))
                    raise LinkDown("the switch did not answer in time", maybe_sent=True)
            elif self.up:
                self._write(commands.ping())

    def _fall(self) -> None:
        self._up.clear()
        while self._pending:
            _, reply = self._pending.popleft()
            if not reply.done():
                reply.set_exception(LinkDown(f"{self._name}: the connection fell before the reply", maybe_sent=True))


def _look(reply: asyncio.Future[str]) -> None:
    """A caller may not care for the reply; asyncio then complains of an exception nobody saw."""
    if not reply.cancelled():
        reply.exception()
