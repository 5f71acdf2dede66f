"""A webhook receiver on loopback that does as it is told and remembers what it got."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def signed_by(self, secret: bytes) -> bool:
        """Standard Webhooks verification, written from its text and sharing nothing with the sender."""
        message = ".".join([self.headers["webhook-id"], self.headers["webhook-timestamp"], self.body.decode()])
        wanted = base64.b64encode(hmac.digest(secret, message.encode(), hashlib.sha256)).decode()
        offered = [part.split(",", 1) for part in self.headers["webhook-signature"].split()]
        fresh = abs(time.time() - int(self.headers["webhook-timestamp"])) < 300
        return fresh and any(version == "v1" and hmac.compare_digest(value, wanted) for version, value in offered)


class Receiver:
    """``behave``, when given, decides each answer's status by the request; ``None`` means: hang until the sender leaves."""

    def __init__(
        self,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"ok",
        behave: Callable[[Got], int | None] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[Got] = []
        self.connections = self.in_flight = self.peak = self.sent = self.cut_off = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._behave = behave or (lambda _got: status)
        self._headers, self._body = dict(headers or {}), body
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # cut connections are part of the game
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait_for(self, met: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Whether ``met`` comes true in time."""
        until = time.monotonic() + seconds
        while not met():
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    def got(self, webhook_type: str | None = None) -> list[Got]:
        return [one for one in self.requests if webhook_type is None or one.json["type"] == webhook_type]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                with receiver._lock:
                    receiver.connections += 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                got = Got(self.path, headers, body, time.monotonic())
                with receiver._lock:
                    receiver.requests.append(got)
                    receiver.in_flight += 1
                    receiver.peak = max(receiver.peak, receiver.in_flight)
                try:
                    self._answer(receiver._behave(got))
                finally:
                    with receiver._lock:
                        receiver.in_flight -= 1

            def _answer(self, status: int | None) -> None:
                if status is None:
                    while not receiver._ended.is_set() and not self._hung_up():
                        pass
                    self.close_connection = True
                    return
                body = b"" if status == 204 else receiver._body
                self.send_response(status)
                for name, value in receiver._headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    for start in range(0, len(body), 65_536):
                        self.wfile.write(body[start : start + 65_536])
                        receiver.sent += len(body[start : start + 65_536])
                except OSError:
                    receiver.cut_off += 1
                    self.close_connection = True
                    with contextlib.suppress(OSError):
                        self.connection.close()

            def _hung_up(self) -> bool:
                readable, _, _ = select.select([self.connection], [], [], 0.02)
                return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

            def log_message(self, *_: object) -> None:
                """Silent: the test asks for what came."""

        return Handler
