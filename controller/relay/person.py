"""A person, or a switchboard, in an agent's place: whoever answers hears it ring there, and is put through."""

from __future__ import annotations

import asyncio
import math
import struct
from functools import cache
from uuid import uuid4

from controller.relay.audio import SAMPLE_RATE
from controller.relay.book import BookClosed
from controller.relay.earpiece import MediaConnection
from controller.relay.leg import Ending, Failed, Leg
from controller.relay.pickup import pick_up
from controller.relay.recorder import Recorder
from controller.relay.switch import SwitchDown
from store.relay import RelayCall

#: The agent's own transfer: asked for once for each attempt, whatever relay asks.
_NAME = "agent:itself"
#: s; the row of a call that was just answered says so a moment later, and Postgres may be away for a moment.
_ROW_S, _ROW_AGAIN_S = 5.0, 0.1
#: s; between two questions whether a transfer of before has come to an end.
_PENDING_AGAIN_S = 1.0
#: s of silence between two of the ringing file, which ends in silence. Whoever puts the callee through breaks it a moment
#: before, which the switch tells as it tells its end: what is queued then would play in the middle of their talk, and hold
#: that up.
_PAUSE_S = 1.0


class Person:
    """See :class:`controller.relay.leg.Talk`. The second leg is a transfer like any other (store/transfers.py)."""

    def __init__(self, leg: Leg, call: RelayCall, recorder: Recorder, *, name: str = _NAME) -> None:
        self._leg = leg
        self._name = name
        self._call = call
        self._recorder = recorder
        self._playback = ""
        self._silent = asyncio.Event()
        self._paused = False

    async def run(self) -> None:
        leg = self._leg
        if not self._call.agent_number:
            raise Failed("agent_unknown", "the agent has no number")
        await pick_up(leg, self._call)
        await leg.playable()
        await self._recorder.answered()
        self._ring()
        leg.transferring = True
        leg.parts.sounding[leg.attempt] = self
        try:
            while (refused := await self._ask(self._call.agent_number)) == "pending":
                await asyncio.sleep(_PENDING_AGAIN_S)  # somebody else is rung, whom the agent asked for before it failed
            if refused is not None:
                raise Failed("agent_refused", f"it cannot be rung: {refused}")
            await self._ring_on()
        finally:
            del leg.parts.sounding[leg.attempt]

    def pause(self) -> None:
        """It does not begin to ring again, whenever the switch says that they talk."""
        self._paused = True

    def go_on(self) -> None:
        """It rings on."""
        self._paused = False

    async def _ask(self, number: str) -> str | None:
        """None: it is rung, or is going to be; else why not. Raises :class:`Failed` where it was rung in vain before."""
        refused = "unavailable"
        try:
            async with asyncio.timeout(_ROW_S):
                while True:
                    try:
                        asked = await self._leg.parts.book.transfer(self._call, number, self._name, "platform")
                    except BookClosed as error:
                        refused = f"unavailable: {error}"
                    else:
                        if asked.failed is not None:
                            raise Failed("agent_unreachable", f"the second leg: {asked.failed}")
                        if asked.kind == "requested":
                            return None
                        refused = next((one.code for one in asked.findings), asked.kind)
                        if asked.kind != "not_in_progress":
                            return refused
                    await asyncio.sleep(_ROW_AGAIN_S)
        except TimeoutError:
            return refused

    def _ring(self) -> None:
        """What is heard until somebody is there; the switch cuts it off then."""
        leg = self._leg
        path = leg.parts.files.write(leg.attempt, 0, ringing())
        self._playback = str(uuid4())
        leg.parts.switch.play(leg.attempt, path, self._playback)

    async def _ring_on(self) -> None:
        """Until cancelled, when the call is over or somebody is there."""
        while True:
            await self._silent.wait()
            self._silent.clear()
            await asyncio.sleep(_PAUSE_S)
            if self._paused:
                self._silent.set()
                continue
            try:
                self._ring()
            except SwitchDown:
                self._silent.set()

    def on_transfer(self, name: str, status: str, reason: str | None = None) -> None:  # noqa: ARG002
        """Nobody was put through: there is nobody to talk."""
        if name != self._name.removeprefix("agent:"):
            return  # another's: it is not pending any more
        self._leg.fail("agent_unreachable", f"the second leg: {reason}")

    @property
    def flows(self) -> bool:
        """The next relay asks for nothing twice, but lets it ring."""
        return False

    async def stop(self, ending: Ending) -> None:
        """Nobody is to be told."""

    async def serve_fork(self, fork: MediaConnection) -> None:
        """Nobody listens."""
        await fork.close(1008, "a call that is put through has no media socket")

    def on_fork_failed(self) -> None:
        """There is none."""

    def on_dtmf(self, digit: str, duration_ms: int | None) -> None:
        """Nobody is there yet."""

    def on_playback(self, playback: str, at: float) -> None:
        """It rings."""

    def on_others_played(self, at: float) -> bool:  # noqa: ARG002
        """It was heard."""
        return True

    def on_played(self, playback: str, response: str, at: float) -> None:  # noqa: ARG002
        """It rings on."""
        if not self._recorder.on_played(playback, response) and playback == self._playback and response == "FILE PLAYED":
            self._silent.set()


@cache
def ringing() -> bytes:
    """A ringing tone, 425 Hz for 1 s in 5 s, 10 s of it: L16, 8 kHz."""
    tone = [int(4000 * math.sin(2 * math.pi * 425 * n / SAMPLE_RATE)) for n in range(SAMPLE_RATE)]
    return (struct.pack(f"<{len(tone)}h", *tone) + bytes(2 * 4 * SAMPLE_RATE)) * 2
