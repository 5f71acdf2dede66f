"""Agents' servers that do what no WebSocket library would let them do: raw TCP, a thread each, until the socket's end."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: s; whatever a hostile server does, so long after the last byte its thread ends.
_PATIENCE_S = 30.0
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Deed = Callable[[socket.socket], None]


def text(message: str) -> bytes:
    """A text message as a server sends it."""
    return frame(0x1, message.encode())


def frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    head = struct.pack("!BB", 0x80 | opcode, size) if size < 126 else struct.pack("!BBH", 0x80 | opcode, 126, size)
    return head + payload


READY = text('{"event":"ready"}')


@contextmanager
def raw_server(deed: Deed, *, shakes_hands: bool = True) -> Iterator[str]:
    """The address of a server that does ``deed`` with each connection, after the upgrade or instead of it."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(_PATIENCE_S)
            try:
                asked = _request(connection)
                if shakes_hands:
                    _upgrade(connection, asked)
                deed(connection)
            except OSError:
                return  # the relay had enough

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for thread in threads:
            thread.join()


def _request(connection: socket.socket) -> bytes:
    asked = b""
    while b"\r\n\r\n" not in asked:
        more = connection.recv(4096)
        if not more:
            raise OSError("closed")
        asked += more
    return asked


def _upgrade(connection: socket.socket, asked: bytes) -> None:
    key = re.search(rb"(?i)sec-websocket-key: *(\S+)", asked)
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1] + _MAGIC).digest())
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
    connection.sendall(b"\r\n".join([*lines, b"Sec-WebSocket-Accept: " + accept, b"", b""]))


def read_to_the_end(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


def say_nothing(connection: socket.socket) -> None:
    read_to_the_end(connection)


def never_read(connection: socket.socket) -> None:
    """Ready, and from then on deaf: until the relay has given up, which a write tells."""
    connection.sendall(READY)
    done = threading.Event()
    while not done.wait(0.05):
        connection.sendall(frame(0xA, b""))  # an unasked pong


def flood(piece: bytes) -> Deed:
    """``piece`` again and again, without reading."""
    block = piece * max(1, 60_000 // len(piece))

    def deed(connection: socket.socket) -> None:
        connection.sendall(READY)
        while True:
            connection.sendall(block)

    return deed


def send(*pieces: bytes) -> Deed:
    """These, then only read."""

    def deed(connection: socket.socket) -> None:
        connection.sendall(READY)
        for piece in pieces:
            connection.sendall(piece)
        read_to_the_end(connection)

    return deed


def endless_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n")
    while True:
        connection.sendall(b"X-More: and more\r\n" * 1000)


def die_in_mid_sentence(connection: socket.socket) -> None:
    connection.sendall(READY + frame(0x2, bytes(16_000)))
    threading.Event().wait(1.0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
