"""The life of a channel that a carrier opened: what the dialplan says, the ring, the answer."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from lab.sip import message as sip
from lab.sip.sdp import MediaLine, offer_sdp
from lab.switch import causes, dialplan, headers, variables
from lab.switch.channel import Channel

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from lab.switch.core import Switch
    from lab.switch.inbound import InboundLeg


#: What `respond` leaves as the channel's cause.
_CAUSES = {"404": "UNALLOCATED_NUMBER", "486": "USER_BUSY", "503": "NORMAL_TEMPORARY_FAILURE"}


def begin(switch: Switch, leg: InboundLeg, media: MediaLine | None) -> Channel:
    """With a dialplan, as it says; without one as recorded: answered and parked in one go."""
    invite = leg.invite
    sender = sip.uri_of(invite.get("from")).removeprefix("sip:")
    user = sip.user_of(invite.get("from")) or "anonymous"
    called = sip.user_of(invite.uri)
    channel = Channel(switch, str(uuid.uuid4()), f"sofia/{switch.sofia.name}/{sender}", called)
    channel.direction, channel.leg, channel.peer = "inbound", leg, leg.peer
    channel.hit_dialplan = True
    switch.add(channel)
    channel.state, channel.state_number = "CS_NEW", 0
    early = headers.basic(channel)  # no caller profile yet
    switch.bus.fire("CHANNEL_STATE", lambda: early)
    channel.username = channel.caller_name = channel.caller_number = channel.orig_name = channel.orig_number = user
    channel.network_addr = leg.peer[0]
    channel.vars = _variables(channel, leg, sender, called)
    late = switch.config.dialplan is not None  # inbound-late-negotiation: no codec before the answer
    if media is not None and not late:
        channel.vars.update(variables.of_media(media, invite.body, switch.random))
        for name in ("rtp_use_pt", "rtp_2833_send_payload", "rtp_2833_recv_payload"):
            channel.vars.pop(name, None)
        for name in ("rtp_use_timer_name", "rtp_use_ssrc"):
            channel.vars.pop(name, None)
        channel.vars["rtp_use_codec_string"] = "PCMU"
        channel.vars["dtmf_type"] = "rfc2833" if media.dtmf_payload else "info"
        channel.has_media = True
        channel.callee.configure(media.lab)
        for _ in range(2):
            channel.fire("CODEC", verbose=False)
    channel.vars["endpoint_disposition"] = "DELAYED NEGOTIATION" if late else "RECEIVED"
    channel.run_state("CS_INIT")
    channel.state_number = 2
    channel.fire("CHANNEL_CREATE")
    channel.state = "CS_ROUTING"
    channel.set_callstate("RINGING")
    channel.run_state("CS_ROUTING")
    channel.run_state("CS_EXECUTE")
    channel.apps.on_answer = lambda: answer(channel, leg, media if late else None)
    channel.apps.on_ring = lambda: ring(channel, leg)
    if switch.config.dialplan is None:
        channel.vars["DP_MATCH"] = f"ARRAY::{called}|:{called}"
        channel.apps.run_inline("answer", "")
        channel.apps.start("park", "")
    else:
        switch.loop.call_soon(_follow, channel, dialplan.load(switch.config.dialplan))
    channel.publish_row()
    return channel


def _follow(channel: Channel, context: Element) -> None:
    """The dialplan's applications one after another, in the channel's own thread."""
    for action in dialplan.route(context, channel):
        if channel.hungup:
            return
        argument = dialplan.expand(action.argument, channel)
        if action.application == "park":
            channel.apps.start("park", "")
            channel.publish_row()
        elif action.application == "respond":
            channel.hangup(_CAUSES.get(argument.split(" ", 1)[0], "NORMAL_UNSPECIFIED"))
        elif action.application == "limit":
            _limit(channel, argument)
        else:
            channel.apps.run_inline(action.application, argument)
            channel.publish_row()
    if not channel.hungup and channel.apps.current != "park":
        channel.hangup("NORMAL_CLEARING")  # the dialplan is at its end


def _limit(channel: Channel, argument: str) -> None:
    """`hash REALM ID MAX !CAUSE`: so many calls at once, this one included."""
    _, realm, name, most, refusal = argument.split(" ", 4)
    key = f"limit_usage_{realm}_{name}"
    others = [one for one in channel.switch.channels.values() if key in one.vars and not one.hungup]
    if len(others) >= int(most):
        channel.hangup(causes.from_text(refusal.removeprefix("!")))
    else:
        channel.vars[key] = str(len(others) + 1)


def _variables(channel: Channel, leg: InboundLeg, sender: str, called: str) -> dict[str, str]:
    invite, (host, port) = leg.invite, leg.peer
    profile = channel.switch.sofia
    user, _, where = sender.rpartition("@")
    contact = sip.uri_of(invite.get("contact")).removeprefix("sip:")
    contact_user, _, contact_where = contact.rpartition("@")
    target = f"{called}@{profile.host}:{profile.port}"
    via = invite.get("via")
    return {
        "direction": "inbound",
        "uuid": channel.uuid,
        "call_uuid": channel.uuid,
        "session_id": str(channel.session_id),
        "sip_from_user": user,
        "sip_from_port": where.partition(":")[2],
        "sip_from_uri": sender,
        "sip_from_host": where.partition(":")[0],
        "video_media_flow": "disabled",
        "text_media_flow": "disabled",
        "channel_name": channel.name,
        "sip_call_id": leg.call_id,
        "sip_local_network_addr": profile.host,
        "sip_network_ip": host,
        "sip_network_port": str(port),
        "sip_invite_stamp": str(channel.times.created),
        "sip_received_ip": host,
        "sip_received_port": str(port),
        "sip_via_protocol": "udp",
        "sip_from_user_stripped": user,
        "sip_from_tag": sip.tag_of(invite.get("from")),
        "sofia_profile_name": profile.name,
        "sofia_profile_url": f"sip:mod_sofia@{profile.host}:{profile.port}",
        "recovery_profile_name": profile.name,
        "sip_full_via": via,
        "sip_from_display": user,
        "sip_full_from": invite.get("from"),
        "sip_to_display": called,
        "sip_full_to": invite.get("to"),
        "sip_req_user": called,
        "sip_req_port": str(profile.port),
        "sip_req_uri": target,
        "sip_req_host": profile.host,
        "sip_to_user": called,
        "sip_to_port": str(profile.port),
        "sip_to_uri": target,
        "sip_to_host": profile.host,
        "sip_contact_user": contact_user,
        "sip_contact_port": contact_where.partition(":")[2],
        "sip_contact_uri": contact,
        "sip_contact_host": contact_where.partition(":")[0],
        "sip_subject": invite.get("subject"),
        "sip_via_host": host,
        "sip_via_port": str(port),
        "max_forwards": invite.get("max-forwards", "70"),
        "audio_media_flow": "sendrecv",
    }


def ring(channel: Channel, leg: InboundLeg) -> None:
    """The `ring_ready` application: 180 to the carrier, CHANNEL_PROGRESS; once."""
    if channel.times.progress or channel.times.answered:
        return
    leg.ring()
    channel.times.progress = channel.switch.wall_us()
    channel.fire("CHANNEL_PROGRESS")


def answer(channel: Channel, leg: InboundLeg, media: MediaLine | None) -> None:
    """The `answer` application: 200 to the carrier, CHANNEL_ANSWER, ACTIVE. `media`: what was not negotiated before."""
    if channel.times.answered:
        return
    if media is not None:
        channel.times.progress_media = channel.switch.wall_us()
        channel.negotiate(media, variables.of_media(media, leg.invite.body, channel.switch.random))
        channel.fire("CHANNEL_PROGRESS_MEDIA")
    profile = channel.switch.sofia
    leg.answer(channel.local_port)
    channel.vars.update(
        {
            "rtp_local_sdp_str": offer_sdp(profile.host, channel.local_port, channel.times.created // 1_000_000, ["PCMU"]),
            "local_media_ip": profile.host,
            "local_media_port": str(channel.local_port),
            "advertised_media_ip": profile.host,
            "rtp_use_timer_name": "soft",
            "rtp_use_pt": "0",
            "rtp_use_ssrc": str(channel.switch.random.randrange(1 << 31)),
        }
    )
    channel.mark_answered()


def note_bye(channel: Channel, message: sip.SipMessage) -> None:
    """What the caller's BYE adds to the variables."""
    channel.vars.update(
        {
            "sip_to_tag": sip.tag_of(message.get("to")),
            "sip_cseq": "1",
            "sip_full_via": message.get("via"),
            "sip_full_to": message.get("to"),
        }
    )
