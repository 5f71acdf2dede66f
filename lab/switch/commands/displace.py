"""uuid_displace (mod_commands)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lab.switch import dialstring
from lab.switch.displace import Displace

if TYPE_CHECKING:
    from lab.switch.core import Switch


def uuid_displace(switch: Switch, arguments: str) -> str:
    words = dialstring.separate(arguments, " ", 5)
    if len(words) < 3 or words[1] not in ("start", "stop"):
        return "-USAGE: <uuid> [start|stop] <path> [<limit>] [mux]\n"
    channel = switch.live(words[0])
    if channel is None:
        return "-ERR Cannot locate session!\n"
    if words[1] == "start":
        return "+OK Success\n" if Displace.start(channel, words[2]) else "-ERR Cannot displace session!\n"
    if words[2] not in channel.displaced:
        return "-ERR Cannot stop displace session!\n"
    channel.displaced[words[2]].stop()
    return "+OK Success\n"


HANDLERS: dict[str, Callable[[Switch, str], str]] = {"uuid_displace": uuid_displace}
