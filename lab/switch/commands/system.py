"""status, fsctl, hash and other commands about the switch itself."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from lab.switch import dialstring

if TYPE_CHECKING:
    from lab.switch.core import Switch

_RELEASE = "1.10.12-release git cc93a68 2026-08-21 14:10:14Z 64bit"
_HASH_USAGE = "-ERR Usage: hash [insert|insert_ifempty|delete|delete_ifmatch|select]/<realm>/<key>/<value>\n"


def status(switch: Switch, _arguments: str) -> str:
    count, peak = len(switch.channels), switch.session_peak
    return (
        f"UP {switch.uptime_text()}\nFreeSWITCH (Version {_RELEASE}) is ready\n"
        f"{switch.session_counter} session(s) since startup\n{count} session(s) - peak {peak}, last 5min {peak} \n"
        f"{switch.sps_last} session(s) per Sec out of max {switch.sps_total}, peak {switch.sps_peak}, "
        f"last 5min {switch.sps_peak} \n{switch.max_sessions} session(s) max\n"
        "min idle cpu 0.00/98.50\nCurrent Stack Size/Max 240K/8192K\n"
    )


def json_api(switch: Switch, arguments: str) -> str:
    try:
        request = json.loads(arguments)
        command = request["command"]
    except (ValueError, KeyError, TypeError):
        return json.dumps({"status": "error", "message": "Invalid request"}, separators=(",", ":"))
    if command != "status":
        return json.dumps({**request, "status": "error", "message": "Invalid method"}, separators=(",", ":"))
    names = ("years", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds")
    peak = switch.session_peak
    response = {
        "systemStatus": "ready",
        "uptime": dict(zip(names, switch.uptime(), strict=True)),
        "version": _RELEASE,
        "sessions": {
            "count": {
                "total": switch.session_counter,
                "active": len(switch.channels),
                "peak": peak,
                "peak5Min": peak,
                "limit": switch.max_sessions,
            },
            "rate": {
                "current": switch.sps_last,
                "max": switch.sps_total,
                "peak": switch.sps_peak,
                "peak5Min": switch.sps_peak,
            },
        },
        "idleCPU": {"used": 0, "allowed": 98.5},
        "stackSizeKB": {"current": 240, "max": 8192},
    }
    return json.dumps({**request, "status": "success", "response": response}, separators=(",", ":")) + "\n"


def fsctl(switch: Switch, arguments: str) -> str:
    words = arguments.split()
    verb = words[0].lower() if words else ""
    number = int(words[1]) if len(words) > 1 and words[1].isdigit() else None
    if verb == "sps":
        if number is not None:
            switch.sps_total = number
        return f"+OK sessions per second: {switch.sps_total}\n"
    if verb == "max_sessions":
        if number is not None:
            switch.max_sessions = number
        return f"+OK max sessions: {switch.max_sessions}\n"
    if verb in ("pause", "resume"):
        which = words[1].lower() if len(words) > 1 else "all"
        if which != "outbound":
            switch.paused_inbound = verb == "pause"
        if which != "inbound":
            switch.paused_outbound = verb == "pause"
        return "+OK\n"
    if verb == "pause_check":
        return "true" if switch.paused_outbound and switch.paused_inbound else "false"
    if verb == "ready_check":
        return "true"
    if verb == "hupall":
        for channel in list(switch.channels.values()):
            channel.hangup("MANAGER_REQUEST")
        return "+OK\n"
    if verb == "crash":
        switch.crash()
        return ""
    return "-USAGE: [sps <n>|max_sessions <n>|pause [inbound|outbound]|resume [inbound|outbound]|hupall|crash]\n"


def hash_api(switch: Switch, arguments: str) -> str:
    words = dialstring.separate(arguments, "/", 4)
    if len(words) < 3:
        return _HASH_USAGE
    verb, key = words[0].lower(), f"{words[1]}_{words[2]}"
    if verb == "select":
        return switch.hash.get(key, "")
    if verb in ("insert", "insert_ifempty") and len(words) == 4:
        if verb == "insert_ifempty" and key in switch.hash:
            return "-ERR key already exists\n"
        switch.hash[key] = words[3]
        return "+OK\n"
    if verb == "delete" or (verb == "delete_ifmatch" and len(words) == 4):
        if key not in switch.hash:
            return "-ERR Not found\n"
        if verb == "delete_ifmatch" and switch.hash[key] != words[3]:
            return "-ERR Doesn't match\n"
        del switch.hash[key]
        return "+OK\n"
    return _HASH_USAGE


def hash_dump(switch: Switch, arguments: str) -> str:
    if arguments.split()[:1] not in (["all"], ["db"], ["limit"]):
        return "-ERR Usage: hash_dump all|limit|db [<realm>]\n"
    return "".join(f"D/{key}/{value}\n" for key, value in switch.hash.items())


def global_getvar(switch: Switch, arguments: str) -> str:
    name = arguments.strip()
    if not name:
        return "".join(f"{key}={value}\n" for key, value in switch.globals.items())
    return switch.globals.get(name, "")


def global_setvar(switch: Switch, arguments: str) -> str:
    name, _, value = arguments.strip().partition("=")
    switch.globals[name] = value
    return "+OK"


def uptime(switch: Switch, arguments: str) -> str:
    scale = {"ms": 1000, "us": 1_000_000}.get(arguments.strip(), 1)
    return f"{int((time.monotonic() - switch.started) * scale)}\n"


def version(_switch: Switch, arguments: str) -> str:
    if arguments.strip() == "short":
        return "1.10.12-release\n"
    return (
        "FreeSWITCH Version 1.10.12-release+git~20260821T141014Z~cc93a683ca~64bit (git cc93a68 2026-08-21 14:10:14Z 64bit)\n"
    )


def hostname(switch: Switch, _arguments: str) -> str:
    return switch.config.hostname


HANDLERS: dict[str, Callable[[Switch, str], str | Awaitable[str]]] = {
    "status": status,
    "json": json_api,
    "fsctl": fsctl,
    "hash": hash_api,
    "hash_dump": hash_dump,
    "global_getvar": global_getvar,
    "global_setvar": global_setvar,
    "uptime": uptime,
    "version": version,
    "reloadxml": lambda _switch, _arguments: "+OK [Success]\n",
    "echo": lambda _switch, arguments: arguments,
    "create_uuid": lambda _switch, _arguments: str(uuid.uuid4()),
    "hostname": hostname,
}
