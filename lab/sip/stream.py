"""SIP over TCP or TLS (RFC 3261 section 18): messages framed by Content-Length, answers on the connection they came by."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Iterator

from lab.sip.udp import Address, Receiver

_LENGTH = re.compile(rb"^(?:content-length|l)[ \t]*:[ \t]*([0-9]{1,7})[ \t]*$", re.IGNORECASE | re.MULTILINE)
#: Bytes; a peer that sends so much without one whole message speaks no SIP.
_MOST = 1 << 20


class Framer:
    """Cuts a stream into messages. Empty lines between them are keep-alives."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Each message that is whole by now.

        Errors: ValueError for what cannot be framed; nothing that follows on that connection can be read.
        """
        self._kept += data
        while True:
            self._kept = self._kept.lstrip(b"\r\n")
            head, blank, rest = self._kept.partition(b"\r\n\r\n")
            if len(self._kept) > _MOST:
                raise ValueError("more than 1 MiB without a whole message")
            if not blank:
                return
            found = _LENGTH.search(head.replace(b"\r\n", b"\n"))
            if found is None:
                raise ValueError("a message without Content-Length")
            length = int(found[1])
            if len(rest) < length:
                return
            yield head + blank + rest[:length]
            self._kept = rest[length:]


class StreamDoor:
    """Takes connections at host:port and hands over what comes as `receiver(data, peer, stamp_ns)`; stamps are this
    process' own. `tls` None: plain TCP.
    """

    def __init__(self, host: str, port: int, receiver: Receiver, tls: ssl.SSLContext | None = None) -> None:
        self._host, self._port, self._receiver, self._tls = host, port, receiver, tls
        self._writers: dict[Address, asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Errors: OSError when the port is taken."""
        self._server = await asyncio.start_server(self._serve, self._host, self._port, ssl=self._tls)

    def close(self) -> None:
        """The door and every connection."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers.values()):
            writer.close()

    def send(self, data: bytes, peer: Address) -> bool:
        """Whether there is a connection of that peer's; then it was written to it."""
        writer = self._writers.get(peer)
        if writer is None or writer.is_closing():
            return False
        writer.write(data)
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = writer.get_extra_info("peername")[:2]
        peer: Address = (host, port)
        self._writers[peer] = writer
        framer = Framer()
        try:
            while data := await reader.read(65536):
                for message in framer.feed(data):
                    self._receiver(message, peer, time.time_ns())
        except (ValueError, OSError, ssl.SSLError):
            pass  # it speaks no SIP, or is gone
        finally:
            self._writers.pop(peer, None)
            writer.close()
