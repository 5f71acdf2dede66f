"""What a keeper says carries a number that rises, also past what was not heard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from agents.fleet.herald import Herald, Unheard


class Platform(HTTPServer):
    """Answers the first request by 503, the others as the platform does; keeps what was said."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Heard)
        self.heard: list[dict[str, object]] = []


class _Heard(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # the library's name
        platform = self.server
        assert isinstance(platform, Platform)
        platform.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(503 if len(platform.heard) == 1 else 200)
        self.end_headers()
        self.wfile.write(b'{"hold_s": 3.0, "seats": [], "detail": "away"}')

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def platform() -> Iterator[Platform]:
    server = Platform()
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_request_has_a_higher_number(platform: Platform) -> None:
    herald = Herald(f"http://127.0.0.1:{platform.server_port}/internal/seats", "user", "secret", "k1")

    async def scenario() -> None:
        with pytest.raises(Unheard, match="503"):
            await herald.say([])
        for _ in range(2):
            await herald.say([])

    asyncio.run(scenario())
    assert [(one["keeper"], one["seq"]) for one in platform.heard] == [("k1", 1), ("k1", 2), ("k1", 3)]
