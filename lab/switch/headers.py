"""The headers every channel event carries, and the channel's row in `show channels`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.switch import variables
from lab.switch.events import Pairs
from lab.switch.show import Row

if TYPE_CHECKING:
    from lab.switch.channel import Channel


def basic(channel: Channel) -> Pairs:
    """switch_channel_event_set_basic_data, up to the caller profile."""
    pairs = [
        ("Channel-State", channel.state),
        ("Channel-Call-State", channel.callstate),
        ("Channel-State-Number", str(channel.state_number)),
        ("Channel-Name", channel.name),
        ("Unique-ID", channel.uuid),
        ("Call-Direction", channel.direction),
        ("Presence-Call-Direction", channel.direction),
        ("Channel-HIT-Dialplan", "true" if channel.hit_dialplan else "false"),
    ]
    if channel.presence:
        pairs.append(("Channel-Presence-Data", channel.presence))
    pairs += [("Channel-Call-UUID", channel.uuid), ("Answer-State", channel.answer_state)]
    if channel.cause:
        pairs.append(("Hangup-Cause", channel.cause))
    if channel.has_media:
        codec = channel.vars.get("read_codec", "PCMU")
        for side in ("Read", "Write"):
            pairs += [
                (f"Channel-{side}-Codec-Name", codec),
                (f"Channel-{side}-Codec-Rate", "8000"),
                (f"Channel-{side}-Codec-Bit-Rate", "64000"),
            ]
    return pairs


def profile(channel: Channel) -> Pairs:
    """The caller profile. Times are microseconds."""
    t = channel.times
    outbound = channel.direction == "outbound"
    pairs = [("Caller-Direction", channel.direction), ("Caller-Logical-Direction", channel.direction)]
    if channel.username:
        pairs += [("Caller-Username", channel.username), ("Caller-Dialplan", "XML")]
    pairs += [
        ("Caller-Caller-ID-Name", channel.caller_name),
        ("Caller-Caller-ID-Number", channel.caller_number),
        ("Caller-Orig-Caller-ID-Name", channel.orig_name),
        ("Caller-Orig-Caller-ID-Number", channel.orig_number),
    ]
    if outbound:
        pairs += [("Caller-Callee-ID-Name", channel.callee_name), ("Caller-Callee-ID-Number", channel.callee_number)]
    if channel.network_addr:
        pairs.append(("Caller-Network-Addr", channel.network_addr))
    return [
        *pairs,
        ("Caller-ANI", channel.orig_number),
        ("Caller-Destination-Number", channel.destination),
        ("Caller-Unique-ID", channel.uuid),
        ("Caller-Source", "src/switch_ivr_originate.c" if outbound else "mod_sofia"),
        ("Caller-Context", "default" if outbound else "inbound"),
        ("Caller-Channel-Name", channel.name),
        ("Caller-Profile-Index", "1"),
        ("Caller-Profile-Created-Time", str(t.created)),
        ("Caller-Channel-Created-Time", str(t.created)),
        ("Caller-Channel-Answered-Time", str(t.answered)),
        ("Caller-Channel-Progress-Time", str(t.progress)),
        ("Caller-Channel-Progress-Media-Time", str(t.progress_media)),
        ("Caller-Channel-Hangup-Time", str(t.hangup)),
        ("Caller-Channel-Transfer-Time", "0"),
        ("Caller-Channel-Resurrect-Time", "0"),
        ("Caller-Channel-Bridged-Time", "0"),
        ("Caller-Channel-Last-Hold", "0"),
        ("Caller-Channel-Hold-Accum", "0"),
        ("Caller-Screen-Bit", "true"),
        ("Caller-Privacy-Hide-Name", "false"),
        ("Caller-Privacy-Hide-Number", "false"),
    ]


def row(channel: Channel) -> Row:
    """Its columns in `show channels`, in FreeSWITCH's order."""
    created = channel.times.created
    codec = ("PCMU", "8000", "64000") if channel.has_media else ("", "", "")
    return {
        "uuid": channel.uuid,
        "direction": channel.direction,
        "created": variables.stamp(created),
        "created_epoch": str(created // 1_000_000),
        "name": channel.name,
        "state": channel.state,
        "cid_name": channel.caller_name,
        "cid_num": channel.caller_number,
        "ip_addr": "",
        "dest": channel.destination,
        "application": channel.apps.current,
        "application_data": "",
        "dialplan": "XML" if channel.direction == "inbound" else "",
        "context": "inbound" if channel.direction == "inbound" else "default",
        "read_codec": codec[0],
        "read_rate": codec[1],
        "read_bit_rate": codec[2],
        "write_codec": codec[0],
        "write_rate": codec[1],
        "write_bit_rate": codec[2],
        "secure": "",
        "hostname": channel.switch.config.hostname,
        "presence_id": "",
        "presence_data": channel.presence,
        "accountcode": channel.vars.get("accountcode", ""),
        "callstate": channel.callstate,
        "callee_name": channel.callee_name,
        "callee_num": channel.callee_number,
        "callee_direction": "RECV" if channel.flipped else "",
        "call_uuid": channel.uuid,
        "sent_callee_name": "",
        "sent_callee_num": "",
        "initial_cid_name": channel.orig_name,
        "initial_cid_num": channel.orig_number,
        "initial_ip_addr": "",
        "initial_dest": channel.destination,
        "initial_dialplan": "",
        "initial_context": "default",
    }
