"""The carrier's other half: it calls us. A small real UAC on UDP, for the simulated switch and a real FreeSWITCH alike.

Each call is one INVITE transaction and the dialog it opens. Its log has the kinds of lab/carrier/log.py, as this side sees
them: `placed` (our INVITE), `progress`, `final`, `answer` (received), `ack`, `cancel`, `bye_sent`, `bye` (received), `end`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lab.carrier.ear import Ear
from lab.carrier.log import ArrivalLog
from lab.carrier.media import CalleeMedia, MediaClock
from lab.sip import message as sip
from lab.sip.sdp import MediaLine, answer_sdp, parse_sdp
from lab.sip.udp import Address, UdpEndpoint

T1 = 0.5
T2 = 4.0
#: s; a request that nobody answered by then is given up (RFC 3261 timer B).
TIMER_B = 32.0


@dataclass(slots=True, eq=False)
class PlacedCall:
    """One call of ours. `statuses`: every response to the INVITE in order, without repetitions of the final one.

    `said`: those responses whole. `ended`: why the dialog, or the attempt at one, is over; empty while it is not.
    """

    caller: Caller
    number: str
    headers: list[tuple[str, str]]
    body: str
    call_id: str = field(default_factory=lambda: secrets.token_hex(16))
    from_tag: str = field(default_factory=sip.new_tag)
    branch: str = field(default_factory=sip.new_branch)
    said: list[sip.SipMessage] = field(default_factory=list)
    ended: str = ""
    media: CalleeMedia | None = None
    canceled: bool = False
    _to: str = ""
    _target: str = ""
    _cseq: int = 1
    _timers: list[asyncio.TimerHandle] = field(default_factory=list)
    _waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = field(default_factory=list)

    @property
    def statuses(self) -> list[int]:
        return [message.status for message in self.said]

    @property
    def final(self) -> int:
        """The final status, 0 while there is none."""
        return next((status for status in self.statuses if status >= 200), 0)

    @property
    def answered(self) -> bool:
        return 200 <= self.final < 300

    async def until(self, there: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
        """Wait for something of this call. Raises AssertionError saying what did not come."""
        if there():
            return
        done: asyncio.Future[None] = self.caller.loop.create_future()
        self._waiting.append((there, done))
        try:
            async with asyncio.timeout(timeout_s):
                await done
        except TimeoutError:
            raise AssertionError(f"{what} did not come; statuses {self.statuses}, ended {self.ended!r}") from None

    async def until_status(self, status: int, timeout_s: float = 10.0) -> None:
        await self.until(lambda: status in self.statuses, str(status), timeout_s)

    async def until_ended(self, timeout_s: float = 10.0) -> None:
        await self.until(lambda: bool(self.ended), "the end", timeout_s)

    def begin(self) -> None:
        self._log("placed")
        self._request("INVITE", self.branch, 1, self.body, repeat=lambda: not self.said)

    def cancel(self) -> None:
        """Hang up before the answer. Before the first response it is put off until that has come (RFC 3261 9.1)."""
        if self.final or self.canceled:
            return
        self.canceled = True
        if self.said:
            self._send_cancel()

    def hang_up(self) -> None:
        """Hang up a call that was answered: BYE."""
        if not self.answered or self.ended:
            return
        self._log("bye_sent")
        self._end("bye sent")
        self._cseq += 1
        self._request("BYE", sip.new_branch(), self._cseq)

    def on_response(self, message: sip.SipMessage, stamp: int) -> None:
        _, method = message.cseq
        if method == "BYE":
            self._stop()
            return
        if method != "INVITE":
            return
        if self.final:
            if message.status >= 200:
                self._ack(message)
            return
        self.said.append(message)
        if message.status < 200:
            if message.status > 100:
                self._log("progress", stamp, status=message.status, media=bool(message.body))
            if self.canceled and len(self.said) == 1:
                self._send_cancel()
        else:
            self._on_final(message, stamp)
        self._tell()

    def _on_final(self, message: sip.SipMessage, stamp: int) -> None:
        self._stop()
        self._to = message.get("to")
        self._target = sip.uri_of(message.get("contact")) or self.caller.uri(self.number)
        self._ack(message)
        if not self.answered:
            self._log("final", stamp, status=message.status, reason=message.reason)
            self._end(f"final {message.status}")
            return
        self._log("answer", stamp, status=message.status)
        if self.media is not None and (line := parse_sdp(message.body)) is not None:
            self.media.send_to((line.host, line.port))
        if self.canceled:  # it crossed: the dialog stands, and nobody wants it
            self.hang_up()

    def on_bye(self, message: sip.SipMessage, peer: Address, stamp: int) -> None:
        self.caller.endpoint.send(sip.respond(message, 200, "OK"), peer)
        self._log("bye", stamp)
        self._end("bye received")
        self._tell()

    def close(self) -> None:
        self._stop()
        if self.media is not None:
            self.media.close()

    # --- wire -----------------------------------------------------------------------------------------------------

    def _ack(self, message: sip.SipMessage) -> None:
        """For a 2xx a request of its own, for anything else part of the INVITE's transaction."""
        branch = sip.new_branch() if 200 <= message.status < 300 else self.branch
        self._log("ack")
        self.caller.endpoint.send(self._build("ACK", branch, 1, message.get("to")), self.caller.to)

    def _send_cancel(self) -> None:
        self._log("cancel")
        self._request("CANCEL", self.branch, 1, repeat=lambda: not self.final)

    def _request(
        self, method: str, branch: str, cseq: int, body: str = "", repeat: Callable[[], bool] = lambda: True
    ) -> None:
        data = self._build(method, branch, cseq, self._to, body)

        def send(interval: float, waited: float) -> None:
            if waited >= TIMER_B:
                self._end(f"{method}: no answer")
                self._tell()
            elif waited == 0 or repeat():
                self.caller.endpoint.send(data, self.caller.to)
                self._timers.append(self.caller.loop.call_later(interval, send, min(interval * 2, T2), waited + interval))

        send(T1, 0.0)

    def _build(self, method: str, branch: str, cseq: int, to: str, body: str = "") -> bytes:
        host, port = self.caller.address
        to = to or f"<{self.caller.uri(self.number)}>"
        target = self._target if method in ("BYE", "ACK") and self._target else self.caller.uri(self.number)
        headers = [
            ("Via", f"SIP/2.0/UDP {host}:{port};rport;branch={branch}"),
            ("Max-Forwards", "70"),
            *(pair if pair[0] != "From" else ("From", f"{pair[1]};tag={self.from_tag}") for pair in self.headers),
            ("To", to),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"<sip:carrier@{host}:{port}>"),
        ]
        return sip.build(f"{method} {target} SIP/2.0", headers, body)

    def _stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _end(self, why: str) -> None:
        if not self.ended:
            self.ended = why
            self._log("end", why=why)
            if self.media is not None:
                self.media.close()

    def _tell(self) -> None:
        for there, done in list(self._waiting):
            if there() and not done.done():
                done.set_result(None)
                self._waiting.remove((there, done))

    def _log(self, kind: str, stamp: int = 0, **facts: object) -> None:
        self.caller.log.write(kind, stamp or time.time_ns(), call_id=self.call_id, number=self.number, **facts)


class Caller:
    """`await start()`, `call(...)`, `await stop()`: everything from one UDP port to one switch.

    `record_dir`: what each caller hears over real RTP is written there as `<call-id>.s16` (PCM16, 8 kHz).
    """

    def __init__(
        self, to: Address, *, host: str = "127.0.0.1", port: int = 0, log: Path | None = None, record_dir: Path | None = None
    ) -> None:
        self.to = to
        self.log = ArrivalLog(log)
        self.calls: dict[str, PlacedCall] = {}
        self.endpoint = UdpEndpoint(host, port, self._received)
        self.address: Address = self.endpoint.address
        self.loop: asyncio.AbstractEventLoop
        self._record_dir = record_dir
        self._clock: MediaClock | None = None

    async def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.endpoint.start()

    async def stop(self) -> None:
        for call in self.calls.values():
            call.close()
        if self._clock is not None:
            self._clock.stop()
        self.endpoint.close()
        self.log.close()

    def uri(self, user: str) -> str:
        return f"sip:{user}@{self.to[0]}:{self.to[1]}"

    def call(
        self,
        number: str,
        from_: str = "+4930123456",
        *,
        display: str = "",
        words: str | None = None,
        headers: list[tuple[str, str]] | None = None,
        speech: str = "silent",
        dtmf: str = "",
    ) -> PlacedCall:
        """Call `number` now. `from_` and `display` are what the caller claims to be, sent as they are.

        `words`: no RTP, they tell the simulated switch what the caller does once it is answered (lab/sip/sdp.py). Without
        them the caller speaks and hears by RTP: `speech` and `dtmf` as of a callee.
        """
        host, port = self.address
        shown = f'"{display}" ' if display else ""
        given = [("From", f"{shown}<sip:{from_}@{host}:{port}>"), *(headers or [])]
        call = PlacedCall(self, number, given, "")
        if words is None:
            if self._clock is None:
                self._clock = MediaClock(self.loop)
            nowhere = MediaLine(host, 0, (0,), 101, None)
            ear = Ear(call._log) if self._record_dir is not None else None
            call.media = CalleeMedia(self._clock, host, nowhere, call.call_id, self._record_dir, ear)
            call.media.speak(speech, dtmf)
            call.body = answer_sdp(host, call.media.port)
        else:
            call.body = answer_sdp(host, 30_000, words)
        self.calls[call.call_id] = call
        call.begin()
        return call

    def _received(self, data: bytes, peer: Address, stamp: int) -> None:
        try:
            message = sip.parse(data)
        except (sip.SipError, ValueError):
            return
        call = self.calls.get(message.call_id)
        if message.status:
            if call is not None:
                call.on_response(message, stamp)
        elif message.method == "BYE" and call is not None:
            call.on_bye(message, peer, stamp)
        elif message.method == "OPTIONS":
            self.endpoint.send(sip.respond(message, 200, "OK", to_tag=sip.new_tag()), peer)
        elif message.method != "ACK":
            self.endpoint.send(sip.respond(message, 481, "Call Does Not Exist", to_tag=sip.new_tag()), peer)
