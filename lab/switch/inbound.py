"""An INVITE from a carrier: the server side of its transaction and its dialog."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lab.sip import message as sip
from lab.sip.sdp import answer_sdp, parse_sdp
from lab.sip.udp import Address
from lab.switch import causes, inbound_channel
from lab.switch.outbound import end_by_bye

if TYPE_CHECKING:
    from lab.switch.channel import Channel
    from lab.switch.sofia import SofiaProfile

#: s; between two repetitions of a refusal that nobody has acknowledged.
_AGAIN_S = 0.5
_REASONS = {
    404: "Not Found",
    480: "Temporarily Unavailable",
    486: "Busy Here",
    487: "Request Terminated",
    503: "Service Unavailable",
    603: "Decline",
}


class InboundLeg:
    """The server side of the dialog."""

    channel: Channel

    def __init__(self, profile: SofiaProfile, invite: sip.SipMessage, peer: Address) -> None:
        self.profile = profile
        self.invite = invite
        self.peer = peer
        self.to_tag = sip.new_tag()
        self.call_id = invite.call_id
        self.over = False
        self.abandoned = False
        self.last_message = invite
        self._answer = b""
        self._answered = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        switch = self.profile.switch
        if switch.paused_inbound:
            self.profile.endpoint.send(
                sip.respond(self.invite, 503, "Maximum Calls In Progress", to_tag=self.to_tag), self.peer
            )
            return
        self.profile.endpoint.send(sip.respond(self.invite, 100, "Trying"), self.peer)
        self.profile.legs[self.call_id] = self
        self.channel = inbound_channel.begin(switch, self, parse_sdp(self.invite.body))

    def ring(self) -> None:
        self.profile.endpoint.send(sip.respond(self.invite, 180, "Ringing", to_tag=self.to_tag), self.peer)

    def answer(self, port: int) -> None:
        body = answer_sdp(self.profile.host, port)
        contact = f"<sip:{self.profile.host}:{self.profile.port}>"
        self._answered = True
        self._answer = sip.respond(self.invite, 200, "OK", to_tag=self.to_tag, contact=contact, body=body)
        self.repeat()

    def repeat(self) -> None:
        if self._answer:
            self.profile.endpoint.send(self._answer, self.peer)

    def on_ack(self) -> None:
        """What was refused is forgotten now."""
        if self._timer is not None:
            self._timer.cancel()
            self.finish()

    def on_cancel(self, message: sip.SipMessage, peer: Address) -> None:
        """The caller gives up. After the answer that changes nothing (RFC 3261 9.2)."""
        self.profile.endpoint.send(sip.respond(message, 200, "OK", to_tag=self.to_tag), peer)
        if not self._answer and not self.over:
            self.channel.remote_end = "cancel"
            self.channel.hangup("ORIGINATOR_CANCEL")

    def on_bye(self, message: sip.SipMessage, peer: Address) -> None:
        self.profile.endpoint.send(sip.respond(message, 200, "OK"), peer)
        self.finish()
        inbound_channel.note_bye(self.channel, message)
        end_by_bye(self.channel)

    def on_response(self, message: sip.SipMessage) -> None:
        """The 200 to our BYE: nothing to do, the dialog is forgotten already."""

    def abandon(self) -> None:
        """The channel is gone: BYE, or the final answer that its cause stands for."""
        if self.over or self.abandoned:
            return
        self.abandoned = True
        if not self._answered:
            self._refuse(causes.to_sip(self.channel.cause), causes.q850_of(self.channel.cause))
            return
        target = sip.uri_of(self.invite.get("contact")) or self.invite.uri
        headers = [
            ("Via", f"SIP/2.0/UDP {self.profile.host}:{self.profile.port};rport;branch={sip.new_branch()}"),
            ("Max-Forwards", "70"),
            ("From", f"{self.invite.get('to')};tag={self.to_tag}"),
            ("To", self.invite.get("from")),
            ("Call-ID", self.call_id),
            ("CSeq", "1 BYE"),
        ]
        self.profile.endpoint.send(sip.build(f"BYE {target} SIP/2.0", headers), self.peer)
        self.finish()

    def _refuse(self, status: int, q850: int) -> None:
        reason = ("Reason", f'Q.850;cause={q850};text="{self.channel.cause}"')
        self._answer = sip.respond(self.invite, status, _REASONS.get(status, "Refused"), to_tag=self.to_tag, extra=[reason])
        self._repeat_refusal(self.profile.config.t1x64_s)

    def _repeat_refusal(self, left_s: float) -> None:
        self.repeat()
        if left_s > 0:
            self._timer = self.profile.loop.call_later(_AGAIN_S, self._repeat_refusal, left_s - _AGAIN_S)
        else:
            self.finish()

    def finish(self) -> None:
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
        if self.profile.legs.get(self.call_id) is self:
            del self.profile.legs[self.call_id]
