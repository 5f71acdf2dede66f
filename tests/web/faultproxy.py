"""A proxy that loses what passes through it, as told: before the server has heard of it, or after it has answered."""

from __future__ import annotations

import http.client
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Nothing of it reached the server.
UNHEARD = ("refused", "bad_gateway_unheard", "too_many")
#: The server has done what was asked, and the answer is lost.
LOST = ("swallowed", "half", "reset", "bad_gateway", "gateway_timeout", "silence")
#: s; a proxy that is silent is so until the client has given it up; no client of a test waits so long.
SILENT_S = 30.0


class Proxy(ThreadingHTTPServer):
    """``faults``: what happens to each request, in turn; afterwards all pass."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = port
        self.faults: deque[str] = deque()
        self.passed = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """A proxy before the server at ``port``."""
    with Proxy(port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.faults.popleft() if self.server.faults else "none"
        if fault == "refused":
            return self._cut()
        if fault == "bad_gateway_unheard":
            return self._answer(502, {"Content-Type": "text/html"}, b"<h1>502</h1>")
        if fault == "too_many":
            return self._answer(429, {"Retry-After": "0", "Content-Type": "text/html"}, b"<h1>429</h1>")
        status, headers, answer = self._forward(body)
        if fault == "swallowed":
            return self._cut()
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return self._cut()
        if fault == "half":
            self._answer(status, headers, answer, sent=len(answer) // 2)
            return self._cut()
        if fault in ("bad_gateway", "gateway_timeout"):
            return self._answer(502 if fault == "bad_gateway" else 504, {"Content-Type": "text/html"}, b"<h1>no</h1>")
        if fault == "silence":
            select.select([self.connection], [], [], SILENT_S)
            return self._cut()
        return self._answer(status, headers, answer)

    do_GET = do_POST = do_DELETE = _serve

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=20)
        upstream.request(self.command, self.path, body or None, dict(self.headers.items()))
        answer = upstream.getresponse()
        read = answer.read()
        upstream.close()
        self.server.passed += 1
        return answer.status, dict(answer.getheaders()), read

    def _answer(self, status: int, headers: dict[str, str], body: bytes, sent: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if sent is None else body[:sent])
        self.wfile.flush()

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.close()

    def finish(self) -> None:
        with suppress(OSError):  # cut on purpose
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        pass
