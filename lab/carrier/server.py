"""The simulated SIP carrier: a small real UAS on UDP. Serves the simulated switch and a real FreeSWITCH gateway."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

from lab.carrier.call import CarrierCall
from lab.carrier.ear import Ear
from lab.carrier.limits import Admission
from lab.carrier.log import ArrivalLog
from lab.carrier.media import CalleeMedia, MediaClock
from lab.carrier.outcomes import BY_NAME, Mix
from lab.carrier.wording import wording
from lab.sip import digest
from lab.sip import message as sip
from lab.sip.udp import Address, UdpEndpoint

REFUSALS = {"cps": BY_NAME["cps_limit"], "channels": BY_NAME["channel_limit"]}
_REMEMBER = 64.0  # seconds a finished INVITE transaction still swallows its retransmissions


@dataclass(slots=True)
class CarrierConfig:
    """`channels` and `cps` of 0 are unlimited; `port` 0 picks a free one.

    `challenge`: every INVITE must carry digest credentials (user, password); it then costs two transactions.
    After `max_ring_s` unanswered the carrier says 480, after `max_call_s` answered it hangs up, so that a dialer that
    died holds no channel for ever. `record_dir`: what the callee hears over real RTP is written there as
    `<call-id>.s16` (PCM16, 8 kHz).
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


class Carrier:
    """`await start()`, use `address`, `await stop()`."""

    def __init__(self, config: CarrierConfig) -> None:
        self.config = config
        self.admission = Admission(config.cps, config.channels)
        self.log = ArrivalLog(config.log)
        self.endpoint = UdpEndpoint(config.host, config.port, self._received)
        self.address: Address = self.endpoint.address
        self.contact = f"<sip:carrier@{self.address[0]}:{self.address[1]}>"
        self.loop: asyncio.AbstractEventLoop
        self.calls: dict[str, CarrierCall] = {}
        self.media: dict[str, CalleeMedia] = {}
        self.invites = 0
        self.answer_options = config.answer_options
        self.deaf = False
        self._transactions: dict[str, CarrierCall | None] = {}
        self._finished: list[tuple[float, str]] = []
        self._byes: set[str] = set()
        self._nonces: set[str] = set()
        self._ports = itertools.cycle(range(30000, 60000, 2))
        self._clock: MediaClock | None = None

    async def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.endpoint.start()
        self.log.write(
            "start",
            time.time_ns(),
            carrier=self.config.name,
            channels=self.config.channels,
            cps=self.config.cps,
            seed=self.config.mix.seed,
            stamps="kernel" if self.endpoint.kernel_stamps else "process",
        )

    async def stop(self) -> None:
        for call in list(self.calls.values()):
            call.close()
            if call.media is not None:
                call.media.close()
        if self._clock is not None:
            self._clock.stop()
        self.endpoint.close()
        self.log.close()

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

    def _received(self, data: bytes, peer: Address, stamp: int) -> None:
        if self.deaf:
            return
        try:
            message = sip.parse(data)
        except (sip.SipError, ValueError):
            return
        if message.status:
            if message.cseq[1] == "BYE":
                self._byes.add(message.call_id)
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
            self.endpoint.send(sip.respond(message, 405, "Method Not Allowed", to_tag=sip.new_tag()), peer)

    def _invite(self, message: sip.SipMessage, peer: Address, stamp: int) -> None:
        branch = message.branch
        number = sip.user_of(message.uri) or sip.user_of(message.get("to"))
        if branch in self._transactions:
            self.log.write("retransmit", stamp, call_id=message.call_id, number=number, branch=branch)
            known = self._transactions[branch]
            if known is not None:
                known.on_retransmit()
            return
        if sip.tag_of(message.get("to")):
            self._reinvite(message, peer, branch)
            return
        self._expire(self.loop.time())
        self.invites += 1
        authorization = message.get("proxy-authorization") or message.get("authorization")
        wanted = self.config.mix.choose(number)
        if (self.config.challenge or wanted.challenge) and not self._authorized(message, authorization):
            verdict = self.admission.admit(stamp, opens_channel=False)
            self._log_invite(message, peer, number, stamp, verdict or "challenged", "challenge", auth=False)
            self._challenge(message, peer, branch, verdict)
            return
        verdict = self.admission.admit(stamp)
        outcome = REFUSALS.get(verdict, wanted)
        self._log_invite(message, peer, number, stamp, verdict or "admitted", outcome.name, auth=bool(authorization))
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
            self.endpoint.send(sip.respond(message, 481, "Call Does Not Exist", to_tag=sip.new_tag()), peer)
            return
        self._transactions[branch] = None
        self._finished.append((self.loop.time() + _REMEMBER, branch))
        self.endpoint.send(sip.respond(message, 200, "OK", contact=self.contact, body=call._media_answer()), peer)

    def _authorized(self, message: sip.SipMessage, authorization: str) -> bool:
        if not authorization:
            return False
        params = digest.parse_params(authorization)
        if params.get("nonce") not in self._nonces:
            return False
        if self.config.password is None:
            return True
        expected = digest.response_of(params, "INVITE", params.get("uri", ""), self.config.user, self.config.password)
        return params.get("response") == expected

    def _challenge(self, message: sip.SipMessage, peer: Address, branch: str, verdict: str) -> None:
        if verdict:
            step = REFUSALS[verdict].steps[-1]
            data = sip.respond(message, step.status, step.reason, to_tag=sip.new_tag())
        else:
            nonce = secrets.token_hex(8)
            self._nonces.add(nonce)
            header = ("Proxy-Authenticate", f'Digest realm="{self.config.name}", nonce="{nonce}", algorithm=MD5')
            data = sip.respond(message, 407, "Proxy Authentication Required", to_tag=sip.new_tag(), extra=[header])
        self._transactions[branch] = None
        self._finished.append((self.loop.time() + _REMEMBER, branch))
        self.endpoint.send(data, peer)

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
        if call is not None:
            call.on_ack(stamp)

    def _cancel(self, message: sip.SipMessage, peer: Address, stamp: int) -> None:
        call = self._transactions.get(message.branch)
        if call is None:
            self.endpoint.send(sip.respond(message, 481, "Call Does Not Exist", to_tag=sip.new_tag()), peer)
        else:
            call.on_cancel(message, stamp)

    def _bye(self, message: sip.SipMessage, peer: Address, stamp: int) -> None:
        call = self.calls.get(message.call_id)
        if call is None:
            self.endpoint.send(sip.respond(message, 481, "Call Does Not Exist"), peer)
        else:
            call.on_bye(message, stamp)

    def _options(self, message: sip.SipMessage, peer: Address, _stamp: int) -> None:
        if self.answer_options:
            self.endpoint.send(sip.respond(message, 200, "OK", to_tag=sip.new_tag(), contact=self.contact), peer)
