"""The process that serves, for tests that want real sockets: gunicorn with gevent."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from trunkline.private import free_port

ROOT = Path(__file__).resolve().parents[2]
#: s; of a wait that no healthy server needs, however slow the machine.
PATIENCE_S = 90.0


class Server:
    """One gunicorn on a free port."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.port = free_port()
        self.log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", "python:web.gunicorn_conf", "web.wsgi:app"],
                cwd=ROOT,
                env={**os.environ, **environment, "TRUNKLINE_WEB_PORT": str(self.port)},
                stderr=stderr,
            )

    def await_alive(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                assert self.ask("GET", "/healthz")[0] == 200
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < until, self.log.read_text()
                time.sleep(0.05)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers, encode_chunked=not isinstance(body, (bytes, type(None))))
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(answer.read())
        finally:
            connection.close()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=PATIENCE_S)
