"""A phone and an agent on a WebSocket: connected while it rings, talking from the answer on."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from controller.relay import protocol
from controller.relay.asking import Asking
from controller.relay.audio import longest_s
from controller.relay.dialect import Facts
from controller.relay.downlink import Downlink
from controller.relay.earpiece import MediaConnection
from controller.relay.fair import Pace
from controller.relay.greeting import LATEST_S, Greeting
from controller.relay.hold import Hold
from controller.relay.leg import Ending, Failed, Leg
from controller.relay.line import Line
from controller.relay.media import MediaSocket
from controller.relay.recorder import PLAYED, Recorder
from controller.relay.switch import SwitchDown
from controller.relay.turn import Turn
from controller.relay.uplink import Uplink
from store.holds import AGENT_FAILED, TRANSFERRED
from store.relay import RelayCall

log = logging.getLogger(__name__)

#: The mark at a notice's end; an agent's own have at least one character.
_NOTICE = ""
#: And that at the greeting's; an agent's own are shorter.
_GREETING = "greeting".ljust(protocol.MAX_MARK_CHARS + 1)
#: Of messages that the switch has to act upon: a second in the long run, and at once.
_DEEDS_RATE, _DEEDS_BURST = 20.0, 40
#: s; for a link to ask by what is played in a call that was taken up on its way.
_LINK_S = 5.0
#: Marks of an agent that wait for their place.
_MARKS = 1000


class Conversation:
    """See :class:`controller.relay.leg.Talk`."""

    def __init__(self, leg: Leg, call: RelayCall, recorder: Recorder, *, waiting: bool = False) -> None:
        """``waiting``: another agent still talks, until it is this one's turn."""
        settings = leg.parts.settings
        self.turn = turn = Turn(waiting=waiting)
        self._leg = leg
        self._recorder = recorder
        self._uplink = Uplink(settings.relay_prebuffer_frames)
        self._downlink = Downlink(leg.attempt, leg.parts, self._on_mark, leg.heard)
        self._downlink.on_doubt = recorder.on_doubt
        self._downlink.on_lead = leg.greeted
        self._greeting = Greeting(leg, call, waiting=waiting)
        self._line = Line(leg, call, self._uplink, self._do, self._room, self._facts, turn)
        self.hold = Hold(leg, call, self._line, self._downlink, self._uplink)
        self._asking = Asking(leg, call, self.on_transfer)
        self._media = MediaSocket(leg, call.direction, self._uplink.put, turn)
        self._announcements = Path(settings.announcement_dir) if settings.announcement_dir else None
        self._deeds = Pace(_DEEDS_RATE, _DEEDS_BURST)
        self._clock = asyncio.get_running_loop().time

    # --- the life of it ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._greeting.prepare())
                group.create_task(self._downlink.run())
                group.create_task(self._media.keep())
                group.create_task(self._open_on_answer())
                group.create_task(self._line.run())
                group.create_task(self.hold.run())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _open_on_answer(self) -> None:
        await self.turn.ours.wait()
        self._recorder.tell = self._on_recording  # not before: until then it concerns the agent that talks
        await self._leg.answered.wait()
        latest = self._clock() + LATEST_S
        await self._recorder.answered()
        path = await self._greeting.path(latest)
        if path is not None:
            self._downlink.lead(path, longest_s(path), _GREETING)
        elif self._greeting.failed is not None:
            self._greeted(played=True)
        if self._leg.resumed and not self.turn.waited:
            await self._leg.playing.look(self._leg.attempt, self._leg.parts.switch, _LINK_S)
        self.hold.open()

    def _facts(self) -> Facts:
        return Facts(self._recorder.facts, self._greeting.facts, self.hold.facts)

    def _greeted(self, *, played: bool) -> None:
        reason = self._greeting.over(played=played)
        self._line.say(lambda dialect: dialect.greeted(reason))

    @property
    def flows(self) -> bool:
        """Answered, and the callee is heard."""
        return self._leg.answered.is_set() and self._media.up

    async def stop(self, ending: Ending) -> None:
        self._asking.stop()
        if self._leg.over.done():
            self.hold.stop(None)
        else:
            self.hold.stop(TRANSFERRED if ending.reason == "transferred" else AGENT_FAILED)
        self._media.abort()
        if not self._leg.over.done() and ending.reason != "transferred":  # a break would hit who talks now
            self._downlink.clear()  # somebody else is to be heard
        await self._line.goodbye(ending)

    # --- the agent's side ----------------------------------------------------------------------------------------

    def _room(self, size: int) -> bool:
        if self._downlink.room(size):
            return True
        limit = self._leg.parts.settings.relay_max_buffer_s
        self._line.object("buffer_full", f"audio: {limit:g} s wait to be played; this message was dropped")
        return False

    def _do(self, message: protocol.Message) -> None:
        match message:
            case protocol.Transfer() | protocol.SendDtmf() | protocol.Hangup() | protocol.Hold() | protocol.Resume() if (
                not self.turn.ours.is_set()
            ):
                if isinstance(message, protocol.Hangup):
                    raise Failed("agent_refused", "the agent hung up before it was its turn")
                self._line.error("not_answered", "another agent still talks; wait for answered")
            case protocol.Media() if self.hold.deaf:
                pass
            case protocol.Mark(name) if self.hold.deaf:
                self._on_mark(name, False)
            case protocol.Notice() if self.hold.deaf and self._recorder.by_agent:
                self._on_mark(_NOTICE, False)
            case protocol.Media(pcm):
                if pcm:
                    self._downlink.feed(pcm)
            case protocol.Mark(name):
                if self._downlink.marks_waiting < _MARKS:
                    self._downlink.mark(name)
                else:
                    self._line.object("too_many", f"mark: {_MARKS} wait for their place; this one was dropped")
            case protocol.Clear() | protocol.SendDtmf() | protocol.Transfer() | protocol.Hold() | protocol.Resume() if (
                not self._deeds.allows(self._clock())
            ):
                what = "clear, dtmf, transfer, hold, resume"
                self._line.object("too_many", f"more than {_DEEDS_RATE:g} {what} a second; one was dropped")
            case protocol.Hold() | protocol.Resume() if not self._leg.answered.is_set():
                self._line.error("not_answered", "hold, resume: nobody has answered yet")
            case protocol.Hold() | protocol.Resume():
                self.hold.ask(message)
            case protocol.Transfer():
                self._asking.start(message)
            case protocol.Clear():
                self._line.ending = False
                self._downlink.clear()
                if self._leg.answered.is_set() and self._greeting.drop():  # before, it is of what the agent has sent alone
                    self._greeted(played=False)
            case protocol.Notice() if self._recorder.by_agent:
                self._downlink.mark(_NOTICE)
            case protocol.Notice():
                self._line.error("no_notice_wanted", "notice: this call does not wait for one to be recorded")
            case protocol.SendDtmf(digits):
                self._send_dtmf(digits)
            case protocol.Hangup(after_playback=True):
                self._line.ending = True
                self._downlink.at_end()
            case protocol.Hangup():
                self._hang_up()

    def _hang_up(self) -> None:
        self._leg.end(Ending("agent_hangup", "agent", kill=True))

    def on_transfer(self, name: str, status: str, reason: str | None = None) -> None:
        """The agent hears what becomes of a transfer that it, or the API, asked for."""
        self._line.say(lambda dialect: dialect.transfer(name, status, reason))

    def _on_recording(self, on: bool, reason: str | None) -> None:
        self._line.say(lambda dialect: dialect.recording(on=on, reason=reason))

    def _send_dtmf(self, digits: str) -> None:
        if not self._leg.answered.is_set():
            self._line.error("not_answered", "dtmf: nobody has answered yet")
            return
        try:
            self._leg.parts.switch.send_dtmf(self._leg.attempt, digits)
        except SwitchDown:
            self._line.error("switch_link_lost", "dtmf: no link to the switch; try again")

    def _on_mark(self, name: str | None, played: bool) -> None:
        if name == _NOTICE:
            self._recorder.on_notice(played=played)
        elif name == _GREETING:
            self._greeted(played=played)
        elif name is not None:
            self._line.say(lambda dialect: dialect.mark(name, played=played))
        elif played:
            self._hang_up()

    # --- the switch's side ---------------------------------------------------------------------------------------

    async def serve_fork(self, fork: MediaConnection) -> None:
        await self._media.serve(fork)

    def on_fork_failed(self) -> None:
        self._media.failed()

    def on_dtmf(self, digit: str, duration_ms: int | None) -> None:
        self._line.say(lambda dialect: dialect.dtmf(digit, duration_ms))

    def on_playback(self, playback: str, at: float) -> None:
        if self._downlink.leads(playback):
            self._downlink.started(playback, at)
        elif self._others(Path(playback)) and not self.hold.on_playback(Path(playback), at):
            self._downlink.hold(at, longest_s(Path(playback)))  # but for the notice, which is before the agent may be heard

    def _others(self, path: Path) -> bool:
        return self._announcements is not None and path.parent == self._announcements

    def on_others_played(self, at: float) -> bool:
        whole = not self._downlink.cut_off
        self._downlink.release(at)
        return whole

    def on_played(self, playback: str, response: str, at: float) -> None:
        self._downlink.release(at)  # whoever asked for it, before this relay perhaps: nothing plays now
        if self.hold.on_played(playback, response) or self._recorder.on_played(playback, response):
            return
        if response != PLAYED:
            if self._downlink.leads(playback):
                self._greeting.refused(response)
            log.warning("attempt %s: the switch says %s of a file", self._leg.attempt, response)
        self._downlink.finished(playback, at)
