"""The line to a call's agent: one socket, spoken on in the agent's dialect."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

from websockets.exceptions import ConnectionClosed

from calls.agent_token import sign
from calls.ids import agent_ref, call_ref
from controller.relay import protocol
from controller.relay.agent import AgentFailed, reach
from controller.relay.dialect import Dialect, Facts, dialect_for
from controller.relay.fair import FairConnection, spent
from controller.relay.leg import Ending, Failed, Leg
from controller.relay.pickup import pick_up
from controller.relay.runtime import runtime_access
from controller.relay.seat import reach_seat
from controller.relay.turn import Turn
from controller.relay.uplink import Uplink
from store.relay import RelayCall

log = logging.getLogger(__name__)

#: A text in the words of the dialect that is spoken when it is sent; None: it is not told.
Say = Callable[[Dialect], str | None]

#: Bad messages an agent may send before it is taken for something else than an agent.
_BAD_MESSAGES = 10
#: Texts that wait for an agent to read them.
_TEXTS = 1000
#: Bytes of an agent's audio (8 kHz) that are taken in one; then other calls have their turn.
_AT_ONCE = 8192
#: s; for the last text to an agent, and its close.
_GOODBYE_S = 2.0
#: Closed in order: 1000, or a close without a code.
_IN_ORDER = (1000, 1005)
#: Why the relay itself closes a socket: too long a message, no UTF-8, no WebSocket.
_OURS = (1002, 1007, 1009)


class _Lost(Exception):
    """The agent's socket is gone, and nobody said that it should be."""


class Line:
    """``on_message`` carries out what the agent says; ``room``: whether so many bytes of its audio can be kept, else it is
    told; ``facts``: what it is told at the start.
    """

    def __init__(
        self,
        leg: Leg,
        call: RelayCall,
        uplink: Uplink,
        on_message: Callable[[protocol.Message], None],
        room: Callable[[int], bool],
        facts: Callable[[], Facts],
        turn: Turn,
    ) -> None:
        self._turn = turn
        self._leg = leg
        self._call = call
        self._uplink = uplink
        self._on_message = on_message
        self._room = room
        self._facts = facts
        self._texts: asyncio.Queue[Say] = asyncio.Queue(_TEXTS)
        self._ready = asyncio.Event()
        self._socket: FairConnection | None = None
        self._dialect: Dialect | None = None
        self._bad = 0
        self._given_up: Failed | None = None
        self.ending = False  # the agent wants the call to end when all it sent was heard

    async def run(self) -> None:
        """Serve until cancelled; a socket that is lost is made anew, within limits. Raises :class:`Failed`."""
        if not self._call.agent_url and self._call.agent_kind != "fleet":
            raise Failed("agent_unknown", "the agent has no url")
        settings = self._leg.parts.settings
        # A worker of ours serves one socket, and whoever follows it knows nothing of the call.
        left = settings.agent_reconnects if self._call.agent_kind == "websocket" else 0
        timeout_s, resumed = settings.agent_connect_timeout_s, self._leg.resumed or self._turn.waited
        lost: _Lost | None = None
        while True:
            try:
                await self._serve(self._call.agent_url or "", timeout_s, resumed=resumed)
            except _Lost as error:
                lost = error
            except Failed as error:
                if lost is None or error.reason == "agent_protocol":
                    raise
                raise Failed("agent_lost", f"{lost}; then: {error}") from error
            if self.ending:  # it said all it had to say, and the call ends when that was heard
                await self._leg.ended()
            if left == 0 or not self._turn.ours.is_set():
                raise Failed("agent_lost", str(lost))
            left -= 1
            self._leg.note("relay.agent_lost", {"detail": str(lost)[:500]})
            log.warning("attempt %s: %s; connecting again", self._leg.attempt, lost)
            timeout_s, resumed = settings.agent_reconnect_timeout_s, True

    async def _serve(self, url: str, timeout_s: float, *, resumed: bool) -> None:
        """One socket, from the connection to its loss. Raises :class:`_Lost` or :class:`Failed`."""
        leg = self._leg
        access = runtime_access(self._call, leg.parts.settings, datetime.now(UTC))
        dialect = dialect_for(self._call, self._facts(), resumed=resumed, runtime=access.facts)
        ours = self._call.agent_kind == "fleet"

        async def connect(url: str, timeout_s: float) -> FairConnection:
            return await reach(
                url,
                attempt=leg.attempt,
                headers=lambda: {**self._headers(), **access.headers},
                subprotocols=dialect.subprotocols,
                timeout_s=timeout_s,
                settings=leg.parts.settings,
                ours=ours,
                on_trouble=None if ours else lambda problem: leg.note("relay.agent_away", {"detail": problem[:500]}),
            )

        try:
            if ours:
                socket = await reach_seat(leg, self._call, connect, following=self._turn.waited)
            else:
                socket = await connect(url, timeout_s)
        except AgentFailed as error:
            raise Failed(error.reason, str(error)) from error
        self._socket, self._dialect = socket, dialect
        self._ready.clear()
        leg.note("relay.agent_connected")
        try:
            async with asyncio.TaskGroup() as group:
                begun = asyncio.Event()
                group.create_task(self._listen(socket, dialect))
                group.create_task(self._speak(socket, dialect, begun))
                group.create_task(self._tell(socket, dialect, begun))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    def _headers(self) -> Mapping[str, str]:
        attempt, call = str(self._leg.attempt), call_ref(self._call.call_id)
        headers = {"X-Trunkline-Attempt": attempt, "X-Trunkline-Call": call}
        # Workers of ours know the relay by their pool's key; what the agent's owner was given is not for them.
        secret = self._call.agent_pool_key if self._call.agent_kind == "fleet" else self._call.agent_secret
        if secret is not None:
            token = sign(
                secret,
                agent=agent_ref(self._call.agent_id),
                call=call,
                attempt=attempt,
                now=time.time(),
                token_id=uuid4().hex,
            )
            headers["Authorization"] = f"Bearer {token}"
        return headers

    # --- to the agent --------------------------------------------------------------------------------------------

    async def _speak(self, socket: FairConnection, dialect: Dialect, begun: asyncio.Event) -> None:
        """The greeting, the answer, and what the callee says."""
        leg = self._leg
        with suppress(ConnectionClosed):  # the listener sees it too, and says why
            await socket.send(dialect.greeting())
            if dialect.begins_on_answer:
                self._ready.set()
            else:
                begun.set()
                await self._wait_ready()
            leg.note("relay.agent_ready")
            self._turn.prepared.set()
            await self._turn.ours.wait()
            await pick_up(leg, self._call)
            await leg.answered.wait()
            assert leg.answered_at is not None
            # Before any audio, and not behind texts that wait.
            await socket.send(dialect.answered(leg.answered_at))
            begun.set()
            await self._uplink.run(
                lambda pcm: socket.send(dialect.audio(pcm)),
                lambda pcm: socket.idle and socket.send_at_once(dialect.audio(pcm)),
            )

    async def _wait_ready(self) -> None:
        timeout_s = self._leg.parts.settings.agent_ready_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self._ready.wait()
        except TimeoutError:
            raise Failed("agent_not_ready", f"no ready within {timeout_s:g} s") from None

    async def _tell(self, socket: FairConnection, dialect: Dialect, begun: asyncio.Event) -> None:
        await begun.wait()
        with suppress(ConnectionClosed):
            while True:
                text = (await self._texts.get())(dialect)
                if text is not None:
                    await socket.send(text)

    def say(self, what: Say) -> None:
        """Tell the agent, in turn; never waits."""
        try:
            self._texts.put_nowait(what)
        except asyncio.QueueFull:
            self._give_up(Failed("agent_lost", "the agent does not read what it is told"))

    def error(self, code: str, detail: str) -> None:
        """Tell the agent what could not be done."""
        self.say(lambda dialect: dialect.error(code, detail))

    def object(self, code: str, detail: str) -> None:
        """Tell the agent what was wrong; an agent that goes on like this is none."""
        self._bad += 1
        if self._bad == 1:
            self._leg.note("relay.bad_message", {"code": code, "detail": detail[:500]})
        self.error(code, detail)
        if self._bad >= _BAD_MESSAGES:
            raise Failed("agent_protocol", f"{self._bad} bad messages, the last: {detail}")

    async def goodbye(self, ending: Ending) -> None:
        """The last text, and the close. Never raises, bounded in time."""
        socket, dialect = self._socket, self._dialect
        if socket is None or dialect is None:
            return
        try:
            with suppress(TimeoutError, ConnectionClosed):
                async with asyncio.timeout(_GOODBYE_S):
                    last = dialect.stop(ending.reason, by=ending.by, cause=ending.cause)
                    if last is not None:
                        await socket.send(last)
                    await socket.close(1012 if ending.reason == "relay_restart" else 1000, ending.reason)
        finally:  # also when nobody waits any longer for an agent that does not answer
            socket.transport.abort()
            self._leg.note("relay.ended", {"reason": ending.reason, "by": ending.by, "dropped_frames": self._uplink.dropped})

    # --- from the agent ------------------------------------------------------------------------------------------

    async def _listen(self, socket: FairConnection, dialect: Dialect) -> None:
        with suppress(ConnectionClosed):
            async for frame in socket:
                await self._hear(frame, socket, dialect)
        await self._closed(socket)

    async def _hear(self, frame: str | bytes, socket: FairConnection, dialect: Dialect) -> None:
        began, heard = spent(), 0
        for message in self._parse(frame, dialect):
            for piece in dialect.pieces(message):
                if heard >= _AT_ONCE:
                    await socket.share(spent() - began)
                    began, heard = spent(), 0
                if isinstance(piece, protocol.Ready):
                    self._ready.set()
                    continue
                if isinstance(piece, protocol.Media):
                    heard += len(piece.pcm)
                self._on_message(piece)
        socket.charge(spent() - began)

    def _parse(self, frame: str | bytes, dialect: Dialect) -> Iterator[protocol.Message]:
        """Each message when its turn has come, without the audio for which there is no room then."""
        try:
            messages = dialect.parse(frame)
        except protocol.ProtocolError as error:
            if error.ignore:
                log.debug("attempt %s: passed over: %s", self._leg.attempt, error)
            else:
                self.object(error.code, str(error))
            return
        for message in messages:
            if not isinstance(message, protocol.Media) or self._room(dialect.size(message.pcm)):
                yield message

    async def _closed(self, socket: FairConnection) -> None:
        """An agent that closes in order has ended the call; one that vanishes has failed it."""
        await socket.wait_closed()
        if self._given_up is not None:
            raise self._given_up
        sent, received = socket.protocol.close_sent, socket.protocol.close_rcvd
        if sent is not None and sent.code in _OURS and not socket.protocol.close_rcvd_then_sent:
            raise Failed("agent_protocol", f"a message that is none, the socket was closed: {sent.code} {sent.reason}"[:500])
        if received is not None and received.code in _IN_ORDER:
            if not self._turn.ours.is_set():
                raise Failed("agent_refused", "the agent closed its socket before it was its turn")
            self._leg.end(Ending("agent_closed", "agent", kill=True))
            await self._leg.ended()
            return
        told = "without a word" if received is None else f"{received.code} {received.reason!a}"
        raise _Lost(f"the agent's socket closed: {told}")

    def _give_up(self, why: Failed) -> None:
        if self._given_up is None:
            self._given_up = why
            if self._socket is not None:
                self._socket.transport.abort()
