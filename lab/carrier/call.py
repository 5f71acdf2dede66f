"""One call as the carrier sees it: the server side of an INVITE and its dialog."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.carrier.outcomes import Outcome, Step
from lab.sip import message as sip
from lab.sip.sdp import MediaLine, answer_sdp, parse_sdp
from lab.sip.udp import Address

if TYPE_CHECKING:
    from lab.carrier.media import CalleeMedia
    from lab.carrier.server import Carrier

T1 = 0.5
T2 = 4.0
TIMER_B = 32.0
PATIENCE = 6.0  # s; for an answer to a request of ours


@dataclass(slots=True, eq=False)
class CarrierCall:
    """State of one INVITE transaction and the dialog it opens. `admitted` holds a channel of the carrier."""

    carrier: Carrier
    invite: sip.SipMessage
    peer: Address
    number: str
    outcome: Outcome
    admitted: bool
    to_tag: str = field(default_factory=sip.new_tag)
    offer: MediaLine | None = None
    last_response: bytes = b""
    final_status: int = 0
    answered: bool = False
    acked: bool = False
    ended: bool = False
    media: CalleeMedia | None = None
    canceled: bool = False
    _timers: list[asyncio.TimerHandle] = field(default_factory=list)
    _cseq: int = 1
    _deaf_to: dict[str, int] = field(default_factory=dict)
    _refreshing: str = ""  # branch of a re-INVITE of ours that is not answered yet

    def begin(self) -> None:
        """Set every response of the outcome in motion."""
        self.offer = parse_sdp(self.invite.body)
        self._later(self.carrier.config.max_ring_s, self._give_up)
        for step in self.outcome.steps:
            if step.at <= 0:
                self._take(step)
            else:
                self._later(step.at, functools.partial(self._take, step))

    def _later(self, delay: float, action: Callable[[], None]) -> None:
        self._timers.append(self.carrier.loop.call_later(delay, action))

    def _take(self, step: Step) -> None:
        if self.ended or self.final_status:
            return
        body = self._media_answer() if step.media else ""
        extra: list[tuple[str, str]] = []
        contact = self.carrier.contact
        if step.status == 302:
            host, port = self.carrier.address
            contact = ", ".join(f"<sip:{user}@{host}:{port}>" for user in self.outcome.redirect_to)
        if step.status != 100:
            extra.append(("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS"))
        extra += step.headers
        data = sip.respond(
            self.invite,
            step.status,
            step.reason,
            to_tag="" if step.status == 100 else self.to_tag,
            contact=contact if step.status != 100 else "",
            body=body,
            extra=extra,
        )
        if step.status >= 200:
            self.finish(step.status, step.reason, data)
            return
        self._send(data)
        if step.media and self.media is not None:
            self.media.speak(self.outcome.announces)
        if step.status > 100:
            self.log("progress", status=step.status)

    def _give_up(self) -> None:
        """Nobody answered and nobody canceled."""
        if not self.final_status and not self.ended:
            self._take(Step(0.0, 480, "Temporarily Unavailable"))

    def _media_answer(self) -> str:
        host = self.carrier.address[0]
        if self.offer is not None and self.offer.lab is not None:
            return answer_sdp(host, self.carrier.pretend_port(), self.outcome.lab_words())
        if self.media is None and self.offer is not None:
            self.media = self.carrier.open_media(self)
        return answer_sdp(host, self.media.port if self.media else self.carrier.pretend_port())

    def finish(self, status: int, reason: str, data: bytes) -> None:
        """Send the final response and repeat it until the ACK (RFC 3261 17.2.1, 13.3.1.4)."""
        self.final_status = status
        if 200 <= status < 300:
            self.answered = True
            longest = self.carrier.config.max_call_s
            self._later(longest if self.outcome.hangup_after is None else self.outcome.hangup_after, self.hang_up)
            if self.media is not None:
                self.media.speak(self.outcome.speech, self.outcome.dtmf)
            self.log("answer", status=status)  # as late as may be: the 200 leaves now
        else:
            self.log("final", status=status, reason=reason)
            self.end(f"final {status}")
        self._send(data)
        self._repeat(data, T1, 0.0)

    def _repeat(self, data: bytes, interval: float, waited: float) -> None:
        def again() -> None:
            if self.acked:
                return
            if waited + interval >= TIMER_B:
                self.end("no ACK")
                self.carrier.forget(self)
                return
            self.carrier.send(data, self.peer)
            self._repeat(data, min(interval * 2, T2), waited + interval)

        self._timers.append(self.carrier.loop.call_later(interval, again))

    def on_retransmit(self) -> None:
        if self.last_response:
            self.carrier.send(self.last_response, self.peer)

    def _unheard(self, method: str, stamp: int) -> bool:
        """Whether this one of its requests is among those that never arrive."""
        left = self._deaf_to.get(method, self.outcome.deaf_to.get(method, 0))
        if left:
            self._deaf_to[method] = left - 1
            self.log("unheard", stamp, what=method)
        return left > 0

    def on_ack(self, stamp: int) -> None:
        if self.answered and self._unheard("ACK", stamp):
            return
        if not self.acked:
            self.acked = True
            self.log("ack", stamp)
            if self.answered and self.outcome.hangs_up_on_ack:
                self.hang_up()
            elif self.answered and self.outcome.reinvites_after is not None:
                self._later(self.outcome.reinvites_after, self._reinvite)
        if self.ended and not self.answered:  # else a BYE of ours is still to be answered
            self.carrier.forget(self)

    def on_cancel(self, request: sip.SipMessage, stamp: int) -> None:
        self.carrier.send(sip.respond(request, 200, "OK", to_tag=self.to_tag), self.peer)
        if not self.canceled:
            self.log("cancel", stamp)
        self.canceled = True
        if self.final_status:
            return
        if self.outcome.on_cancel == "200":
            data = sip.respond(
                self.invite, 200, "OK", to_tag=self.to_tag, contact=self.carrier.contact, body=self._media_answer()
            )
            self.finish(200, "OK", data)
        else:
            self.finish(487, "Request Terminated", sip.respond(self.invite, 487, "Request Terminated", to_tag=self.to_tag))

    def on_bye(self, request: sip.SipMessage, stamp: int) -> None:
        if self._unheard("BYE", stamp):
            return
        self.carrier.send(sip.respond(request, 200, "OK"), self.peer)
        self.log("bye", stamp, cseq=request.cseq[0])
        self.acked = True
        self.end("bye received", stamp)
        self.carrier.forget(self)

    def hang_up(self) -> None:
        """The callee puts the phone down: BYE inside the dialog."""
        if self.ended or not self.answered:
            return
        data, _ = self._request("BYE")
        self.log("bye_sent", lost=self.outcome.mute_bye)
        self.end("bye sent")
        if not self.outcome.mute_bye:
            self._send_request(data, T1, 0.0)

    def _request(self, method: str, body: str = "") -> tuple[bytes, str]:
        """(a request of ours inside the dialog, its branch)."""
        target = sip.uri_of(self.invite.get("contact")) or self.invite.uri
        if method != "ACK":
            self._cseq += 1
        host, port = self.carrier.address
        branch = sip.new_branch()
        headers = [
            ("Via", f"SIP/2.0/{self.carrier.via_transport} {host}:{port};rport;branch={branch}"),
            ("Max-Forwards", "70"),
            ("From", f"{self.invite.get('to')};tag={self.to_tag}"),
            ("To", self.invite.get("from")),
            ("Call-ID", self.invite.call_id),
            ("CSeq", f"{self._cseq} {method}"),
            ("Contact", self.carrier.contact),
        ]
        return sip.build(f"{method} {target} SIP/2.0", headers, body), branch

    def _send_request(self, data: bytes, interval: float, waited: float) -> None:
        self.carrier.send(data, self.peer)
        key = self.invite.call_id

        def again() -> None:
            if not self.carrier.bye_answered(key) and waited + interval < PATIENCE:
                self._send_request(data, min(interval * 2, T2), waited + interval)
            else:
                self.carrier.forget(self)

        self._timers.append(self.carrier.loop.call_later(interval, again))

    def _reinvite(self) -> None:
        """Refresh the session: the same media once more."""
        if self.ended:
            return
        data, self._refreshing = self._request("INVITE", self._media_answer())
        self.log("reinvite")
        self._ask(data, self._refreshing, T1, 0.0)

    def _ask(self, data: bytes, branch: str, interval: float, waited: float) -> None:
        self.carrier.send(data, self.peer)

        def again() -> None:
            if self._refreshing == branch and waited + interval < PATIENCE:
                self._ask(data, branch, interval * 2, waited + interval)

        self._later(interval, again)

    def on_reinvite_response(self, message: sip.SipMessage, stamp: int) -> None:
        """The switch's word on our re-INVITE."""
        if message.status < 200:
            return
        if message.branch == self._refreshing:
            self._refreshing = ""
            self.log("reinvite_answer", stamp, status=message.status)
        ack, _ = self._request("ACK")
        self.carrier.send(ack, self.peer)

    def end(self, why: str, stamp: int = 0) -> None:
        """The carrier counts the channel as free from here on."""
        if self.ended:
            return
        self.ended = True
        self.log("end", stamp, why=why)
        if self.admitted:
            self.carrier.admission.release()
        if self.media is not None:
            self.media.close()

    def close(self) -> None:
        """Forget every timer (at the end of the transaction or of the process)."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _send(self, data: bytes) -> None:
        self.last_response = data
        self.carrier.send(data, self.peer)

    def log(self, kind: str, stamp: int = 0, **facts: object) -> None:
        self.carrier.log.write(kind, stamp or time.time_ns(), call_id=self.invite.call_id, number=self.number, **facts)
