"""originate and the uuid_* commands (mod_commands, mod_dptools)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from lab.switch import bridge, causes, dialstring, outbound
from lab.switch import show as table
from lab.switch.apps import BROADCAST_LEAD_S, schedule_hangup
from lab.switch.events import Event
from lab.switch.recording import Recording

if TYPE_CHECKING:
    from lab.switch.core import Switch

_NO_CHANNEL = "-ERR No such channel!\n"
_NO_SESSION = "-ERR Cannot locate session!\n"


async def originate(switch: Switch, arguments: str) -> str:
    dial = dialstring.parse_originate(arguments)
    if dial is None:
        return dialstring.USAGE
    channel_uuid = dial.variables.get("origination_uuid") or str(uuid.uuid4())
    if not dial.gateway or not dial.number:
        return "-ERR CHAN_NOT_IMPLEMENTED\n"
    if not switch.admit_session(channel_uuid):
        return "-ERR DESTINATION_OUT_OF_ORDER\n"
    gateway = switch.sofia.gateways.get(dial.gateway)
    if gateway is None or not gateway.up:
        if gateway is not None:
            gateway.failed_out += 1
        _stillborn(switch, channel_uuid)
        return f"-ERR {'INVALID_GATEWAY' if gateway is None else 'GATEWAY_DOWN'}\n"
    if gateway.config.foreign:
        gateway.failed_out += 1
        _stillborn(switch, channel_uuid)
        return "-ERR NORMAL_TEMPORARY_FAILURE\n"
    channel = outbound.place(switch, dial, channel_uuid)
    assert channel.originated is not None
    return await channel.originated


def _stillborn(switch: Switch, channel_uuid: str) -> None:
    """A session that found no gateway: it is only seen to be destroyed."""
    session = str(switch.next_session_id())
    basic = [
        ("Channel-Call-State", "DOWN"),
        ("Channel-State-Number", "0"),
        ("Channel-Name", "N/A"),
        ("Unique-ID", channel_uuid),
        ("Call-Direction", "outbound"),
        ("Presence-Call-Direction", "outbound"),
        ("Channel-HIT-Dialplan", "false"),
        ("Channel-Call-UUID", channel_uuid),
        ("Answer-State", "ringing"),
    ]
    known = {
        "direction": "outbound",
        "is_outbound": "true",
        "uuid": channel_uuid,
        "call_uuid": channel_uuid,
        "session_id": session,
    }
    switch.bus.fire(
        "CHANNEL_DESTROY", lambda: [("Channel-State", "CS_NONE"), *basic, *((f"variable_{k}", v) for k, v in known.items())]
    )
    switch.bus.fire("CHANNEL_STATE", lambda: [("Channel-State", "CS_DESTROY"), *basic])


def uuid_kill(switch: Switch, arguments: str) -> str:
    words = arguments.split(" ", 1)
    if not words[0]:
        return "-USAGE: <uuid> [cause]\n"
    channel = switch.live(words[0])
    if channel is None:
        return _NO_CHANNEL
    channel.hangup(causes.from_text(words[1]) if len(words) > 1 and words[1] else "NORMAL_CLEARING")
    return "+OK\n"


def uuid_exists(switch: Switch, arguments: str) -> str:
    return "true" if switch.live(arguments.strip()) else "false"


def uuid_getvar(switch: Switch, arguments: str) -> str:
    words = dialstring.separate(arguments, " ", 4)
    if len(words) < 2:
        return "-USAGE: <uuid> <var>\n"
    channel = switch.live(words[0])
    if channel is None:
        return _NO_CHANNEL
    return channel.vars.get(words[1], "_undef_")


def uuid_setvar(switch: Switch, arguments: str) -> str:
    words = dialstring.separate(arguments, " ", 3)
    if len(words) < 2:
        return "-USAGE: <uuid> <var> [value]\n"
    channel = switch.live(words[0])
    if channel is None:
        return _NO_CHANNEL
    if len(words) == 3:
        channel.vars[words[1]] = words[2]
    else:
        channel.vars.pop(words[1], None)
    return "+OK\n"


def uuid_dump(switch: Switch, arguments: str) -> str:
    words = arguments.split()
    if not words:
        return "-USAGE: <uuid> [format]\n"
    channel = switch.live(words[0])
    if channel is None:
        return _NO_CHANNEL
    switch.bus.sequence += 1
    pairs = switch.bus._base("CHANNEL_DATA", "", None) + channel.headers()
    pairs += [(f"variable_{name}", value) for name, value in channel.vars.items()]
    event = Event("CHANNEL_DATA", "", pairs)
    if len(words) > 1 and words[1].lower() == "json":
        return event.json_text()
    return event.plain_text()


def uuid_break(switch: Switch, arguments: str) -> str:
    words = arguments.split()
    if not words:
        return "-USAGE: <uuid> [all]\n"
    channel = switch.live(words[0])
    if channel is None:
        return _NO_CHANNEL
    channel.apps.request_break(everything="all" in words[1:])
    return "+OK\n"


def uuid_bridge(switch: Switch, arguments: str) -> str:
    words = arguments.split()
    if len(words) != 2:
        return "-USAGE: <uuid> <other_uuid>\n"
    first, second = switch.live(words[0]), switch.live(words[1])
    if first is None or second is None or first is second:
        return "-ERR Invalid uuid\n"
    bridge.join(first, second)
    return f"+OK {second.uuid}\n"


def uuid_broadcast(switch: Switch, arguments: str) -> str:
    words = dialstring.separate(arguments, " ", 4)
    if len(words) < 2:
        return "-USAGE: <uuid> <path> [aleg|bleg|holdb|both]\n"
    channel = switch.live(words[0])
    if channel is None:
        return "-ERR Invalid uuid\n"
    name, colons, argument = words[1].partition("::")
    if colons:
        channel.apps.queue(name, argument, "", locked=True, lead_s=BROADCAST_LEAD_S)
    else:
        channel.apps.queue("playback", words[1], "", locked=True, lead_s=BROADCAST_LEAD_S)
    return "+OK Message sent\n"


def uuid_send_dtmf(switch: Switch, arguments: str) -> str:
    words = dialstring.separate(arguments, " ", 2)
    if len(words) < 2:
        return "-USAGE: <uuid> <dtmf_data>\n"
    channel = switch.live(words[0])
    if channel is None:
        return _NO_SESSION
    for part in words[1].split("+"):
        keys, _, tone = part.partition("@")
        channel.callee.receive(keys)
        tone_ms = int(tone) if tone.isdecimal() and int(tone) > 50 else 250
        channel.vars["last_dtmf_duration"] = str(len(keys) * (tone_ms + 250))
    return f"+OK {words[0]} sent DTMF {words[1]}.\n"


def uuid_recv_dtmf(switch: Switch, arguments: str) -> str:
    words = dialstring.separate(arguments, " ", 2)
    channel = switch.live(words[0]) if len(words) == 2 else None
    if channel is None:
        return _NO_SESSION
    for digit in words[1].partition("@")[0]:
        channel.callee.press(digit)
    return f"+OK {words[0]} received DTMF {words[1]}.\n"


async def uuid_record(switch: Switch, arguments: str) -> str:
    words = dialstring.separate(arguments, " ", 5)
    if len(words) < 3:
        return "-USAGE: <uuid> [start|stop|mask|unmask|pause|resume] <path> [<limit>] [<recording_vars>]\n"
    channel = switch.live(words[0])
    if channel is None:
        return _NO_SESSION
    path = words[2]
    while channel.stuck:
        await asyncio.sleep(0.005)
    if words[1] == "start":
        variables = words[4] if len(words) == 5 else ""
        return "+OK Success\n" if Recording.start(channel, path, variables) else "-ERR Cannot record session!\n"
    if words[1] in ("mask", "unmask"):
        if path not in channel.recordings:
            return f"-ERR Cannot {words[1]} recording session!\n"
        channel.recordings[path].masked = words[1] == "mask"
    if words[1] == "stop":
        wanted = list(channel.recordings) if path == "all" else [path]
        if not any(name in channel.recordings for name in wanted):
            return "-ERR Cannot stop record session!\n"
        for name in wanted:
            channel.recordings[name].stop()
    return "+OK Success\n"


def uuid_answer(switch: Switch, arguments: str) -> str:
    channel = switch.live(arguments.strip())
    if channel is None:
        return "-ERROR\n"
    channel.apps.on_answer()
    return "+OK\n"


def sched_hangup(switch: Switch, arguments: str) -> str:
    words = arguments.split()
    if len(words) < 2:
        return "-USAGE: [+]<time> <uuid> [<cause>]\n"
    channel = switch.live(words[1])
    if channel is None:
        return _NO_CHANNEL
    schedule_hangup(channel, words[0], causes.from_text(words[2]) if len(words) > 2 else "ALLOTTED_TIMEOUT")
    return "+OK\n"


def show(switch: Switch, arguments: str) -> str:
    words = arguments.lower().split()
    kind = words[0] if words else ""
    if kind in ("channels", "calls"):
        return table.render(kind, switch.table.rows(), words[1:])
    if kind in ("bridged_calls", "detailed_calls", "registrations", "tasks"):
        return table.render(kind, [], words[1:])
    return "-USAGE: channels|calls [count] [as json]\n"


def hupall(switch: Switch, arguments: str) -> str:
    words = arguments.split()
    cause = causes.from_text(words[0]) if words else "MANAGER_REQUEST"
    for channel in list(switch.channels.values()):
        if len(words) < 3 or channel.vars.get(words[1]) == words[2]:
            channel.hangup(cause)
    return f"+OK hangup all channels with cause {cause}\n"


HANDLERS: dict[str, Callable[[Switch, str], str | Awaitable[str]]] = {
    "originate": originate,
    "uuid_kill": uuid_kill,
    "uuid_exists": uuid_exists,
    "uuid_getvar": uuid_getvar,
    "uuid_setvar": uuid_setvar,
    "uuid_dump": uuid_dump,
    "uuid_break": uuid_break,
    "break": uuid_break,
    "uuid_bridge": uuid_bridge,
    "uuid_broadcast": uuid_broadcast,
    "uuid_send_dtmf": uuid_send_dtmf,
    "uuid_recv_dtmf": uuid_recv_dtmf,
    "uuid_record": uuid_record,
    "uuid_answer": uuid_answer,
    "sched_hangup": sched_hangup,
    "show": show,
    "hupall": hupall,
}
