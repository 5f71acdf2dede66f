"""WebSockets of many calls in one process for as little CPU as can be: what is measured is whoever is at the other end.

A process writes down which numbered frames of 20 ms came and how old they were: SIGUSR1 begins a window, SIGUSR2 ends it
and prints what came in it as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from array import array
from typing import cast

from websockets.utils import apply_mask

from lab.audio import pcm

BINARY, TEXT, CLOSE, PING, PONG = 2, 1, 8, 9, 10


class Frames:
    """Cuts a byte stream into (opcode, payload); nobody here sends fragments."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        rest, found, at = self._rest, [], 0
        rest += data
        while len(rest) - at >= 2:
            size, head = rest[at + 1] & 0x7F, 2
            if size >= 126:
                more = 2 if size == 126 else 8
                if len(rest) - at < 2 + more:
                    break
                size, head = int.from_bytes(rest[at + 2 : at + 2 + more], "big"), 2 + more
            masked = rest[at + 1] & 0x80
            begin = at + head + (4 if masked else 0)
            if len(rest) < begin + size:
                break
            payload = bytes(rest[begin : begin + size])
            if masked and (mask := bytes(rest[begin - 4 : begin])) != b"\0\0\0\0":
                payload = apply_mask(payload, mask)
            found.append((rest[at] & 0x0F, payload))
            at = begin + size
        del rest[:at]
        return found


def frame(opcode: int, payload: bytes, *, masked: bool = False) -> bytes:
    """As it goes onto the wire; a mask of noughts is a legal one, and cheap."""
    bit = 0x80 if masked else 0
    size = bytes((bit | len(payload),)) if len(payload) < 126 else bytes((bit | 126,)) + len(payload).to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + size + (b"\0\0\0\0" if masked else b"") + payload


class Watch:
    """What came in a window, of all sockets of the process."""

    def __init__(self) -> None:
        self._on = False
        self._ages = array("q")  # ns
        self._missing = 0
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._begin)
        loop.add_signal_handler(signal.SIGUSR2, self._end)

    def _begin(self) -> None:
        self._on, self._missing = True, 0
        del self._ages[:]

    def _end(self) -> None:
        self._on = False
        ages = sorted(self._ages)
        told = {"frames": len(ages), "missing": self._missing}
        for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            told[f"{name}_us"] = ages[min(len(ages) - 1, int(part * len(ages)))] // 1000 if ages else -1
        print(json.dumps(told), flush=True)

    def came(self, payload: bytes, before: int) -> int:
        """A frame that was stamped by :func:`lab.audio.pcm.stamped`; ``before``: the number of the one before, -1: none.
        Returns its number.
        """
        found = pcm.stamp_of(payload)
        if found is None:
            return before
        number, at = found
        if self._on:
            self._ages.append(time.monotonic_ns() - at)
            if before >= 0:
                self._missing += number - before - 1
        return number


def transport_of(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """uvloop's own kind is one too, though no subclass."""
    return cast(asyncio.Transport, transport)
