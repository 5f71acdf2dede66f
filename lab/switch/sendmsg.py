"""`sendmsg <uuid>`: a private event for one channel (switch_ivr_parse_event)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.switch import causes

if TYPE_CHECKING:
    from lab.switch.core import Switch

_TRUE = {"true", "yes", "on", "enable", "enabled", "active", "allow", "t", "1"}


def is_true(text: str) -> bool:
    """switch_true: the words FreeSWITCH takes for yes, and any number but 0."""
    return text.lower() in _TRUE or (text.lstrip("-").isdigit() and int(text) != 0)


def handle(switch: Switch, target: str, headers: dict[str, str], body: str) -> str:
    """The Reply-Text. The command itself runs when the channel's own thread takes it up (within 20 ms)."""
    channel_uuid = target or headers.get("session-id", "")
    channel = switch.live(channel_uuid)
    if channel is None:
        return f"-ERR invalid session id [{channel_uuid}]"
    command = headers.get("call-command", "")
    if switch.faults.ignore_command("sendmsg"):
        return "+OK"
    if command == "execute":
        name = headers.get("execute-app-name", "")
        if name:
            argument = headers.get("execute-app-arg") or body
            loops = headers.get("loops", "1")
            channel.apps.queue(
                name,
                argument,
                headers.get("event-uuid", ""),
                locked=is_true(headers.get("event-lock", "")),
                loops=int(loops) if loops.lstrip("-").isdigit() else 1,
            )
    elif command == "hangup":
        cause = causes.from_text(headers.get("hangup-cause", ""))
        switch.loop.call_soon(channel.hangup, cause)
    elif command == "nomedia":
        return "+OK"
    return "+OK"
