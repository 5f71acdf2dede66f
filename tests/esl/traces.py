"""The recorded conversations with a real switch, as bytes (tests/contract/traces)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from controller.frames import Event, FrameParser

FOLDER = Path(__file__).parent.parent / "contract" / "traces"
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))
_BLOCK = re.compile(rb"(?m)^(?=(?:>>>|<<<) [0-9.]+$)")
_LENGTH = re.compile(rb"(?m)^Content-Length: ([0-9]+)$")


def said(name: str) -> Iterator[bytes]:
    """Each frame the switch sent, byte for byte.

    Paths in the recordings were normalised after the fact, so where a length does not fit its text, it is made to.
    """
    for block in _BLOCK.split((FOLDER / f"{name}.txt").read_bytes()):
        data = block.partition(b"\n")[2]
        if not block.startswith(b"<<<") or data.startswith(b"[connection closed]"):
            continue
        head, _, body = data.partition(b"\n\n")
        length = _LENGTH.search(head)
        if length is None:
            yield head + b"\n\n"
            continue
        size = int(length[1])
        if len(body) - size not in (1, 2):
            inner = _LENGTH.search(body)
            fitted = body[:-1]
            if inner is not None:
                text = fitted.partition(b"\n\n")[2]
                fitted = fitted[: inner.start(1)] + b"%d" % len(text) + fitted[inner.end(1) :]
            head, body, size = head[: length.start(1)] + b"%d" % len(fitted) + head[length.end(1) :], fitted, len(fitted)
        yield head + b"\n\n" + body[:size]


def events(name: str) -> list[Event]:
    """Every event of a recording."""
    parser = FrameParser(1 << 20)
    return [frame.event() for data in said(name) for frame in parser.feed(data) if frame.is_event]
