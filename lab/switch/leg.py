"""The client side of one INVITE and its dialog: retransmission, CANCEL when it may be sent, ACK, BYE both ways."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from lab.sip import digest
from lab.sip import message as sip
from lab.sip.sdp import MediaLine, parse_sdp
from lab.sip.udp import Address

if TYPE_CHECKING:
    from lab.switch.sofia import Gateway, SofiaProfile


class LegOwner(Protocol):
    """The channel behind the leg. After `cancel` or `bye` nothing but `leg_over` is called."""

    def leg_ringing(self, message: sip.SipMessage) -> None: ...
    def leg_early(self, message: sip.SipMessage, media: MediaLine) -> None: ...
    def leg_answered(self, message: sip.SipMessage, media: MediaLine | None) -> None: ...
    def leg_redirected(self, message: sip.SipMessage) -> bool: ...
    def leg_refused(self, status: int, reason: str, message: sip.SipMessage | None) -> None: ...
    def leg_bye(self, message: sip.SipMessage) -> None: ...


@dataclass(slots=True, eq=False)
class InviteLeg:
    """`start` sends the INVITE. `abandon` does what a hangup asks for in the state the transaction is in."""

    profile: SofiaProfile
    gateway: Gateway
    owner: LegOwner
    number: str
    call_id: str
    caller_name: str
    caller_number: str
    sdp: str
    extra: list[tuple[str, str]] = field(default_factory=list)
    target: Address = ("", 0)
    request_uri: str = ""
    sender: str = ""
    sender_uri: str = ""
    from_tag: str = field(default_factory=sip.new_tag)
    cseq: int = field(default_factory=lambda: 100000 + secrets.randbelow(1 << 24))
    branch: str = ""
    branch_of_bye: str = ""
    remote_to: str = ""
    remote_target: str = ""
    provisional: bool = False
    answered: bool = False
    abandoned: bool = False
    over: bool = False
    invites_sent: int = 0
    authorised: bool = False
    session_timer: int = 1800  # s; 0: the INVITE asks for none
    _refusals_of_timer: int = 0
    _cancel_answered: bool = False
    _timers: list[asyncio.TimerHandle] = field(default_factory=list)
    _invite: bytes = b""
    _cancel_sent: bool = False

    @property
    def from_header(self) -> str:
        return f"{self.sender};tag={self.from_tag}"

    @property
    def contact(self) -> str:
        return self.gateway.contact

    def start(self) -> None:
        self.target = (self.gateway.config.host, self.gateway.config.port)
        self.request_uri = f"sip:{self.number}@{self.target[0]}:{self.target[1]}"
        self._send_invite()

    def _send_invite(self, authorization: str = "") -> None:
        """A fresh transaction: new branch, next CSeq, timers A and B."""
        self.cseq += 1
        self.branch = sip.new_branch()
        self.provisional = False
        headers = [
            *self._head("INVITE"),
            ("Contact", self.contact),
            ("User-Agent", "FreeSWITCH-mod_sofia/lab"),
            ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE"),
            ("Supported", "timer, path, replaces"),
        ]
        if self.session_timer:
            headers.append(("Session-Expires", f"{self.session_timer};refresher=uac"))
        if authorization:
            headers.append(("Proxy-Authorization", authorization))
        self._invite = sip.build(f"INVITE {self.request_uri} SIP/2.0", headers + self.extra, self.sdp)
        self._cancel_timers()
        self.profile.transactions[self.branch] = self
        self._transmit(self.profile.config.t1_s)
        self._timers.append(self.profile.loop.call_later(self.profile.config.t1x64_s, self._timer_b))

    def _head(self, method: str, branch: str = "", cseq: int = 0) -> list[tuple[str, str]]:
        to = self.remote_to or f"<{self.request_uri}>"
        return [
            ("Via", f"SIP/2.0/UDP {self.profile.host}:{self.profile.port};rport;branch={branch or self.branch}"),
            ("Max-Forwards", "70"),
            ("From", self.from_header),
            ("To", to),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq or self.cseq} {method}"),
        ]

    def _transmit(self, interval: float) -> None:
        self.invites_sent += 1
        self.profile.endpoint.send(self._invite, self.target)
        self._timers.append(self.profile.loop.call_later(interval, self._timer_a, interval * 2))

    def _timer_a(self, interval: float) -> None:
        if not self.provisional and not self.over:
            self._transmit(interval)

    def _timer_b(self) -> None:
        """No response at all (64*T1): the transaction dies. An abandoned one dies silently."""
        if self.provisional or self.over:
            return
        self.finish()
        if not self.abandoned:
            self.owner.leg_refused(408, "Request Timeout", None)

    def on_response(self, message: sip.SipMessage) -> None:
        method = message.cseq[1]
        if method == "INVITE":
            if message.cseq[0] == self.cseq:
                self._invite_response(message)
        elif method == "CANCEL":
            self._cancel_answered = True
        elif method == "BYE":
            self.finish()

    def _invite_response(self, message: sip.SipMessage) -> None:
        if message.status < 200:
            self._provisional(message)
        elif message.status < 300:
            self._answer(message)
        else:
            self._final(message)

    def _provisional(self, message: sip.SipMessage) -> None:
        self.provisional = True
        if self.abandoned:
            self._send_cancel()  # the CANCEL that had to wait for a first sign of life
            return
        if message.status == 100 or self.answered:
            return
        media = parse_sdp(message.body) if message.body else None
        if media is not None:
            self.owner.leg_early(message, media)
        else:
            self.owner.leg_ringing(message)

    def _answer(self, message: sip.SipMessage) -> None:
        self.provisional = True
        first = not self.remote_to
        self.remote_to = message.get("to")
        self.remote_target = sip.uri_of(message.get("contact")) or self.request_uri
        ack = sip.build(f"ACK {self.remote_target} SIP/2.0", self._head("ACK", sip.new_branch()))
        self.profile.endpoint.send(ack, self.target)
        if self.abandoned:
            if first:
                self._send_bye()  # the answer crossed our CANCEL
            return
        if not self.answered:
            self.answered = True
            self._cancel_timers()
            self.owner.leg_answered(message, parse_sdp(message.body) if message.body else None)

    def _final(self, message: sip.SipMessage) -> None:
        headers = self._head("ACK")
        headers[3] = ("To", message.get("to"))
        self.profile.acknowledge(self.branch, sip.build(f"ACK {self.request_uri} SIP/2.0", headers), self.target)
        if self.over:
            return
        if not self.abandoned and self._once_more(message):
            return
        if self.abandoned:
            self.finish()
        elif 300 <= message.status < 400 and self.owner.leg_redirected(message):
            contact = message.get("contact").split(",", 1)[0]
            self.request_uri = sip.uri_of(contact)
            self.profile.transactions.pop(self.branch, None)
            self._send_invite()
        else:
            self.finish()
            # A challenge that comes again after its answer is the stack's own failure, with a code of its own.
            status = 904 if message.status in (401, 407) and self.authorised else message.status
            self.owner.leg_refused(status, message.reason, message)

    def _once_more(self, message: sip.SipMessage) -> bool:
        """Whether a refusal is answered by a fresh INVITE: a challenge once, 422 three times, as mod_sofia's stack does."""
        challenge = message.get("proxy-authenticate") or message.get("www-authenticate")
        authorization = ""
        if message.status in (401, 407) and challenge and not self.authorised:
            self.authorised = True
            config = self.gateway.config
            authorization = digest.authorization(challenge, "INVITE", self.request_uri, config.user, config.password)
        elif message.status == 422 and self._refusals_of_timer < 3:
            self._refusals_of_timer += 1
            least = message.get("min-se")
            if self.session_timer and least.isdigit():
                self.session_timer = max(self.session_timer, int(least))
        else:
            return False
        self.profile.transactions.pop(self.branch, None)
        self._send_invite(authorization)
        return True

    def on_reinvite(self, message: sip.SipMessage, peer: Address) -> None:
        """The carrier refreshes the session: our media as it is."""
        self.profile.endpoint.send(sip.respond(message, 200, "OK", contact=self.contact, body=self.sdp), peer)

    def on_bye(self, message: sip.SipMessage, peer: Address) -> None:
        self.profile.endpoint.send(sip.respond(message, 200, "OK"), peer)
        self.finish()
        if not self.abandoned:
            self.owner.leg_bye(message)

    def abandon(self) -> None:
        """The channel hung up: BYE when answered, CANCEL when it may be sent, else go on until it may."""
        if self.abandoned or self.over:
            return
        self.abandoned = True
        if self.answered:
            self._send_bye()
        elif self.provisional:
            self._send_cancel()

    def _send_cancel(self) -> None:
        if self._cancel_sent:
            return
        self._cancel_sent = True
        data = sip.build(f"CANCEL {self.request_uri} SIP/2.0", self._head("CANCEL"))
        self._repeat_cancel(data, self.profile.config.t1_s)
        self._timers.append(self.profile.loop.call_later(self.profile.config.t1x64_s, self.finish))

    def _repeat_cancel(self, data: bytes, interval: float) -> None:
        if self.over or self._cancel_answered or self.remote_to:
            return
        self.profile.endpoint.send(data, self.target)
        self._timers.append(self.profile.loop.call_later(interval, self._repeat_cancel, data, interval * 2))

    def _send_bye(self) -> None:
        self.cseq += 1
        branch = sip.new_branch()
        self.profile.transactions[branch] = self
        data = sip.build(f"BYE {self.remote_target} SIP/2.0", self._head("BYE", branch))
        self.branch_of_bye = branch
        self._repeat_bye(data, self.profile.config.t1_s)
        self._timers.append(self.profile.loop.call_later(self.profile.config.t1x64_s, self.finish))

    def _repeat_bye(self, data: bytes, interval: float) -> None:
        if self.over:
            return
        self.profile.endpoint.send(data, self.target)
        self._timers.append(self.profile.loop.call_later(interval, self._repeat_bye, data, interval * 2))

    def finish(self) -> None:
        """Nothing more is sent or expected; forget the transaction and the dialog."""
        self.over = True
        self._cancel_timers()
        self.profile.transactions.pop(self.branch, None)
        self.profile.transactions.pop(self.branch_of_bye, None)
        if self.profile.legs.get(self.call_id) is self:
            del self.profile.legs[self.call_id]

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
