"""A switch by script: real TCP on loopback, and every answer, silence or nonsense a test wants."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress

import gevent
import gevent.socket
from gevent.server import StreamServer

from settings import Settings

CORE = "1142e8e8-df76-4288-91f5-9c9ddd72d6f0"
PASSWORD = "open-sesame"


class Peer:
    """One accepted connection, from the switch's side."""

    def __init__(self, sock: gevent.socket.socket) -> None:
        self.sock = sock
        self.got: list[str] = []  # every command, as read
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read(self) -> str | None:
        """The next command without its empty line; None at the end of the connection."""
        while b"\n\n" not in self._buffer:
            try:
                data = self.sock.recv(65536)
            except OSError:
                return None
            if not data:
                return None
            self._buffer += data
        command, _, self._buffer = self._buffer.partition(b"\n\n")
        self.got.append(command.decode())
        return self.got[-1]

    def reply(self, text: str) -> None:
        self.send(f"Content-Type: command/reply\nReply-Text: {text}\n\n".encode())

    def api(self, text: str) -> None:
        body = text.encode()
        self.send(b"Content-Type: api/response\nContent-Length: %d\n\n" % len(body) + body)

    def event(self, name: str, **headers: object) -> None:
        self.send(event_frame(name, **headers))

    def login(self) -> None:
        self.send(b"Content-Type: auth/request\n\n")
        command = self.read()
        if command is None:
            raise ConnectionError("gone before the login")
        self.reply("+OK accepted" if command == f"auth {PASSWORD}" else "-ERR invalid")

    def answer(self, command: str) -> None:
        """As a switch with no channel at all."""
        if command.startswith("api global_getvar core_uuid"):
            self.api(CORE)
        elif command.startswith("api uuid_exists"):
            self.api("false")
        elif command.startswith("api hash insert"):
            self.api("+OK\n")
        elif command.startswith("api "):
            self.api("-ERR no reply\n")
        elif command.startswith("bgapi "):
            job = command.partition("Job-UUID: ")[2]
            self.reply(f"+OK Job-UUID: {job}\nJob-UUID: {job}")
        elif command.startswith("event json"):
            self.reply("+OK event listener enabled json")
        elif command.startswith("filter "):
            self.reply(f"+OK filter added. [{command[7:]}]")
        else:
            self.reply("+OK")

    def serve(self) -> None:
        """Answer until the end."""
        while (command := self.read()) is not None:
            self.answer(command)

    def close(self) -> None:
        with suppress(OSError):
            self.sock.shutdown(gevent.socket.SHUT_RDWR)
        self.sock.close()


def event_frame(name: str, **headers: object) -> bytes:
    body = json.dumps({"Event-Name": name, "Core-UUID": CORE, **headers}, separators=(",", ":")).encode()
    return b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(body) + body


def usual(peer: Peer) -> None:
    peer.login()
    peer.serve()


class Switch:
    """Runs ``script`` on each connection; a list gives one script per connection, its last for all others."""

    def __init__(self, *scripts: Callable[[Peer], None]) -> None:
        self.scripts = scripts or (usual,)
        self.peers: list[Peer] = []
        self._server = StreamServer(("127.0.0.1", 0), self._accept)
        self._server.start()

    @property
    def port(self) -> int:
        return int(self._server.socket.getsockname()[1])

    def settings(self, **changes: object) -> Settings:
        """Short timers, so that a test waits for no default."""
        return Settings.model_validate(
            {
                "esl_host": "127.0.0.1",
                "esl_port": self.port,
                "esl_password": PASSWORD,
                "esl_connect_timeout_s": 1.0,
                "esl_command_timeout_s": 0.3,
                "esl_ping_interval_s": 0.1,
                "esl_backoff_min_s": 0.02,
                "esl_backoff_max_s": 0.1,
                **changes,
            }
        )

    def _accept(self, sock: gevent.socket.socket, _address: object) -> None:
        peer = Peer(sock)
        self.peers.append(peer)
        script = self.scripts[min(len(self.peers), len(self.scripts)) - 1]
        with suppress(OSError):
            script(peer)
        peer.close()

    def stop(self) -> None:
        self._server.stop(timeout=0.1)
        for peer in self.peers:
            peer.close()


def wait_for(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Until ``condition`` holds; AssertionError when it does not within ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        gevent.sleep(0.005)
