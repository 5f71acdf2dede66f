"""Hostile values, and a reader of the event socket that knows nothing of our builders and says what a stream holds."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

#: What ends a command, a header, a variable, a leg, a word or a text at the switch, in SIP, in HTTP or in a shell.
PAYLOADS = (
    "\n", "\r", "\r\n", "\n\n", "\r\n\r\n", "\x00", "\x0b", "\x0c", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u2029", "\u200b",
    "\ufeff", "\u202e", "\ud800", "\uff0c", "\uff5b", "\u0663", "\uff11", "\u00a0", "\u037e", "%0a%0a", "%0d%0a", "\\n\\n",
    "\\", "'", '"', "`", "{", "}", "}{", "[", "]", "<", ">", "(", ")", "|", ",", ";", ";;", ":", "::", "=", "==", "&", "&&",
    "#", "@", "?", "*", "/", "//", "../", "/../../etc/passwd", "~", "^^:", ":_:", "$", "${", "$${", "+", " ", "  ", "\t",
    "\n\napi system id\n\n", "\r\n\r\nbgapi system id\r\n\r\n", "\n\nbgapi originate {}sofia/gateway/x/1900 &park()\n\n",
    "}sofia/gateway/x/19005550123 &park()\n", ",api_on_answer='system id'", ",execute_on_answer='bgsystem id'",
    "},{api_hangup_hook=system}", "|sofia/gateway/x/19005550123", ",[leg_timeout=1]sofia/gateway/x/1", "<x=y>", "[x=y]",
    "${system(id)}", "$${base_dir}", "${lua(x)}", "\nevent-lock: false", "\nexecute-app-name: system", "\nJob-UUID: 0",
    "\nContent-Length: 99", "\r\nX-Injected: 1", "\r\nHost: 127.0.0.1\r\n\r\nGET / HTTP/1.1", " &system(id)", "' 'x",
    "exec:/bin/sh", "tone_stream://%(1,1,1)", "local_stream://moh", "{x=y}/file.wav", "silence_stream://-1", "&park()",
    "sip:1900@evil.example", ";transport=tcp", "?X-Header=1", "@127.0.0.1:5060", "tel:+1900", "all", "last", "-1", "w", "W",
)  # fmt: skip
_ALPHABETS = (
    "0123456789", "+0123456789*#", "abcdefghijklmnopqrstuvwxyz0123456789-", "{}[]<>|,;:'\"\\$^&=%\n\r\t ", "ABCDEFabcdef",
)  # fmt: skip


class Values:
    """Hostile texts from a seed: a good one with a payload in it, payloads alone, noise; sometimes the good one itself."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def near(self, good: str) -> str:
        """One made of ``good``."""
        draw, chance = self._random, self._random.random()
        if chance < 0.03:
            return good
        if chance < 0.80:
            text = good
            for _ in range(draw.choice((1, 1, 1, 2, 3))):
                at = draw.choice((0, len(text), draw.randint(0, len(text))))
                keep = draw.choice((at, min(len(text), at + 1)))
                text = text[:at] + draw.choice(PAYLOADS) + text[keep:]
            return text
        if chance < 0.92:
            return "".join(draw.choices(draw.choice(_ALPHABETS), k=draw.randint(0, 40)))
        if chance < 0.99:
            return "".join(draw.choices(PAYLOADS, k=draw.randint(1, 5)))
        return good + draw.choice(PAYLOADS) * draw.randint(1, 3000)

    def nested(self, good: str) -> object:
        """The same as JSON: alone, as a name, as a value, or deep in an object."""
        text = self.near(good)
        return self._random.choice((text, {text: 1}, {"a": text}, {"a": [{"b": text}]}, [text], {text: {text: [text]}}))


# --- what the socket received ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """What a command is made of, its values apart: words of its first line, its headers, and an originate's variables."""

    words: tuple[str, ...]
    headers: tuple[str, ...]
    variables: tuple[str, ...] = ()


class Unreadable(ValueError):
    """The stream is not made of commands; the text says what stands there."""


def frames(stream: bytes) -> Iterator[str]:
    """The commands as the switch takes them in: it reads lines, with or without CR, and an empty one ends a command."""
    lines: list[str] = []
    *whole, rest = re.split(rb"\r\n|\n|\r", stream)
    for line in whole:
        if line:
            lines.append(line.decode("latin-1"))
        elif lines:
            yield "\n".join(lines)
            lines = []
    if lines or rest:
        raise Unreadable(f"a command that does not end: {(lines or [rest.decode('latin-1')])[0][:80]!r}")


def shape(frame: str) -> Shape:
    """What the switch would make of it. Words that name what is done are kept, all others count only."""
    first, *rest = frame.split("\n")
    headers = []
    for line in rest:
        name, colon, _ = line.partition(":")
        if not colon or not name:
            raise Unreadable(f"no header: {line[:80]!r}")
        headers.append(name.lower())
    if any(not " " <= char <= "~" for char in first):
        raise Unreadable(f"not printable: {first[:80]!r}")
    if first.startswith("bgapi originate "):
        words, variables = _originate(first.removeprefix("bgapi originate "))
        return Shape(words, tuple(headers), variables)
    named = 2 if first.startswith(("api ", "bgapi ")) else 1
    words = tuple(word if place < named else "" for place, word in enumerate(first.split(" ")))
    return Shape(words, tuple(headers))


def _originate(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(words, names of variables) of ``{a=b,c='d e'}sofia/gateway/x/1 &park()``, read character by character."""
    if not text.startswith("{"):
        raise Unreadable("an originate without its block of variables")
    pieces, piece, quoted, end = [], "", False, 0
    for position, char in enumerate(text[1:], 1):
        if char == "'":
            quoted = not quoted
        if not quoted and char in "{[<":
            raise Unreadable(f"a block inside a block: {text[position : position + 40]!r}")
        if not quoted and char in ",}":
            pieces.append(piece)
            piece = ""
            if char == "}":
                end = position
                break
        else:
            piece += char
    if quoted or not end:
        raise Unreadable("a block of variables that does not end")
    target, *more = text[end + 1 :].split(" ")
    if re.fullmatch(r"sofia/gateway/[A-Za-z0-9_-]+/(?:(?:[0-9+*]|%23)+|[A-Za-z0-9._+-]+)", target) is None:
        raise Unreadable(f"not one leg to one gateway: {target[:80]!r}")
    if any("$" in piece or "\\" in piece or '"' in piece for piece in pieces):
        raise Unreadable("a value that the switch would expand")
    return ("bgapi", "originate", *more), tuple(piece.partition("=")[0] for piece in pieces)
