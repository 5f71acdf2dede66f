"""The CDR that mod_json_cdr would have posted for a channel whose CHANNEL_HANGUP_COMPLETE was recorded.

switch_ivr_generate_json_cdr and the event read the same channel. The shape is that of tests/contract/recorded_cdrs/*.json:
what a real FreeSWITCH posted, and beside each (*.event.json) the event that it sent of the same channel.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.contract.tracefile import TraceEvent, events, read_trace, trace_files

RECORDED = Path(__file__).parent / "recorded_cdrs"
#: switch_url_encode's SWITCH_URL_UNSAFE.
_UNSAFE = set('\r\n #%&+:;<=>?@[\\]^`{|}"')
_TIMES = {
    "created_time": "Caller-Channel-Created-Time",
    "profile_created_time": "Caller-Profile-Created-Time",
    "progress_time": "Caller-Channel-Progress-Time",
    "progress_media_time": "Caller-Channel-Progress-Media-Time",
    "answered_time": "Caller-Channel-Answered-Time",
    "bridged_time": "Caller-Channel-Bridged-Time",
    "last_hold_time": "Caller-Channel-Last-Hold",
    "hold_accum_time": "Caller-Channel-Hold-Accum",
    "hangup_time": "Caller-Channel-Hangup-Time",
    "resurrect_time": "Caller-Channel-Resurrect-Time",
    "transfer_time": "Caller-Channel-Transfer-Time",
}


def encode(value: str) -> str:
    """As switch_url_encode does."""
    return "".join(f"%{byte:02X}" if not 32 <= byte <= 126 or chr(byte) in _UNSAFE else chr(byte) for byte in value.encode())


def cdr_of(event: TraceEvent, *, encode_values: bool = True) -> dict[str, Any]:
    """The record beside this CHANNEL_HANGUP_COMPLETE."""
    written = encode if encode_values else str
    return {
        "core-uuid": event.get("Core-UUID"),
        "switchname": event.get("FreeSWITCH-Switchname"),
        "channel_data": {"state": "CS_REPORTING", "direction": event.get("Call-Direction"), "state_number": "11"},
        "callStats": {},
        "variables": {
            name.removeprefix("variable_"): written(value)
            for name, value in event.pairs
            if name.startswith("variable_") and value
        },
        "callflow": [
            {
                "profile_index": event.get("Caller-Profile-Index"),
                "caller_profile": {
                    "username": "",
                    "destination_number": event.get("Caller-Destination-Number"),
                    "uuid": event.get("Caller-Unique-ID"),
                    "chan_name": event.get("Caller-Channel-Name"),
                },
                "times": {name: event.get(header, "0") for name, header in _TIMES.items()},
            }
        ],
    }


def hangups() -> list[tuple[str, TraceEvent]]:
    """Every recorded end with the name of its scenario."""
    return [
        (path.stem, event)
        for path in trace_files()
        for event in events(read_trace(path))
        if event.name == "CHANNEL_HANGUP_COMPLETE"
    ]


def recorded(name: str) -> dict[str, Any]:
    """A body that a real FreeSWITCH posted."""
    loaded: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text())
    return loaded
