"""A UDP socket on the event loop that hands over the kernel's receive time of each datagram."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
import time
from collections.abc import Callable

Address = tuple[str, int]
Receiver = Callable[[bytes, Address, int], None]

# Linux numbers; the socket module names neither of them.
_SO_TIMESTAMPNS = 35
_LINUX = sys.platform == "linux"
_TIMESPEC = struct.Struct("@qq")
_BURST = 256


class UdpEndpoint:
    """Receives as `receiver(data, (host, port), stamp_ns)`; stamps are CLOCK_REALTIME nanoseconds.

    `kernel_stamps` says whether the stamp was taken by the kernel on arrival (Linux) or by this process.
    """

    def __init__(self, host: str, port: int, receiver: Receiver) -> None:
        self._receiver = receiver
        self._loop: asyncio.AbstractEventLoop | None = None
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        # A burst of hundreds of INVITEs must wait in the kernel, not be lost: loss would look like silence.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
        self.kernel_stamps = False
        if _LINUX:
            self.sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self.kernel_stamps = True
        self.sock.bind((host, port))
        self.address: Address = self.sock.getsockname()

    def start(self) -> None:
        """Begin receiving on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.sock.fileno(), self._readable)

    def close(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self.sock.fileno())
            self._loop = None
        self.sock.close()

    def send(self, data: bytes, address: Address) -> None:
        """Send or lose: UDP's own promise. A refused port surfaces as silence, as on a real network."""
        with contextlib.suppress(BlockingIOError, ConnectionError, OSError):
            self.sock.sendto(data, address)

    def _readable(self) -> None:
        for _ in range(_BURST):
            try:
                data, ancillary, _flags, address = self.sock.recvmsg(65535, 64)
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue  # an ICMP error of an earlier send
            stamp = 0
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(payload) >= _TIMESPEC.size:
                    seconds, nanos = _TIMESPEC.unpack_from(payload)
                    stamp = seconds * 1_000_000_000 + nanos
            self._receiver(data, address, stamp or time.time_ns())
            if self._loop is None:
                return
