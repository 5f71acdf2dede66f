"""A phone and an agent on a WebSocket: connected while it rings, talking from the answer on."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from calls.ids import call_ref
from controller.relay import protocol
from controller.relay.agent import AgentFailed, reach
from controller.relay.asking import Asking
from controller.relay.downlink import Downlink
from controller.relay.leg import Ending, Failed, Leg
from controller.relay.pickup import pick_up
from controller.relay.recorder import Recorder
from controller.relay.switch import SwitchDown, answered_at
from controller.relay.texts import json_values
from controller.relay.uplink import Uplink
from store.relay import RelayCall

log = logging.getLogger(__name__)

#: The mark at a notice's end; an agent's own have at least one character.
_NOTICE = ""
#: Bad messages an agent may send before it is taken for something else than an agent.
_BAD_MESSAGES = 10
#: Lost media sockets of one call; then the switch's side is taken for broken.
_FORKS = 4
#: s; a hangup closes the media socket a moment before its event comes.
_HANGUP_GRACE_S = 0.5
#: s; the media socket opens on the answer, so the answer's event must be near. Else the switch is asked.
_ANSWER_GRACE_S = 0.5
#: s; for the last text to an agent, and its close.
_GOODBYE_S = 2.0


class Conversation:
    """See :class:`controller.relay.leg.Talk`."""

    def __init__(self, leg: Leg, call: RelayCall, recorder: Recorder, *, waiting: bool = False) -> None:
        """``waiting``: another agent still talks, until :attr:`live` is set."""
        settings = leg.parts.settings
        self._waited = waiting
        self.live = asyncio.Event()
        self.prepared = asyncio.Event()  # the agent is ready
        if not waiting:
            self.live.set()
        self._leg = leg
        self._call = call
        self._recorder = recorder
        recorder.tell = lambda on, reason: self._say(protocol.recording(on=on, reason=reason))
        self._uplink = Uplink(settings.relay_prebuffer_frames)
        self._downlink = Downlink(leg.attempt, leg.parts.switch, leg.parts.files, settings, self._on_mark, self._on_sound)
        self._downlink.on_doubt = recorder.on_doubt
        self._announcements = Path(settings.announcement_dir) if settings.announcement_dir else None
        self._agent: ClientConnection | None = None
        self._asking = Asking(leg, call, self.on_transfer)
        self._ready = asyncio.Event()
        self._texts: asyncio.Queue[str] = asyncio.Queue(1000)  # to the agent
        self._bad = 0
        self._fork: ServerConnection | None = None
        self._fork_up = asyncio.Event()
        self._fork_lost = asyncio.Event()

    # --- the life of it ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._downlink.run())
                group.create_task(self._keep_fork())
                group.create_task(self._open_on_answer())
                await self._serve_agent(group)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _serve_agent(self, group: asyncio.TaskGroup) -> None:
        leg, settings = self._leg, self._leg.parts.settings
        if not self._call.agent_url:
            raise Failed("agent_unknown", "the agent has no url")
        try:
            agent = await reach(
                self._call.agent_url, attempt=leg.attempt, call=call_ref(self._call.call_id), settings=settings
            )
        except AgentFailed as error:
            raise Failed(error.reason, str(error)) from error
        self._agent = agent
        leg.note("relay.agent_connected")
        start = protocol.start(
            call=call_ref(self._call.call_id),
            attempt=leg.attempt,
            to=self._call.to_number,
            from_=self._call.from_number,
            variables=self._call.agent_variables,
            metadata=self._call.metadata,
            direction=self._call.direction,
            resumed=leg.resumed or self._waited,
            recording=self._recorder.facts,
        )
        try:
            await agent.send(start)
            group.create_task(self._listen(agent))
            group.create_task(self._tell(agent))
            try:
                async with asyncio.timeout(settings.agent_ready_timeout_s):
                    await self._ready.wait()
            except TimeoutError:
                raise Failed("agent_not_ready", f"no ready within {settings.agent_ready_timeout_s:g} s") from None
            leg.note("relay.agent_ready")
            self.prepared.set()
            await self.live.wait()
            await pick_up(leg, self._call)
            await leg.answered.wait()
            assert leg.answered_at is not None
            # Before any audio, and not behind texts that wait.
            await agent.send(protocol.answered(leg.answered_at))
            await self._uplink.run(agent.send)
        except ConnectionClosed:
            await self._agent_closed(agent)

    async def _open_on_answer(self) -> None:
        await self.live.wait()
        await self._recorder.answered()
        self._downlink.open()

    @property
    def flows(self) -> bool:
        """Answered, and the callee is heard."""
        return self._leg.answered.is_set() and self._fork_up.is_set()

    async def stop(self, ending: Ending) -> None:
        self._asking.stop()
        agent, fork = self._agent, self._fork
        if fork is not None:
            fork.transport.abort()  # the channel is gone, or about to go; its module closes its own end
        if agent is None:
            return
        with suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(_GOODBYE_S):
                await agent.send(protocol.stop(ending.reason, by=ending.by, cause=ending.cause))
                await agent.close(1012 if ending.reason == "relay_restart" else 1000, ending.reason)
        agent.transport.abort()
        self._leg.note("relay.ended", {"reason": ending.reason, "by": ending.by, "dropped_frames": self._uplink.dropped})

    # --- the agent's side ----------------------------------------------------------------------------------------

    async def _listen(self, agent: ClientConnection) -> None:
        try:
            async for frame in agent:
                try:
                    for message in protocol.parse(frame):
                        self._do(message)
                except protocol.ProtocolError as error:
                    self._object(error.code, str(error))
        except ConnectionClosed:
            pass
        await self._agent_closed(agent)

    async def _agent_closed(self, agent: ClientConnection) -> None:
        """An agent that closes in order has ended the call; one that vanishes has failed it."""
        await agent.wait_closed()
        if agent.close_code == 1000 and self.live.is_set():
            self._leg.end(Ending("agent_closed", "agent", kill=True))
            await self._leg.ended()
            return
        raise Failed("agent_lost", f"the agent's socket closed: {agent.close_code} {agent.close_reason or ''}".strip())

    def _do(self, message: protocol.Message) -> None:
        match message:
            case protocol.Media(pcm):
                if pcm and not self._downlink.feed(pcm):
                    limit = self._leg.parts.settings.relay_max_buffer_s
                    self._object("buffer_full", f"audio: {limit:g} s wait to be played; this message was dropped")
            case protocol.Ready():
                self._ready.set()
            case protocol.Mark(name):
                self._downlink.mark(name)
            case protocol.Clear():
                self._downlink.clear()
            case protocol.Notice() if self._recorder.by_agent:
                self._downlink.mark(_NOTICE)
            case protocol.Notice():
                self._say(protocol.error("no_notice_wanted", "notice: this call does not wait for one to be recorded"))
            case protocol.Transfer() | protocol.SendDtmf() if not self.live.is_set():
                self._say(protocol.error("not_answered", "another agent still talks; wait for answered"))
            case protocol.Transfer():
                self._asking.start(message)
            case protocol.SendDtmf(digits):
                self._send_dtmf(digits)
            case protocol.Hangup(after_playback=True):
                self._downlink.at_end()
            case protocol.Hangup():
                self._hang_up()

    def _hang_up(self) -> None:
        if not self.live.is_set():
            raise Failed("agent_refused", "the agent hung up before it was its turn")
        self._leg.end(Ending("agent_hangup", "agent", kill=True))

    def _send_dtmf(self, digits: str) -> None:
        if not self._leg.answered.is_set():
            self._say(protocol.error("not_answered", "dtmf: nobody has answered yet"))
            return
        try:
            self._leg.parts.switch.send_dtmf(self._leg.attempt, digits)
        except SwitchDown:
            self._say(protocol.error("switch_link_lost", "dtmf: no link to the switch; try again"))

    def on_transfer(self, name: str, status: str, reason: str | None = None) -> None:
        """The agent hears what becomes of a transfer that it, or the API, asked for."""
        self._say(protocol.transfer(name, status, reason))

    def _object(self, code: str, detail: str) -> None:
        """Tell the agent what was wrong; an agent that goes on like this is none."""
        self._bad += 1
        self._say(protocol.error(code, detail))
        if self._bad >= _BAD_MESSAGES:
            raise Failed("agent_protocol", f"{self._bad} bad messages, the last: {detail}")

    def _say(self, text: str) -> None:
        try:
            self._texts.put_nowait(text)
        except asyncio.QueueFull:
            self._leg.fail("agent_lost", "the agent does not read what it is told")

    async def _tell(self, agent: ClientConnection) -> None:
        with suppress(ConnectionClosed):  # the listener sees it too, and says why
            while True:
                await agent.send(await self._texts.get())

    def _on_mark(self, name: str | None, played: bool) -> None:
        if name == _NOTICE:
            self._recorder.on_notice(played=played)
        elif name is not None:
            self._say(protocol.mark(name, played=played))
        elif played:
            self._hang_up()

    def _on_sound(self, at: float) -> None:
        self._leg.heard(at)

    # --- the switch's side ---------------------------------------------------------------------------------------

    async def serve_fork(self, fork: ServerConnection) -> None:
        leg = self._leg
        if self._fork is not None:
            self._fork.transport.abort()
        self._fork = fork
        self._fork_lost.clear()
        self._fork_up.set()
        leg.note("relay.fork_connected")
        asking = None if leg.answered.is_set() else asyncio.create_task(self._ask_if_answered())
        try:
            async for frame in fork:
                if isinstance(frame, bytes):
                    self._uplink.put(frame)
                else:
                    log.debug("attempt %s: the switch's media socket says %s", leg.attempt, json_values(frame))
        except (ConnectionClosed, ValueError) as error:
            log.debug("attempt %s: the media socket: %s", leg.attempt, error)
        finally:
            if asking is not None:
                asking.cancel()
            if self._fork is fork:
                self._fork = None
                self._fork_up.clear()
                self._fork_lost.set()

    def on_fork_failed(self) -> None:
        self._fork_lost.set()

    async def _ask_if_answered(self) -> None:
        """A media socket without an answer: the event got lost, so the channel itself is asked."""
        leg = self._leg
        while not leg.answered.is_set():
            await asyncio.sleep(_ANSWER_GRACE_S)
            with suppress(SwitchDown):
                channel = await leg.parts.switch.look(leg.attempt)
                if channel is None:
                    leg.hung_up(None, None)
                elif at := answered_at(channel):
                    leg.answer(at)

    async def _keep_fork(self) -> None:
        """From the answer on there is a media socket, or a new one is asked for, or the call ends."""
        leg, timeout_s = self._leg, self._leg.parts.settings.relay_fork_timeout_s
        await leg.answered.wait()
        await self.live.wait()
        # A callee's is opened by the switch itself, on the answer.
        if (leg.resumed or self._waited or self._call.direction == "inbound") and not self._fork_up.is_set():
            await self._fork_again()
        for _ in range(_FORKS):
            up = asyncio.create_task(self._fork_up.wait())
            lost = asyncio.create_task(self._fork_lost.wait())
            was_up = False
            try:
                await asyncio.wait([up, lost], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
                if was_up := self._fork_up.is_set():
                    await lost
            finally:
                up.cancel()
                lost.cancel()
            await asyncio.wait([leg.over], timeout=_HANGUP_GRACE_S)
            leg.note("relay.fork_lost", {"was_up": was_up})
            self._fork_lost.clear()
            await self._fork_again()
        raise Failed("media_lost", f"the media socket was lost {_FORKS} times")

    async def _fork_again(self) -> None:
        """Ask the switch for a new media socket. A link that is down is waited for."""
        leg, settings = self._leg, self._leg.parts.settings
        if leg.parts.draining.is_set():
            leg.end(Ending("relay_restart", None))  # a new one would come to the next relay: so it is that one's call
            await leg.ended()
        try:
            await leg.parts.switch.wait_up(settings.esl_backoff_max_s + settings.esl_connect_timeout_s)
            if not await leg.parts.switch.exists(leg.attempt):
                leg.hung_up(None, None)
                await leg.ended()
            elif not await leg.parts.switch.fork_again(leg.attempt):
                log.warning("attempt %s: the switch refuses a media socket", leg.attempt)
        except (TimeoutError, SwitchDown) as error:
            raise Failed("media_lost", f"no media socket, and no link to ask for one: {error}") from error

    def on_dtmf(self, digit: str, duration_ms: int | None) -> None:
        self._say(protocol.dtmf(digit, duration_ms))

    def on_playback(self, playback: str, at: float) -> None:
        if self._announcements is not None and Path(playback).parent == self._announcements:
            self._downlink.hold(at)  # but for the notice, which is before the agent may be heard
        else:
            self._downlink.started(playback, at)

    def on_others_played(self, at: float) -> bool:
        whole = not self._downlink.cut_off
        self._downlink.release(at)
        return whole

    def on_played(self, playback: str, response: str, at: float) -> None:
        if self._recorder.on_played(playback, response):
            return
        if response != "FILE PLAYED":
            log.warning("attempt %s: the switch says %s of a chunk", self._leg.attempt, response)
        self._downlink.finished(playback, at)
