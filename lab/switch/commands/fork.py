"""uuid_audio_fork, with the two ways it takes the whole process down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lab.switch import dialstring
from lab.switch.audio_fork import AudioFork

if TYPE_CHECKING:
    from lab.switch.channel import Channel
    from lab.switch.core import Switch

_FAILED = "-ERR Operation Failed\n"
_USAGE = (
    "-USAGE: <uuid> [start | stop | send_text | pause | resume | graceful-shutdown ] [wss-url | path] "
    "[mono | mixed | stereo] [8000 | 16000 | 24000 | 32000 | 64000] [bugname] [metadata]\n"
)
_DEFAULT_BUG = "audio_fork"


def uuid_audio_fork(switch: Switch, arguments: str) -> str:
    words = dialstring.separate(arguments, " ", 7)
    if len(words) < 2 or (words[1] == "start" and len(words) < 4):
        return _USAGE
    channel = switch.live(words[0])
    if channel is None:
        return _FAILED
    verb = words[1].lower()
    if verb == "start":
        return _start(switch, channel, words)
    name, text = _name_and_text(words)
    fork = channel.forks.get(name)
    if fork is None:
        return _FAILED
    if verb == "stop":
        fork.close(text)
    elif verb == "send_text":
        if text:
            fork.send_text(text)
    elif verb in ("pause", "resume"):
        fork.paused = verb == "pause"
    elif verb == "graceful-shutdown":
        fork.close()
    else:
        return _FAILED
    return "+OK Success\n"


def _is_json(word: str) -> bool:
    return word[:1] in ("{", "[")


def _name_and_text(words: list[str]) -> tuple[str, str]:
    """`stop [bugname] [text]`: one argument alone is the text only when it looks like JSON."""
    if len(words) > 3:
        return words[2], words[3]
    if len(words) > 2:
        return (_DEFAULT_BUG, words[2]) if _is_json(words[2]) else (words[2], "")
    return _DEFAULT_BUG, ""


def _start(switch: Switch, channel: Channel, words: list[str]) -> str:
    name, metadata = _DEFAULT_BUG, ""
    if len(words) > 6:
        name, metadata = words[5], words[6]
    elif len(words) > 5:
        if _is_json(words[5]):
            metadata = words[5]
        else:
            name = words[5]
    if words[3] not in ("mono", "mixed", "stereo"):
        return _FAILED
    if len(words) < 5 or (name not in channel.forks and not channel.has_media):
        # No sample rate: strcmp(NULL). No codec yet: a NULL implementation. Both kill the real process.
        switch.crash()
        return ""
    rate = {"8k": 8000, "16k": 16000}.get(words[4], int(words[4]) if words[4].isdigit() else 0)
    if name in channel.forks:
        return _FAILED
    if urlsplit(words[2]).scheme not in ("ws", "wss", "http", "https") or rate <= 0 or rate % 8000:
        return "+OK Success\n"  # it logs an error, and says this all the same
    AudioFork(
        channel,
        name,
        words[2].replace("http", "ws", 1) if words[2].startswith("http") else words[2],
        words[3],
        rate,
        metadata,
    ).start()
    return "+OK Success\n"


HANDLERS: dict[str, Callable[[Switch, str], str | Awaitable[str]]] = {"uuid_audio_fork": uuid_audio_fork}
