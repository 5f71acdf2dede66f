"""The life of a channel that a carrier opened: RINGING, answer and park by the dialplan."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from lab.sip import message as sip
from lab.sip.sdp import MediaLine, offer_sdp
from lab.switch import headers, variables
from lab.switch.channel import Channel

if TYPE_CHECKING:
    from lab.switch.core import Switch
    from lab.switch.inbound import InboundLeg


def begin(switch: Switch, leg: InboundLeg, media: MediaLine | None) -> Channel:
    """Everything happens in one go: the recorded dialplan answers and parks without waiting."""
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
    if media is not None:
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
    channel.vars["endpoint_disposition"] = "RECEIVED"
    channel.run_state("CS_INIT")
    channel.state_number = 2
    channel.fire("CHANNEL_CREATE")
    channel.state = "CS_ROUTING"
    channel.set_callstate("RINGING")
    channel.run_state("CS_ROUTING")
    channel.run_state("CS_EXECUTE")
    channel.vars["DP_MATCH"] = f"ARRAY::{called}|:{called}"
    channel.apps.on_answer = lambda: answer(channel, leg)
    channel.apps.run_inline("answer", "")
    channel.apps.start("park", "")
    channel.publish_row()
    return channel


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


def answer(channel: Channel, leg: InboundLeg) -> None:
    """The `answer` application: 200 to the carrier, CHANNEL_ANSWER, ACTIVE."""
    if channel.times.answered:
        return
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
