"""HTTP/1.1 as far as a webhook needs it: one POST on a connection that is kept, and the beginning of the answer.

Small on purpose. A general client spends most of a POST's time on headers, redirects, cookies, pools and encodings that
have no meaning here (bench/webhooks.py). Nothing is followed or decoded, nothing kept of an answer but its status, its
``Retry-After`` and its first bytes; what is longer or not HTTP costs the connection. Deadlines are the caller's; the
socket's own bounds only one wait. But a peer that sends as fast as it is read lets nobody else run, so an answer has a most
in bytes, others get their turn between two reads, and the clock is looked at there too.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass

import gevent
from gevent.monkey import get_original

from jobs.webhook_address import Target

#: bytes; of an answer's head, and of its body, that are read.
MAX_HEAD_BYTES, MAX_BODY_BYTES = 32_768, 4096
#: bytes; of all that comes in answer to one request, provisional answers and trailers too. And how many of the former.
MAX_ANSWER_BYTES, MAX_PROVISIONAL = 40_960, 8
#: s; at most, for the connection alone, so that a dead address is seen before the whole deadline is gone.
CONNECT_S = 3.0
#: Receivers whose connections are kept.
KEPT_RECEIVERS = 256

#: The system's own: it is asked without waiting, and takes any file descriptor.
_poll = get_original("select", "poll")

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n]*)?")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_VALUE = re.compile(r"[^\x00-\x1f\x7f]*")
_VISIBLE = re.compile(r"[!-~]+")
_NAME = re.compile(r"[A-Za-z0-9-]+")


class BadAnswer(Exception):
    """What came is not HTTP/1.1, or the connection ended in the middle of it; the message says which."""


class Ended(BadAnswer):
    """The connection ended; whether in the middle of the answer depends on the answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer: its status, its headers by lower-case name, and the beginning of its body."""

    code: int
    headers: Mapping[str, str]
    body: bytes


def encode(target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    """The whole request. ``ValueError`` where a header could end itself: nothing of a receiver's may get there."""
    if _VISIBLE.fullmatch(target.path) is None or _VISIBLE.fullmatch(target.host_header) is None:
        raise ValueError("an address with characters that none may have")
    lines = [f"POST {target.path} HTTP/1.1", f"host: {target.host_header}", f"content-length: {len(body)}"]
    for name, value in headers.items():
        if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise ValueError("a header with characters that no header may have")
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + body


class _Connection:
    def __init__(self, target: Target, timeout_s: float, tls: ssl.SSLContext) -> None:
        sock = socket.create_connection((target.address, target.port), min(CONNECT_S, timeout_s))
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(timeout_s)
            if target.scheme == "https":
                # TLS speaks to the name, TCP to the address that was checked.
                sock = tls.wrap_socket(sock, server_hostname=target.host)
        except BaseException:
            sock.close()
            raise
        self._sock = sock
        self._timeout_s = timeout_s
        self._buffer = b""
        self._left = 0  # bytes that may still come
        self._deadline = 0.0  # monotonic s
        self.reusable = False

    def close(self) -> None:
        self._sock.close()

    def is_quiet(self) -> bool:
        """Whether it can be used again: a peer that has hung up, or talks unasked, is readable."""
        poll = _poll()
        poll.register(self._sock, select.POLLIN)
        return not poll.poll(0)

    def exchange(self, request: bytes) -> Reply:
        self.reusable = False
        self._left, self._deadline = MAX_ANSWER_BYTES, time.monotonic() + self._timeout_s
        self._sock.sendall(request)
        for _ in range(MAX_PROVISIONAL + 1):
            version, code, headers = self._head()
            if code >= 200:
                break  # what came before were provisional answers
        else:
            raise BadAnswer("provisional answers, and no end of them")
        body, whole = self._body(code, headers)
        closing = "close" in headers.get("connection", "").lower()
        self.reusable = whole and version == b"1" and not closing and not self._buffer
        return Reply(code, headers, body)

    def _more(self) -> None:
        if not self._left:
            raise BadAnswer("the answer is too long")
        if self._left < MAX_ANSWER_BYTES:
            gevent.sleep(0)
        if time.monotonic() > self._deadline:
            raise BadAnswer(f"no complete answer within {self._timeout_s:g} s")
        got = self._sock.recv(min(8192, self._left))
        if not got:
            raise Ended("the connection ended before the answer did")
        self._left -= len(got)
        self._buffer += got

    def _until(self, end: bytes, most: int) -> bytes:
        while (at := self._buffer.find(end)) < 0:
            if len(self._buffer) > most:
                raise BadAnswer("the answer's head is too long")
            self._more()
        found, self._buffer = self._buffer[:at], self._buffer[at + len(end) :]
        return found

    def _head(self) -> tuple[bytes, int, dict[str, str]]:
        first, *lines = self._until(b"\r\n\r\n", MAX_HEAD_BYTES).split(b"\r\n")
        status = _STATUS.fullmatch(first)
        if status is None:
            raise BadAnswer("the answer is not HTTP/1.1")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return status[1], int(status[2]), headers

    def _body(self, code: int, headers: Mapping[str, str]) -> tuple[bytes, bool]:
        """Its beginning, and whether that is all and its end is known."""
        if code in (204, 304):
            return b"", True
        if "transfer-encoding" in headers:
            return (
                self._chunks() if headers["transfer-encoding"].lower() == "chunked" else (self._take(MAX_BODY_BYTES), False)
            )
        length = headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            return self._take(MAX_BODY_BYTES), False
        size = int(length[:18])
        body = self._take(min(size, MAX_BODY_BYTES))
        if len(body) < min(size, MAX_BODY_BYTES):
            raise BadAnswer("the connection ended before the answer did")
        return body, size <= MAX_BODY_BYTES

    def _take(self, size: int) -> bytes:
        """So many bytes, or fewer where the connection ends."""
        while len(self._buffer) < size:
            try:
                self._more()
            except Ended:
                break
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _chunks(self) -> tuple[bytes, bool]:
        body = b""
        while True:
            head = _CHUNK.fullmatch(self._until(b"\r\n", 256))
            if head is None:
                raise BadAnswer("the answer's chunks are none")
            size = int(head[1], 16)
            if size == 0:
                while self._until(b"\r\n", MAX_HEAD_BYTES):
                    pass  # trailers
                return body, True
            body += self._take(min(size, MAX_BODY_BYTES - len(body)))
            if size > MAX_BODY_BYTES or len(body) >= MAX_BODY_BYTES:
                return body, False
            if self._until(b"\r\n", 16):
                raise BadAnswer("the answer's chunks are none")


_Key = tuple[str, str, int, str]


class Connections:
    """Connections that are kept, by receiver; at most ``kept`` of each. For one thread, or greenlets of one."""

    def __init__(self, *, timeout_s: float, kept: int, tls: ssl.SSLContext) -> None:
        self._timeout_s, self._kept, self._tls = timeout_s, kept, tls
        self._idle: OrderedDict[_Key, deque[_Connection]] = OrderedDict()

    def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Reply:
        """One POST. Errors: OSError, ssl.SSLError, :class:`BadAnswer`, ValueError; the connection is closed then."""
        request = encode(target, headers, body)
        key = (target.scheme, target.address, target.port, target.host)
        connection = self._quiet(key) or _Connection(target, self._timeout_s, self._tls)
        try:
            reply = connection.exchange(request)
        except BaseException:
            connection.close()
            raise
        self._keep(key, connection)
        return reply

    def close(self) -> None:
        while self._idle:
            _, connections = self._idle.popitem()
            for connection in connections:
                connection.close()

    def _quiet(self, key: _Key) -> _Connection | None:
        kept = self._idle.get(key)
        while kept:
            connection = kept.pop()
            if connection.is_quiet():
                return connection
            connection.close()
        return None

    def _keep(self, key: _Key, connection: _Connection) -> None:
        kept = self._idle.setdefault(key, deque())
        self._idle.move_to_end(key)
        if connection.reusable and len(kept) < self._kept:
            kept.append(connection)
        else:
            connection.close()
        if len(self._idle) > KEPT_RECEIVERS:
            _, oldest = self._idle.popitem(last=False)
            for one in oldest:
                one.close()
