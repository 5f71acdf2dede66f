"""`lab ...`: what a real FreeSWITCH does not have. Faults, time, and the callee's ear.

lab heard <uuid> <file>          write what the callee heard lately: PCM16 at 8 kHz, .wav by its name
lab tone <uuid> <hz> [seconds]   the share of power at that frequency in what was heard lately, 0..1
lab press <uuid> <digits>        the callee presses keys
lab say <uuid> <speech>          silent | bursts | echo | tone:HZ | beeps:HZ | machine
lab fault <name> <value>         rates of lab/switch/faults.py; `lab fault clear`
lab ignore <command>             answer +OK to that command and do nothing; `lab ignore none`
lab swallow <n>                  the next n replies are not sent
lab cut                          reset every ESL connection
lab freeze <seconds>             the whole process stands still
lab crash                        the process is gone, nobody gets a BYE
lab gateway <name> up|down       without a word to the carrier
lab gateway add <name> <host:port>
lab deliver raw <event-name>     fire an event of that name with no channel
lab stats                        counters as JSON
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from lab.audio import pcm
from lab.switch.config import GatewayConfig

if TYPE_CHECKING:
    from lab.switch.core import Switch

_USAGE = f"-USAGE:\n{__doc__}"
_MAX_FREEZE_S = 60.0


def lab(switch: Switch, arguments: str) -> str:
    words = arguments.split()
    if not words:
        return _USAGE
    handler = _VERBS.get(words[0])
    if handler is None:
        return _USAGE
    try:
        return handler(switch, words[1:])
    except (IndexError, ValueError, OSError) as error:
        return f"-ERR {error}\n"


def _heard(switch: Switch, words: list[str]) -> str:
    channel = switch.channels.get(words[0])
    if channel is None:
        return "-ERR No such channel!\n"
    sound = channel.callee.heard
    if words[1].endswith(".wav"):
        pcm.write_wav(words[1], sound)
    else:
        with open(words[1], "wb") as file:
            file.write(sound)
    return f"+OK {len(sound) // 16} ms\n"


def _tone(switch: Switch, words: list[str]) -> str:
    channel = switch.channels.get(words[0])
    if channel is None:
        return "-ERR No such channel!\n"
    seconds = float(words[2]) if len(words) > 2 else 1.0
    sound = channel.callee.heard[-int(seconds * 8000) * 2 :]
    return f"+OK {pcm.goertzel(sound, float(words[1])):.3f}\n"


def _press(switch: Switch, words: list[str]) -> str:
    channel = switch.live(words[0])
    if channel is None:
        return "-ERR No such channel!\n"
    for digit in words[1]:
        channel.callee.press(digit)
    return "+OK\n"


def _keys(switch: Switch, words: list[str]) -> str:
    channel = switch.live(words[0])
    return "-ERR No such channel!\n" if channel is None else f"+OK {channel.callee.received}\n"


def _say(switch: Switch, words: list[str]) -> str:
    channel = switch.live(words[0])
    if channel is None:
        return "-ERR No such channel!\n"
    channel.callee.configure(f"speech={words[1]}")
    return "+OK\n"


def _fault(switch: Switch, words: list[str]) -> str:
    if words[0] == "clear":
        switch.faults.clear()
    else:
        switch.faults.set(words[0], float(words[1]))
    return "+OK\n"


def _ignore(switch: Switch, words: list[str]) -> str:
    if words[0] == "none":
        switch.faults.ignored.clear()
    else:
        switch.faults.ignored.add(words[0].lower())
    return "+OK\n"


def _swallow(switch: Switch, words: list[str]) -> str:
    # The reply to this very command must still go out, so the count starts after it.
    switch.loop.call_soon(setattr, switch.faults, "swallow_next", int(words[0]))
    return "+OK\n"


def _cut(switch: Switch, _words: list[str]) -> str:
    for connection in list(switch.connections):
        switch.loop.call_soon(connection.cut)
    return "+OK\n"


def _freeze(_switch: Switch, words: list[str]) -> str:
    time.sleep(min(float(words[0]), _MAX_FREEZE_S))
    return "+OK\n"


def _crash(switch: Switch, _words: list[str]) -> str:
    switch.crash()
    return ""


def _gateway(switch: Switch, words: list[str]) -> str:
    if words[0] == "add":
        host, _, port = words[2].rpartition(":")
        switch.sofia.add_gateway(GatewayConfig(words[1], host, int(port)))
        return "+OK\n"
    gateway = switch.sofia.gateways.get(words[0])
    if gateway is None:
        return "Invalid Gateway!\n"
    gateway.stop()  # the next ping would put it right
    gateway.set_up(words[1] == "up", 200 if words[1] == "up" else 503)
    return "+OK\n"


def _deliver(switch: Switch, words: list[str]) -> str:
    switch.bus.fire(words[1], list)
    return "+OK\n"


def _stats(switch: Switch, _words: list[str]) -> str:
    return (
        json.dumps(
            {
                "channels": len(switch.channels),
                "sessions": switch.session_counter,
                "events": switch.bus.sequence,
                "connections": len(switch.connections),
                "late_ticks": switch.media.late_ticks,
                "transactions": len(switch.sofia.transactions),
                "cdrs_posted": switch.cdrs.posted,
                "cdrs_spooled": switch.cdrs.spooled,
            }
        )
        + "\n"
    )


_VERBS: dict[str, Callable[[Switch, list[str]], str]] = {
    "heard": _heard,
    "tone": _tone,
    "press": _press,
    "keys": _keys,
    "say": _say,
    "fault": _fault,
    "ignore": _ignore,
    "swallow": _swallow,
    "cut": _cut,
    "freeze": _freeze,
    "crash": _crash,
    "gateway": _gateway,
    "deliver": _deliver,
    "stats": _stats,
}

HANDLERS: dict[str, Callable[[Switch, str], str | Awaitable[str]]] = {"lab": lab}
