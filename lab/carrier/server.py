"""The simulated SIP carrier: a small real UAS on UDP, and on TCP or TLS where asked. It serves either switch."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lab.carrier import gate
from lab.carrier.call import CarrierCall
from lab.carrier.ear import Ear
from lab.carrier.limits import Admission
from lab.carrier.log import ArrivalLog
from lab.carrier.loss import LossyLine, facts_of
from lab.carrier.media import CalleeMedia, MediaClock
from lab.carrier.outcomes import Mix
from lab.carrier.wording import wording
from lab.sip import message as sip
from lab.sip.stream import StreamDoor
from lab.sip.udp import Address, UdpEndpoint

_REMEMBER = 64.0  # seconds a finished INVITE transaction still swallows its retransmissions


@dataclass(slots=True)
class CarrierConfig:
    """`channels` and `cps` of 0 are unlimited; `port` 0 picks a free one.

    `challenge`: every INVITE must carry digest credentials (user, password); it then costs two transactions.
    After `max_ring_s` unanswered the carrier says 480, after `max_call_s` answered it hangs up, so that a dialer that
    died holds no channel for ever. `record_dir`: what the callee hears over real RTP is written there as
    `<call-id>.s16` (PCM16, 8 kHz). `loss`: this share of the SIP datagrams of each way is lost at the socket, seeded by the
    mix's seed; each is in the log as `lost`.
    `stream` tcp or tls: it takes connections too, at the same port number; `certificate`: a file of key and chain, for tls.
    """

    name: str = "carrier"
    host: str = "127.0.0.1"
    port: int = 0
    channels: int = 0
    cps: int = 0
    mix: Mix = field(default_factory=Mix)
    log: Path | None = None
    challenge: bool = False
    user: str = "a"
    password: str | None = None
    record_dir: Path | None = None
    answer_options: bool = True
    max_ring_s: float = 180.0
    max_call_s: float = 3600.0
    loss: float = 0.0
    stream: Literal["", "tcp", "tls"] = ""
    certificate: Path | None = None


class Carrier:
    """`await start()`, use `address`, `await stop()`."""

    def __init__(self, config: CarrierConfig) -> None:
        self.config = config
        self.admission = Admission(config.cps, config.channels)
        self.log = ArrivalLog(config.log)
        self.endpoint = UdpEndpoint(config.host, config.port, self._arrived)
        self._line = LossyLine(config.loss, config.mix.seed, self._note_loss)
        self._line.attach(self.endpoint)
        self.address: Address = self.endpoint.address
        transport = f";transport={config.stream}" if config.stream else ""
        self.contact = f"<sip:carrier@{self.address[0]}:{self.address[1]}{transport}>"
        self.via_transport = config.stream.upper() or "UDP"
        self._door = self._open_door(config)
        self.loop: asyncio.AbstractEventLoop
        self.calls: dict[str, CarrierCall] = {}
        self.media: dict[str, CalleeMedia] = {}
        self.invites = 0
        self.answer_options = config.answer_options
        self.deaf = False
        self._transactions: dict[
            str, CarrierCall | bytes
        ] = {}  # by branch: the call, or the answer to an INVITE that is none
        self._finished: list[tuple[float, str]] = []
        self._byes: set[str] = set()
        self._challenges = gate.Challenges(config.name, config.user, config.password)
        self._ports = itertools.cycle(range(30000, 60000, 2))
        self._clock: MediaClock | None = None

    async def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.endpoint.start()
        if self._door is not None:
            await self._door.start()
        self.log.write(
            "start",
            time.time_ns(),
            carrier=self.config.name,
            channels=self.config.channels,
            cps=self.config.cps,
            seed=self.config.mix.seed,
            loss=self.config.loss,
            stamps="kernel" if self.endpoint.kernel_stamps else "process",
        )

    async def stop(self) -> None:
        for call in list(self.calls.values()):
            call.close()
            if call.media is not None:
                call.media.close()
        if self._clock is not None:
            self._clock.stop()
        if self._door is not None:
            self._door.close()
        self.endpoint.close()
        self.log.close()

    def _open_door(self, config: CarrierConfig) -> StreamDoor | None:
        if not config.stream:
            return None
        context = None
        if config.stream == "tls":
            if config.certificate is None:
                raise ValueError("certificate: tls needs a file with key and chain")
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(config.certificate)
        return StreamDoor(*self.address, self._received, context)

    def pretend_port(self) -> int:
        """A port number for an SDP answer behind which nothing listens."""
        return next(self._ports)

    def open_media(self, call: CarrierCall) -> CalleeMedia | None:
        """Real RTP for a peer that is not the simulated switch."""
        if call.offer is None:
            return None
        if self._clock is None:
            self._clock = MediaClock(self.loop)
        ear = Ear(call.log) if self.config.record_dir is not None else None
        media = CalleeMedia(self._clock, self.config.host, call.offer, call.invite.call_id, self.config.record_dir, ear)
        self.media[call.invite.call_id] = media
        return media

    def forget(self, call: CarrierCall) -> None:
        """The dialog is over; its transaction goes on swallowing retransmissions for a while."""
        call.close()
        if self.calls.get(call.invite.call_id) is call:
            del self.calls[call.invite.call_id]
        self._byes.discard(call.invite.call_id)

    def bye_answered(self, call_id: str) -> bool:
        return call_id in self._byes

    def send(self, data: bytes, peer: Address) -> None:
        """On the peer's connection where it has one; else over the line, which may lose it."""
        if self._door is None or not self._door.send(data, peer):
            self._line.send(data, peer)

    def _note_loss(self, way: str, data: bytes, stamp: int) -> None:
        self.log.write("lost", stamp or time.time_ns(), way=way, **facts_of(data))

    def _arrived(self, data: bytes, peer: Address, stamp: int) -> None:
        if not self.deaf and self._line.arrives(data, stamp):
            self._received(data, peer, stamp)

    def _received(self, data: bytes, peer: Address, stamp: int) -> None:
        try:
            message = sip.parse(data)
        except (sip.SipError, ValueError):
            return
        if message.status:
            if message.cseq[1] == "BYE":
                self._byes.add(message.call_id)
            elif message.cseq[1] == "INVITE" and (call := self.calls.get(message.call_id)) is not None:
                call.on_reinvite_response(message, stamp)
            return
        handler = {
            "INVITE": self._invite,
            "ACK": self._ack,
            "CANCEL": self._cancel,
            "BYE": self._bye,
            "OPTIONS": self._options,
        }.get(message.method)
        if handler is not None:
            handler(message, peer, stamp)
        else:
            self.send(sip.respond(message, 405, "Method Not Allowed", to_tag=sip.new_tag()), peer)

    def _invite(self, message: sip.SipMessage, peer: Address, stamp: int) -> None:
        branch = message.branch
        number = sip.user_of(message.uri) or sip.user_of(message.get("to"))
        if branch in self._transactions:
            self.log.write("retransmit", stamp, call_id=message.call_id, number=number, branch=branch)
            known = self._transactions[branch]
            if isinstance(known, bytes):
                self.send(known, peer)
            else:
                known.on_retransmit()
            return
        if sip.tag_of(message.get("to")):
            self._reinvite(message, peer, branch)
            return
        self._expire(self.loop.time())
        self.invites += 1
        wanted = self.config.mix.choose(number)
        asks = self.config.challenge or wanted.challenge
        auth = bool(message.get("proxy-authorization") or message.get("authorization"))
        first = ""
        if asks and not self._challenges.passed(message):
            first, auth = "challenge", False
        elif 0 < gate.session_timer(message) < wanted.min_se:
            first = "timer"
        if first:
            verdict = self.admission.admit(stamp, opens_channel=False)
            self._log_invite(message, peer, number, stamp, verdict or "challenged", first, auth=auth)
            asked = self._challenges.ask(message) if first == "challenge" else gate.too_small(message, wanted.min_se)
            self._answer_once(branch, gate.over(message, verdict) if verdict else asked, peer)
            return
        verdict = self.admission.admit(stamp)
        outcome = gate.REFUSALS.get(verdict, wanted)
        self._log_invite(message, peer, number, stamp, verdict or "admitted", outcome.name, auth=auth)
        call = CarrierCall(self, message, peer, number, outcome, admitted=not verdict)
        self._transactions[branch] = call
        self._finished.append((self.loop.time() + _REMEMBER, branch))
        self.calls[message.call_id] = call
        call.begin()

    def _log_invite(
        self, message: sip.SipMessage, peer: Address, number: str, stamp: int, verdict: str, outcome: str, *, auth: bool
    ) -> None:
        self.log.write(
            "invite",
            stamp,
            call_id=message.call_id,
            number=number,
            branch=message.branch,
            peer=f"{peer[0]}:{peer[1]}",
            cseq=message.cseq[0],
            auth=auth,
            verdict=verdict,
            outcome=outcome,
            **wording(message),
        )

    def _reinvite(self, message: sip.SipMessage, peer: Address, branch: str) -> None:
        """A re-INVITE (session timer, hold) keeps the dialog as it is and is no new call."""
        call = self.calls.get(message.call_id)
        if call is None or not call.answered:
            self.send(sip.respond(message, 481, "Call Does Not Exist", to_tag=sip.new_tag()), peer)
            return
        self._answer_once(branch, sip.respond(message, 200, "OK", contact=self.contact, body=call._media_answer()), peer)

    def _answer_once(self, branch: str, data: bytes, peer: Address) -> None:
        """A final answer without a call behind it, sent again for each repetition of its request."""
        self._transactions[branch] = data
        self._finished.append((self.loop.time() + _REMEMBER, branch))
        self.send(data, peer)

    def _expire(self, now: float) -> None:
        keep = 0
        for due, branch in self._finished:
            if due > now:
                break
            self._transactions.pop(branch, None)
            keep += 1
        if keep:
            del self._finished[:keep]

    def _ack(self, message: sip.SipMessage, _peer: Address, stamp: int) -> None:
        call = self._transactions.get(message.branch) or self.calls.get(message.call_id)
        if isinstance(call, CarrierCall):
            call.on_ack(stamp)

    def _cancel(self, message: sip.SipMessage, peer: Address, stamp: int) -> None:
        call = self._transactions.get(message.branch)
        if isinstance(call, CarrierCall):
            call.on_cancel(message, stamp)
        else:
            self.log.write("stray", stamp, what="CANCEL", call_id=message.call_id)
            self.send(sip.respond(message, 481, "Call Does Not Exist", to_tag=sip.new_tag()), peer)

    def _bye(self, message: sip.SipMessage, peer: Address, stamp: int) -> None:
        call = self.calls.get(message.call_id)
        if call is None:
            self.log.write("stray", stamp, what="BYE", call_id=message.call_id)
            self.send(sip.respond(message, 481, "Call Does Not Exist"), peer)
        else:
            call.on_bye(message, stamp)

    def _options(self, message: sip.SipMessage, peer: Address, _stamp: int) -> None:
        if self.answer_options:
            self.send(sip.respond(message, 200, "OK", to_tag=sip.new_tag(), contact=self.contact), peer)
