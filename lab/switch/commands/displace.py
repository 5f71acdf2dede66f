"""uuid_displace (mod_commands)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from lab.switch import dialstring
from lab.switch.displace import Displace

if TYPE_CHECKING:
    from lab.switch.core import Switch


async def uuid_displace(switch: Switch, arguments: str) -> str:
    """Of flags it knows ``mf`` alone: without them it would be something else that is heard, and recorded."""
    words = dialstring.separate(arguments, " ", 5)
    if len(words) < 3 or words[1] not in ("start", "stop"):
        return "-USAGE: <uuid> [start|stop] <path> [<limit>] [mux]\n"
    channel = switch.live(words[0])
    if channel is None:
        return "-ERR Cannot locate session!\n"
    if words[1] == "start":
        if len(words) < 5 or set(words[4]) != {"m", "f"}:
            return "-ERR the laboratory mixes, and before recordings: mf\n"
        return "+OK Success\n" if await Displace.start(channel, words[2]) else "-ERR Cannot displace session!\n"
    if words[2] not in channel.displaced:
        return "-ERR Cannot stop displace session!\n"
    while channel.stuck:
        await asyncio.sleep(0.005)
    if words[2] in channel.displaced:
        channel.displaced[words[2]].stop()
    return "+OK Success\n"


HANDLERS: dict[str, Callable[[Switch, str], Awaitable[str]]] = {"uuid_displace": uuid_displace}
