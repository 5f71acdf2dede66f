"""The event socket's bytes as frames and events; no input or output of its own, so gevent and asyncio share it.

A frame is a block of ``Name: value`` lines, an empty line, and ``Content-Length`` bytes of body (none: no body).
Source: FreeSWITCH mod_event_socket and the recorded traces. The stream is distrusted: lengths are bounded, a frame
that cannot be understood raises :class:`FrameError`, and no value can overwrite another header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

#: A decoded event: header -> text, or a list of texts where the switch sent an array; ``_body`` is the event's body.
Event: TypeAlias = dict[str, str | list[str]]

MAX_HEAD_BYTES = 65_536  # the head alone: the switch itself never sends more than about 2 kB
_LENGTH = re.compile(r"[0-9]{1,10}")
# How the switch heads every event: read at once, as the general way would.
_USUAL_HEAD = re.compile(rb"Content-Length: ([0-9]{1,10})\nContent-Type: (text/event-(?:json|plain))\n\n")
_ARRAY = "ARRAY::"


class FrameError(ValueError):
    """The bytes are no event socket frame. After it the connection cannot be trusted any more."""


class EventError(ValueError):
    """The body of a well-framed event cannot be decoded. That event is lost; the connection goes on."""


class Frame(NamedTuple):
    """One frame: ``headers`` of the frame itself (not of the event inside) and its ``body``, bytes as they came."""

    headers: dict[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers["Content-Type"]

    @property
    def is_reply(self) -> bool:
        """Whether it answers a command (answers come in the order of the commands)."""
        return self.content_type in ("api/response", "command/reply")

    @property
    def is_event(self) -> bool:
        return self.content_type.startswith("text/event-")

    def text(self) -> str:
        """What the switch says in it: the Reply-Text of a command's reply, else the body, stripped."""
        if self.content_type == "command/reply":
            return self.headers.get("Reply-Text", "")
        return self.body.decode("utf-8", "replace").strip()

    def event(self) -> Event:
        """The event inside. Raises EventError when the frame holds none that can be decoded."""
        kind = self.content_type
        if kind == "text/event-json":
            return parse_json(self.body)
        if kind == "text/event-plain":
            return parse_plain(self.body)
        raise EventError(f"a {kind!r} frame holds no event")


class FrameParser:
    """Bytes in, frames out, however the bytes are cut. One parser per connection; after FrameError it stays dead.

    ``max_frame_bytes`` bounds one body (settings.esl_max_frame_bytes).
    """

    def __init__(self, max_frame_bytes: int) -> None:
        if max_frame_bytes < 1:
            raise ValueError(f"max_frame_bytes: give at least 1, not {max_frame_bytes}")
        self._max = max_frame_bytes
        self._buffer = bytearray()
        self._at = 0  # everything before this offset is done with
        self._searched = 0  # no head ends before this offset
        self._headers: dict[str, str] | None = None  # a head whose body is still to come
        self._need = 0  # bytes of that body
        self._dead: str | None = None

    @property
    def buffered(self) -> int:
        """Bytes of an unfinished frame."""
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take ``data`` in at once; iterate to get every frame it completes, FrameError after the last good one."""
        if self._at:
            del self._buffer[: self._at]
            self._searched = max(0, self._searched - self._at)
            self._at = 0
        self._buffer += data
        return self._frames()

    def _frames(self) -> Iterator[Frame]:
        if self._dead is not None:
            raise FrameError(self._dead)
        while True:
            try:
                if self._headers is None and not self._read_head():
                    return
            except FrameError as error:
                self._dead = str(error)
                self._buffer.clear()
                self._at = 0
                raise
            end = self._at + self._need
            if len(self._buffer) < end:
                return
            frame = Frame(self._headers or {}, bytes(self._buffer[self._at : end]))
            self._headers = None
            self._at = self._searched = end
            yield frame

    def _read_head(self) -> bool:
        """Whether a whole head is there; it then waits for its body."""
        buffer = self._buffer
        usual = _USUAL_HEAD.match(buffer, self._at)
        if usual is not None:
            length = usual[1].decode()
            headers = {"Content-Length": length, "Content-Type": usual[2].decode()}
            end = usual.end()
        else:
            while buffer.startswith(b"\n", self._at):  # stray empty lines between frames
                self._at += 1
            found = buffer.find(b"\n\n", max(self._at, self._searched))
            if (len(buffer) if found < 0 else found) - self._at > MAX_HEAD_BYTES:
                raise FrameError(f"a head of more than {MAX_HEAD_BYTES} bytes")
            if found < 0:
                self._searched = max(self._at, len(buffer) - 1)
                return False
            headers = _parse_head(buffer[self._at : found].decode("utf-8", "replace"))
            end = found + 2
        self._need = _content_length(headers.get("Content-Length"), self._max)
        self._headers = headers
        self._at = end
        return True


def _parse_head(head: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in head.split("\n"):
        name, colon, value = line.partition(":")
        if not colon:
            raise FrameError(f"a line without a colon in a head: {line[:80]!r}")
        if name in headers:
            if name in ("Content-Length", "Content-Type"):
                raise FrameError(f"{name} stands twice in a head")
            continue  # the first stays: no later line overwrites a header
        headers[name] = value.strip()
    if not headers.get("Content-Type"):
        raise FrameError("a head without Content-Type")
    return headers


def _content_length(value: str | None, limit: int) -> int:
    if value is None:
        return 0
    if _LENGTH.fullmatch(value) is None:
        raise FrameError(f"Content-Length is not a length: {value[:40]!r}")
    length = int(value)
    if length > limit:
        raise FrameError(f"Content-Length {length} is over the limit of {limit} bytes")
    return length


# Raw control characters in a string are tolerated: the values are what strangers sent.
_JSON = json.JSONDecoder(strict=False)


def parse_json(body: bytes) -> Event:
    """The event in a ``text/event-json`` body: a flat object of strings and lists of strings; else EventError.

    Bytes that are no UTF-8 become U+FFFD: values are what strangers sent, and one bad byte must not cost an event.
    """
    try:
        text = body.decode("utf-8", "replace").strip()
        event: Any
        event, end = _JSON.raw_decode(text)
        if end != len(text):
            raise EventError(f"an event with {len(text) - end} characters after its JSON")
    except EventError:
        raise
    except (ValueError, RecursionError) as error:
        raise EventError(f"an event that is no JSON: {error}") from None
    if not isinstance(event, dict):
        raise EventError(f"an event that is a JSON {type(event).__name__}, not an object")
    return event


def parse_plain(body: bytes) -> Event:
    """The event in a ``text/event-plain`` body, or in the text of ``uuid_dump``.

    Lines are split first and each value is decoded alone, so an encoded newline stays inside its value. The first of
    two equal names stays. ``_body`` is cut by the inner ``Content-Length``; EventError when that is no length.
    """
    head, _, rest = body.partition(b"\n\n")
    event: Event = {}
    for line in head.split(b"\n"):
        name, colon, raw = line.partition(b":")
        key = name.decode("utf-8", "replace")
        if not colon or key in event:
            continue
        value = raw[1:] if raw.startswith(b" ") else raw
        text = (unquote_to_bytes(value) if b"%" in value else value).decode("utf-8", "replace")
        event[key] = text[len(_ARRAY) :].split("|:") if text.startswith(_ARRAY) else text
    length = text_of(event, "Content-Length")
    if length is not None:
        if _LENGTH.fullmatch(length) is None or int(length) > len(rest):
            raise EventError(f"an event whose inner Content-Length is {length[:40]!r}, with {len(rest)} bytes left")
        event["_body"] = rest[: int(length)].decode("utf-8", "replace")
    return event


def text_of(event: Event, name: str) -> str | None:
    """The header as text; None when it is absent, empty, or no text (an array, or nonsense from a broken switch)."""
    value = event.get(name)
    return value if isinstance(value, str) and value else None
