"""An INVITE from a carrier: answered and parked at once, as the dialplan of the recorded switch did."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lab.sip import message as sip
from lab.sip.sdp import answer_sdp, parse_sdp
from lab.sip.udp import Address
from lab.switch import inbound_channel
from lab.switch.outbound import end_by_bye

if TYPE_CHECKING:
    from lab.switch.sofia import SofiaProfile


class InboundLeg:
    """The server side of the dialog."""

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

    def answer(self, port: int) -> None:
        body = answer_sdp(self.profile.host, port)
        contact = f"<sip:{self.profile.host}:{self.profile.port}>"
        self._answer = sip.respond(self.invite, 200, "OK", to_tag=self.to_tag, contact=contact, body=body)
        self.repeat()

    def repeat(self) -> None:
        if self._answer:
            self.profile.endpoint.send(self._answer, self.peer)

    def on_bye(self, message: sip.SipMessage, peer: Address) -> None:
        self.profile.endpoint.send(sip.respond(message, 200, "OK"), peer)
        self.finish()
        inbound_channel.note_bye(self.channel, message)
        end_by_bye(self.channel)

    def on_response(self, message: sip.SipMessage) -> None:
        """The 200 to our BYE: nothing to do, the dialog is forgotten already."""

    def abandon(self) -> None:
        if self.over:
            return
        self.abandoned = True
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

    def finish(self) -> None:
        self.over = True
        if self.profile.legs.get(self.call_id) is self:
            del self.profile.legs[self.call_id]
