"""Channel variables FreeSWITCH sets by itself, stage by stage of an outbound sofia leg."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from lab.sip import message as sip
from lab.sip.sdp import LAB_OFFER, MediaLine

if TYPE_CHECKING:
    from lab.switch.channel import Channel, Times
    from lab.switch.leg import InviteLeg

_CODEC = {0: "PCMU", 8: "PCMA"}


def of_outgoing(channel: Channel, given: dict[str, str], gateway: str, sdp: str) -> dict[str, str]:
    """At CHANNEL_CREATE: the caller's own variables between what the switch knows."""
    profile = channel.switch.sofia
    target = profile.gateways[gateway].config
    peer = f"{target.host}:{target.port}"
    codecs = given.get("absolute_codec_string", "PCMU,PCMA")
    return {
        **of_session(channel),
        "sip_gateway_name": gateway,
        "sip_local_network_addr": profile.host,
        "sip_profile_name": "gateway",
        "video_media_flow": "disabled",
        "text_media_flow": "disabled",
        "channel_name": channel.name,
        "sip_destination_url": f"sip:{channel.destination}@{peer}",
        **given,
        "originate_early_media": "false",
        "originate_endpoint": "sofia",
        "rtp_use_codec_string": codecs,
        "local_media_ip": profile.host,
        "local_media_port": str(channel.local_port),
        "advertised_media_ip": profile.host,
        "audio_media_flow": "sendrecv",
        "rtp_local_sdp_str": sdp,
        "sip_outgoing_contact_uri": profile.gateways[gateway].contact,
        "sip_req_uri": f"{channel.destination}@{peer}",
        "sip_to_host": peer,
        "sip_from_host": profile.host,
        "sofia_profile_name": profile.name,
        "recovery_profile_name": profile.name,
        "sofia_profile_url": f"sip:mod_sofia@{profile.host}:{profile.port}",
    }


def of_session(channel: Channel) -> dict[str, str]:
    """What even a session has that never got as far as a gateway."""
    return {
        "direction": "outbound",
        "is_outbound": "true",
        "uuid": channel.uuid,
        "call_uuid": channel.uuid,
        "session_id": str(channel.session_id),
    }


def of_reply(channel: Channel) -> dict[str, str]:
    """The peer of the first response above 100."""
    host, port = channel.peer
    return {
        "sip_local_network_addr": channel.switch.sofia.host,
        "sip_reply_host": host,
        "sip_reply_port": str(port),
        "sip_network_ip": host,
        "sip_network_port": str(port),
    }


def of_dialog(leg: InviteLeg, message: sip.SipMessage) -> dict[str, str]:
    """From the 18x or 200 that made the dialog."""
    host, port = leg.target
    profile = leg.profile
    to = message.get("to")
    contact = sip.uri_of(message.get("contact")).removeprefix("sip:")
    user, _, where = contact.rpartition("@")
    contact_host, _, contact_port = where.partition(":")
    via = f"SIP/2.0/UDP {profile.host}:{profile.port};rport;branch={leg.branch}"
    return {
        "sip_allow": message.get("allow"),
        "sip_recover_contact": message.get("contact"),
        "sip_full_via": via,
        "sip_recover_via": via,
        "sip_from_display": leg.caller_name,
        "sip_full_from": leg.from_header,
        "sip_full_to": to,
        "sip_from_user": leg.sender_uri.partition("@")[0],
        "sip_from_uri": leg.sender_uri,
        "sip_from_host": leg.sender_uri.partition("@")[2],
        "sip_to_user": leg.number,
        "sip_to_port": str(port),
        "sip_to_uri": f"{leg.number}@{host}:{port}",
        "sip_to_host": host,
        "sip_contact_user": user,
        "sip_contact_port": contact_port,
        "sip_contact_uri": contact,
        "sip_contact_host": contact_host,
        "sip_to_tag": sip.tag_of(to),
        "sip_from_tag": leg.from_tag,
        "sip_cseq": str(leg.cseq),
        "sip_call_id": leg.call_id,
    }


def of_media(media: MediaLine, body: str, rng: random.Random) -> dict[str, str]:
    """Once audio is negotiated."""
    codec = _CODEC.get(next((p for p in media.payloads if p in _CODEC), 0), "PCMU")
    payload = "0" if codec == "PCMU" else "8"
    return {
        "switch_r_sdp": without_lab(body),
        "ep_codec_string": f"CORE_PCM_MODULE.{codec}@8000h@20i@64000b",
        "remote_video_media_flow": "inactive",
        "remote_text_media_flow": "inactive",
        "remote_audio_media_flow": "sendrecv",
        "rtp_audio_recv_pt": payload,
        "rtp_use_codec_name": codec,
        "rtp_use_codec_rate": "8000",
        "rtp_use_codec_ptime": "20",
        "rtp_use_codec_channels": "1",
        "rtp_last_audio_codec_string": f"{codec}@8000h@20i@1c",
        "read_codec": codec,
        "original_read_codec": codec,
        "read_rate": "8000",
        "original_read_rate": "8000",
        "write_codec": codec,
        "write_rate": "8000",
        "dtmf_type": "rfc2833",
        "rtp_use_timer_name": "soft",
        "rtp_use_pt": payload,
        "rtp_use_ssrc": str(rng.randrange(1 << 31)),
        "rtp_2833_send_payload": str(media.dtmf_payload or 101),
        "rtp_2833_recv_payload": str(media.dtmf_payload or 101),
        "remote_media_ip": media.host,
        "remote_media_port": str(media.port),
    }


def of_redirect(message: sip.SipMessage) -> dict[str, str]:
    """A 302 that is not followed: its contacts, one by one."""
    out: dict[str, str] = {}
    for number, contact in enumerate(part.strip() for part in message.get("contact").split(",")):
        out[f"sip_redirect_contact_{number}"] = contact
        if number == 0:
            out["sip_redirected_to"] = contact
        out[f"sip_redirect_contact_user_{number}"] = sip.user_of(contact)
        out[f"sip_redirect_contact_host_{number}"] = sip.uri_of(contact).rpartition("@")[2].partition(":")[0]
    out["proto_specific_hangup_cause"] = f"sip:{message.status}"
    return out


def without_lab(body: str) -> str:
    """The SDP as a real switch would have seen it."""
    return "".join(line for line in body.splitlines(keepends=True) if not line.startswith("a=x-lab:"))


def with_lab_offer(sdp: str) -> str:
    return f"{sdp}{LAB_OFFER}\r\n"


def stamp(micros: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(micros // 1_000_000))


def _span(name: str, micros: int) -> dict[str, str]:
    return {f"{name}_epoch": str(micros // 1_000_000), f"{name}_uepoch": str(micros)}


def of_report(channel: Channel, times: Times) -> dict[str, str]:
    """The CDR part of CHANNEL_HANGUP_COMPLETE (switch_channel_set_timestamps). Times are microseconds."""
    end = times.hangup
    out = {
        "digits_dialed": channel.callee.pressed or "none",
        "start_stamp": stamp(times.created),
        "profile_start_stamp": stamp(times.created),
    }
    for name, at in (
        ("answer", times.answered),
        ("progress", times.progress),
        ("progress_media", times.progress_media),
        ("end", end),
    ):
        if at:
            out[f"{name}_stamp"] = stamp(at)
    for name, at in (
        ("start", times.created),
        ("profile_start", times.created),
        ("answer", times.answered),
        ("bridge", 0),
        ("last_hold", 0),
    ):
        out.update(_span(name, at))
    out.update({"hold_accum_seconds": "0", "hold_accum_usec": "0", "hold_accum_ms": "0"})
    for name, at in (("resurrect", 0), ("progress", times.progress), ("progress_media", times.progress_media), ("end", end)):
        out.update(_span(name, at))
    if channel.last_app:
        out["last_app"] = channel.last_app
        if channel.last_arg:
            out["last_arg"] = channel.last_arg
    out["caller_id"] = f'"{channel.caller_name}" <{channel.caller_number}>'
    spans = {
        "duration": (times.created, end),
        "bill": (times.answered, end),
        "progress": (times.created, times.progress if times.answered else 0),
        "answer": (times.created, times.answered),
        "wait": (0, 0),
        "progress_media": (times.created, times.progress_media if times.answered else 0),
        "flow_bill": (times.created if times.answered else 0, end),
    }
    for unit, divisor in (("sec", 1_000_000), ("msec", 1000), ("usec", 1)):
        for name, (begin, finish) in spans.items():
            value = finish // divisor - begin // divisor if begin and finish else 0
            key = (
                {"sec": "duration", "msec": "mduration", "usec": "uduration"}[unit] if name == "duration" else (name + unit)
            )
            out[key] = str(value)
    return out


def of_rtp(seconds: float) -> dict[str, str]:
    """RTP statistics of a leg whose audio was made inside this process."""
    packets = str(int(seconds * 50))
    counters = ("in_raw_bytes", "in_media_bytes", "in_packet_count", "in_media_packet_count")
    out = {f"rtp_audio_{name}": "0" for name in counters}
    out["rtp_audio_in_skip_packet_count"] = packets
    for name in (
        "in_jitter_packet_count",
        "in_dtmf_packet_count",
        "in_cng_packet_count",
        "in_flush_packet_count",
        "in_largest_jb_size",
    ):
        out[f"rtp_audio_{name}"] = "0"
    for name in ("jitter_min_variance", "jitter_max_variance", "jitter_loss_rate", "jitter_burst_rate", "mean_interval"):
        out[f"rtp_audio_in_{name}"] = "0.00"
    out.update({"rtp_audio_in_flaw_total": "0", "rtp_audio_in_quality_percentage": "100.00", "rtp_audio_in_mos": "4.50"})
    for name in (
        "raw_bytes",
        "media_bytes",
        "packet_count",
        "media_packet_count",
        "skip_packet_count",
        "dtmf_packet_count",
        "cng_packet_count",
    ):
        out[f"rtp_audio_out_{name}"] = "0"
    out.update({"rtp_audio_rtcp_packet_count": "0", "rtp_audio_rtcp_octet_count": "0"})
    return out
