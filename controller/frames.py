"""The event socket's bytes as frames and events; no input or output of its own, so gevent and asyncio share it.

A frame is a block of ``Name: value`` lines, an empty line, and ``Content-Length`` bytes of body (none: no body).
Source: FreeSWITCH mod_event_socket and the recorded traces. The stream is distrusted: lengths are bounded, a frame
that cannot be understood raises :class:`FrameError`, and no value can overwrite another header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

#: A decoded event: header -> text, or a list of texts where the switch sent an array; ``_body`` is the event's body.
Event: TypeAlias = dict[str, str | list[str]]

MAX_HEAD_BYTES = 65_536  # the head alone: the switch itself never sends more than about 2 kB
_LENGTH = re.compile(r"[0-9]{1,10}")
_ARRAY = "ARRAY::"


class FrameError(ValueError):
    """The bytes are no event socket frame. After it the connection cannot be trusted any more."""


class EventError(ValueError):
    """The body of a well-framed event cannot be decoded. That event is lost; the connection goes on."""


@dataclass(frozen=True, slots=True)
class Frame:
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
        self._searched = 0  # no empty line ends before this offset
        self._headers: dict[str, str] | None = None  # a head whose body is still to come
        self._need = 0  # bytes of that body
        self._dead: str | None = None

    @property
    def buffered(self) -> int:
        """Bytes of an unfinished frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take ``data`` in at once; iterate to get every frame it completes, FrameError after the last good one."""
        self._buffer += data
        return self._frames()

    def _frames(self) -> Iterator[Frame]:
        if self._dead is not None:
            raise FrameError(self._dead)
        while True:
            try:
                frame = self._next()
            except FrameError as error:
                self._dead = str(error)
                self._buffer.clear()
                raise
            if frame is None:
                return
            yield frame

    def _next(self) -> Frame | None:
        buffer = self._buffer
        if self._headers is None:
            start = 0
            while buffer.startswith(b"\n", start):  # stray empty lines between frames
                start += 1
            if start:
                del buffer[:start]
                self._searched = 0
            end = buffer.find(b"\n\n", self._searched)
            if (len(buffer) if end < 0 else end) > MAX_HEAD_BYTES:
                raise FrameError(f"a head of more than {MAX_HEAD_BYTES} bytes")
            if end < 0:
                self._searched = max(0, len(buffer) - 1)
                return None
            headers = _parse_head(buffer[:end].decode("utf-8", "replace"))
            self._need = _content_length(headers.get("Content-Length"), self._max)
            self._headers = headers
            self._searched = 0
            del buffer[: end + 2]
        if len(buffer) < self._need:
            return None
        headers, self._headers = self._headers, None
        body = bytes(buffer[: self._need])
        del buffer[: self._need]
        return Frame(headers, body)


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
        event: Any = _JSON.decode(body.decode("utf-8", "replace"))
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
