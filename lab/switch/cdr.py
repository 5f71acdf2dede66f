"""The record of an ended channel, worded as switch_ivr_generate_json_cdr does (FreeSWITCH 1.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.switch.events import url_encode

if TYPE_CHECKING:
    from lab.switch.channel import Channel

_FLAGS = "0=1;1=1;2=1;22=1;39=1;40=1;42=1;45=1;55=1;62=1;113=1;114=1;160=1;165=1;166=1"
_CAPS = "1=1;2=1;3=1;4=1;5=1;6=1;8=1;9=1;10=1"


def record(channel: Channel) -> dict[str, Any]:
    """Built while the channel reports; values of variables are URL-encoded (``encode-values`` true)."""
    switch, times = channel.switch, channel.times
    body: dict[str, Any] = {
        "core-uuid": switch.core_uuid,
        "switchname": switch.config.hostname,
        "channel_data": {
            "state": "CS_REPORTING",
            "direction": channel.direction,
            "state_number": "11",
            "flags": _FLAGS,
            "caps": _CAPS,
        },
        "callStats": {},
        "variables": {name: url_encode(value) for name, value in channel.vars.items() if value},
    }
    if channel.last_app:
        # Only the last one: a real switch lists every application that ran.
        app = {"app_name": channel.last_app, "app_data": channel.last_arg, "app_stamp": str(times.answered or times.created)}
        body["app_log"] = {"applications": [app]}
    never = "0"
    body["callflow"] = [
        {
            "profile_index": "1",
            "caller_profile": _profile(channel),
            "times": {
                "created_time": str(times.created),
                "profile_created_time": str(times.created),
                "progress_time": str(times.progress),
                "progress_media_time": str(times.progress_media),
                "answered_time": str(times.answered),
                "bridged_time": never,
                "last_hold_time": never,
                "hold_accum_time": never,
                "hangup_time": str(times.hangup),
                "resurrect_time": never,
                "transfer_time": never,
            },
        }
    ]
    return body


def _profile(channel: Channel) -> dict[str, str]:
    outbound = channel.direction == "outbound"
    return {
        "username": channel.username,
        "dialplan": "" if outbound else "XML",
        "caller_id_name": channel.caller_name,
        "ani": channel.orig_number,
        "aniii": "",
        "caller_id_number": channel.caller_number,
        "network_addr": channel.network_addr,
        "rdnis": "",
        "destination_number": channel.destination,
        "uuid": channel.uuid,
        "source": "src/switch_ivr_originate.c" if outbound else "mod_sofia",
        "context": "default" if outbound else "inbound",
        "chan_name": channel.name,
    }
