"""One call of the reference agent, as docs/agent-protocol.md has it."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from agents.reference.hearing import Hearing, Speaking
from agents.reference.report import Report
from agents.reference.runtime import Runtime, runtime_of
from agents.reference.sound import SAMPLE_RATE, SAMPLE_RATES, bytes_in, chime, speak, speak_ahead, tone
from logs import mask

log = logging.getLogger(__name__)

_PIECE_MS = 400  # in one message
_HELLO = "Hello. This is Trunkline. I repeat what you say."
_MOST_S = 3600.0


class Talk:
    """Greets; echoes; 1 repeats the greeting; 9 says goodbye and hangs up. Where it knows an address of the runtime plane it
    asks for its configuration there, and hands in what came of the call.

    Variables of the call and, behind them, of its agent: ``tone_hz`` and ``tone_ms`` (greet with this tone), ``greeting``
    (the words, with espeak-ng), ``hangup_after_s`` (from the answer), ``echo`` (false: only listen), ``as_json`` (true:
    audio as media texts).
    """

    def __init__(self, socket: ServerConnection, runtime_base: str | None = None) -> None:
        self._socket = socket
        self._runtime_base = runtime_base
        self._runtime: Runtime | None = None
        self._report = Report()
        self._reason = "agent_closed"  # why it ended, until the relay says
        self._other = "callee"
        self._words = ""
        self._clock = asyncio.get_running_loop().time
        self._rate = SAMPLE_RATE
        self._hearing = Hearing()
        self._greeting = b""
        self._echo = True
        self._as_json = False
        self._hangup_after_s: float | None = None
        self._marks = 0
        self._playing: set[str] = set()  # marks not reached: the callee still hears us
        self._timer: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Until the socket closes."""
        try:
            async for message in self._socket:
                if isinstance(message, bytes):
                    await self._hear(message)
                else:
                    await self._read(json.loads(message))
        except ConnectionClosed:
            log.info("the relay's socket closed")
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def report(self) -> None:
        """Hand in what came of it, if somebody answered."""
        if self._runtime is not None and self._report.talked:
            await self._runtime.hand_in(self._report.result(self._reason))

    async def _read(self, message: dict[str, Any]) -> None:
        match message.get("event"):
            case "start":
                await self._start(message)
            case "answered":
                self._report.answered(self._clock())
                if self._hangup_after_s is not None:
                    self._timer = asyncio.create_task(self._hang_up_later(self._hangup_after_s))
            case "dtmf":
                await self._key(message["digit"])
            case "mark":
                self._playing.discard(message["name"])
            case "error":
                log.warning("the relay objects: %s", message.get("detail"))
            case "stop":
                log.info("the call is over: %s", message.get("reason"))
                self._reason = str(message.get("reason"))

    async def _start(self, start: dict[str, Any]) -> None:
        self._rate = start.get("audio", {}).get("sample_rate", SAMPLE_RATE)
        if self._rate not in SAMPLE_RATES:
            log.error("this agent speaks 8,000 or 16,000 samples a second, not %r", self._rate)
            await self._socket.close(1011, "8,000 or 16,000 samples a second alone")
            return
        self._hearing = Hearing(rate=self._rate)
        call = start["call"]
        log.info("call %s to %s", call.get("id"), mask(str(call.get("to"))))
        variables = await self._variables(start)
        self._other = "caller" if call.get("direction") == "inbound" else "callee"
        self._echo = variables.get("echo", True) is not False
        self._as_json = variables.get("as_json") is True
        self._hangup_after_s = _number(variables.get("hangup_after_s"), _MOST_S)
        hz = _number(variables.get("tone_hz"), 4000.0)
        if hz:
            self._greeting = tone(hz, int(_number(variables.get("tone_ms"), 60_000.0) or 1000), rate=self._rate)
            self._words = f"(tone of {hz:g} Hz)"
        else:
            words = variables.get("greeting")
            self._words = words if isinstance(words, str) and words else _HELLO
            self._greeting = await speak(self._words[:500], self._rate) or chime(self._rate)
        # The greeting goes out before the answer: the relay holds it, so the callee hears it at once.
        await self._send({"event": "ready"})
        await self._greet()

    async def _variables(self, start: dict[str, Any]) -> dict[str, Any]:
        """The call's, and behind them what the configuration has."""
        own: dict[str, Any] = start["call"].get("variables", {})
        self._runtime = runtime_of(self._runtime_base, start)
        if self._runtime is None:
            return own
        began = self._clock()
        config = await self._runtime.config()
        self._report.took("runtime_config", self._clock() - began)
        told = config.get("variables")
        return {**(told if isinstance(told, dict) else {}), **own}

    async def _greet(self) -> None:
        self._report.said(self._words, self._clock())
        await self._say(self._greeting)

    async def _hear(self, pcm: bytes) -> None:
        for heard in self._hearing.hear(pcm):
            if isinstance(heard, Speaking):
                if self._playing:
                    await self._send({"event": "clear"})
                continue
            self._report.heard(self._other, len(heard.pcm) // bytes_in(1, self._rate), self._clock())
            if self._echo:
                await self._say(heard.pcm)

    async def _key(self, digit: str) -> None:
        if digit == "1":
            await self._greet()
        elif digit == "9":
            self._report.outcome = "goodbye"
            await self._say(tone(330.0, 200, rate=self._rate))
            await self._send({"event": "hangup", "after_playback": True})

    async def _hang_up_later(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self._report.outcome = "time_over"
        try:
            await self._send({"event": "hangup"})
        except ConnectionClosed:
            log.info("the call was over before its time")

    async def _say(self, pcm: bytes) -> None:
        """Send audio as fast as the relay takes it, and a mark behind it."""
        self._marks += 1
        name = f"say-{self._marks}"
        self._playing.add(name)
        size = bytes_in(_PIECE_MS, self._rate)
        for at in range(0, len(pcm), size):
            piece = pcm[at : at + size]
            if self._as_json:
                await self._send({"event": "media", "payload": base64.b64encode(piece).decode()})
            else:
                await self._socket.send(piece)
        await self._send({"event": "mark", "name": name})

    async def _send(self, message: dict[str, Any]) -> None:
        await self._socket.send(json.dumps(message))


def prepare() -> None:
    """Once, before workers are divided (agents/fleet/nursery.py): each of them has one call, and would speak it for that."""
    speak_ahead(_HELLO)


async def answer(socket: ServerConnection) -> None:
    """One call, to the end of its report: for ``python -m agents``."""
    talk = Talk(socket, os.environ.get("TRUNKLINE_RUNTIME_URL_BASE") or None)
    await talk.serve()
    await talk.report()


def _number(value: object, most: float) -> float | None:
    """``value`` as a number in 0..``most``; None for anything else: variables are the customer's."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        return None
    return float(value)
