"""An originated leg, event by event: INVITE, 18x, early media, answer, refusal, redirect."""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING

from lab.sip import message as sip
from lab.sip.sdp import MediaLine, offer_sdp
from lab.switch import causes, variables
from lab.switch.channel import Channel
from lab.switch.dialstring import Dial
from lab.switch.identity import identity_of
from lab.switch.leg import InviteLeg
from lab.switch.rtp import RtpCallee
from lab.switch.sendmsg import is_true

if TYPE_CHECKING:
    from lab.switch.core import Switch


def place(switch: Switch, dial: Dial, channel_uuid: str) -> Channel:
    """Create the session, send the INVITE, tell of it. `originated` becomes `+OK uuid` or `-ERR CAUSE`."""
    given = dial.variables
    channel = Channel(switch, channel_uuid, f"sofia/{switch.sofia.name}/{dial.number}", dial.number)
    channel.originated = switch.loop.create_future()
    channel.caller_name = channel.orig_name = given.get("origination_caller_id_name", "")
    channel.caller_number = channel.orig_number = given.get("origination_caller_id_number", "0000000000")
    if switch.config.rtp:
        channel.callee = callee = RtpCallee(channel)
        channel.local_port = callee.port
    switch.add(channel)
    OutboundCall(channel, dial).begin()
    return channel


class OutboundCall:
    """What the SIP leg says, told to the channel."""

    def __init__(self, channel: Channel, dial: Dial) -> None:
        self._channel = channel
        self._switch = channel.switch
        self._dial = dial
        self._leg: InviteLeg

    def begin(self) -> None:
        channel, switch, given = self._channel, self._switch, self._dial.variables
        gateway = switch.sofia.gateways[self._dial.gateway]
        gateway.calls_out += 1
        codecs = _codecs(given.get("absolute_codec_string", "PCMU,PCMA"))
        sdp = offer_sdp(switch.sofia.host, channel.local_port, channel.times.created // 1_000_000, codecs)
        channel.fire("CHANNEL_OUTGOING", verbose=False)
        channel.vars = variables.of_outgoing(channel, given, self._dial.gateway, sdp)
        channel.presence = given.get("presence_data", "")
        channel.run_state("CS_INIT", 1)
        extra = [(name[6:], value) for name, value in given.items() if name.startswith("sip_h_")]
        who = identity_of(given, gateway.config, switch.sofia.host, channel.caller_name, channel.caller_number)
        leg = InviteLeg(
            switch.sofia,
            gateway,
            self,
            channel.destination,
            given.get("sip_invite_call_id") or str(uuid.uuid4()),
            channel.caller_name,
            channel.caller_number,
            sdp if switch.config.rtp else variables.with_lab_offer(sdp),
            extra + who.headers,
            sender=who.sender,
            sender_uri=who.uri,
            session_timer=int(timer) if (timer := given.get("sofia_session_timeout", "")).isdigit() else 1800,
        )
        channel.leg = self._leg = leg
        switch.sofia.legs[leg.call_id] = leg
        leg.start()
        channel.peer = leg.target
        channel.state_number = 2
        channel.fire("CHANNEL_CREATE")
        channel.fire("CHANNEL_ORIGINATE")
        channel.run_state("CS_ROUTING", 2)
        channel.run_state("CS_CONSUME_MEDIA")
        channel.publish_row()
        self._arm_timeout(given.get("originate_timeout", ""))

    def _arm_timeout(self, text: str) -> None:
        """FreeSWITCH compares whole seconds of the clock, so a timeout comes up to one second early."""
        seconds = float(text) if text.isdigit() and int(text) else self._dial.timeout
        now = self._switch.wall_us() / 1_000_000
        self._channel.later(max(0.0, math.floor(now) + seconds - now), self._timeout)

    def _timeout(self) -> None:
        channel = self._channel
        if channel.originated is not None and not channel.originated.done() and not channel.times.answered:
            channel.hangup("NO_ANSWER")

    def _first_reply(self, message: sip.SipMessage) -> None:
        channel = self._channel
        if not channel.network_addr:
            channel.network_addr = channel.peer[0]
            channel.vars.update(variables.of_reply(channel))
        if "sip_to_tag" not in channel.vars:
            channel.vars.update(variables.of_dialog(self._leg, message))

    def leg_ringing(self, message: sip.SipMessage) -> None:
        channel = self._channel
        if channel.hungup or channel.times.progress or channel.times.answered:
            return
        self._first_reply(message)
        channel.times.progress = self._switch.wall_us()
        channel.fire("CHANNEL_PROGRESS")
        channel.set_callstate("RINGING")
        channel.publish_row()

    def leg_early(self, message: sip.SipMessage, media: MediaLine) -> None:
        channel = self._channel
        if channel.hungup or channel.times.progress_media or channel.times.answered:
            return
        self._first_reply(message)
        channel.times.progress_media = self._switch.wall_us()
        channel.answer_state = "early"
        negotiated = variables.of_media(media, message.body, self._switch.random)
        channel.vars.update(
            {
                "switch_r_sdp": negotiated["switch_r_sdp"],
                "ep_codec_string": negotiated["ep_codec_string"],
                "endpoint_disposition": "EARLY MEDIA",
            }
        )
        channel.fire("CHANNEL_PROGRESS_MEDIA")
        channel.set_callstate("EARLY")
        channel.negotiate(media, negotiated)
        if not is_true(channel.vars.get("ignore_early_media", "")):
            channel.later(self._switch.config.originate_poll_s / 2, self._complete)

    def leg_answered(self, message: sip.SipMessage, media: MediaLine | None) -> None:
        channel = self._channel
        if channel.hungup:
            return
        self._first_reply(message)
        if media is not None:
            channel.negotiate(media, variables.of_media(media, message.body, self._switch.random))
            channel.callee.configure(media.lab)
        channel.mark_answered()
        channel.later(self._switch.config.originate_poll_s / 2, self._complete)

    def _complete(self) -> None:
        """The originate thread sees the answer: the leg is flipped and goes to its application."""
        channel = self._channel
        if channel.hungup or channel.flipped:
            return
        channel.flipped = channel.hit_dialplan = True
        channel.vars.setdefault("endpoint_disposition", "ANSWER")
        channel.vars.update(
            {
                "pre_transfer_caller_id_name": channel.caller_name,
                "pre_transfer_caller_id_number": channel.caller_number,
                "channel_cid_flipped": "yes",
            }
        )
        channel.caller_name, channel.callee_name = channel.callee_name, channel.caller_name
        channel.caller_number, channel.callee_number = channel.callee_number, channel.caller_number
        channel.fire("CALL_UPDATE", [("Direction", "RECV")])
        channel.settle(f"+OK {channel.uuid}\n")
        channel.run_state("CS_EXECUTE")
        channel.apps.start(self._dial.application, self._dial.argument)
        channel.publish_row()

    def leg_redirected(self, message: sip.SipMessage) -> bool:
        """True = follow it. `outbound_redirect_fatal=true` makes it the end."""
        channel = self._channel
        channel.vars["sip_hangup_disposition"] = "recv_refuse"
        if is_true(channel.vars.get("outbound_redirect_fatal", "")):
            return False
        channel.vars["sip_redirected_to"] = sip.uri_of(message.get("contact").split(",", 1)[0].strip())
        return True

    def leg_refused(self, status: int, reason: str, message: sip.SipMessage | None) -> None:
        channel = self._channel
        if channel.hungup:
            return
        self._leg.gateway.failed_out += 1
        if message is not None and not channel.network_addr:
            channel.network_addr = channel.peer[0]
            channel.vars["sip_call_id"] = self._leg.call_id
            channel.vars.update(variables.of_reply(channel))
        cause = causes.from_sip(status)
        number = causes.Q850[cause]
        reason_header = message.get("reason") if message is not None else ""
        if reason_header:
            channel.vars["sip_reason"] = reason_header
            cause, number = causes.from_reason(reason_header) or (cause, number)
        channel.vars["sip_hangup_disposition"] = "recv_refuse"
        if 300 <= status < 400 and status != 380 and message is not None:
            channel.vars.update(variables.of_redirect(message))
            channel.remote_end = "redirect"
        else:
            told = {
                "sip_term_status": str(status),
                "proto_specific_hangup_cause": f"sip:{status}",
                "sip_term_cause": str(number),
            }
            if status in (401, 407, 904):  # the challenge is the stack's business: the channel is told of its failure alone
                del channel.vars["sip_hangup_disposition"]
            elif status != 380:
                told |= {"sip_invite_failure_status": str(status), "sip_invite_failure_phrase": reason}
            channel.vars.update(told)
            channel.remote_end = "refused"
        channel.hangup(cause)

    def leg_bye(self, _message: sip.SipMessage) -> None:
        end_by_bye(self._channel)


def _codecs(text: str) -> list[str]:
    """``PCMU,PCMA`` or, with a separator of its own, ``^^:PCMU:PCMA``; what follows an @ is its rate."""
    separator, text = (text[2], text[3:]) if text.startswith("^^") and len(text) > 2 else (",", text)
    return [codec.split("@")[0] for codec in text.split(separator)]


def end_by_bye(channel: Channel) -> None:
    """The other side hung up."""
    if channel.hungup:
        return
    channel.vars.update({"sip_term_status": "200", "proto_specific_hangup_cause": "sip:200", "sip_term_cause": "16"})
    channel.remote_end = "bye"
    channel.hangup("NORMAL_CLEARING")
