"""gunicorn's gevent worker, saying what it refuses before the application is asked in the same shape as the application.

A request line, header or length that is not HTTP never reaches Flask: the worker answers and closes the connection. What it
cannot answer: a connection that ends in the middle of a request, and one that says nothing at all (nothing is sent there).

When it stops, requests under way are answered, also those of which only the beginning was read by then; a connection on
which nothing was asked again is closed at once, where gunicorn waits for it as for a request, ``graceful_timeout`` long.
"""

from __future__ import annotations

import json
import logging
import secrets
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType
from typing import Any

import gevent
from gunicorn.http import errors
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.workers.ggevent import GeventWorker

#: s; whoever broke the request has so long to take the answer.
_SEND_S = 1.0
_STATUS: tuple[tuple[str, int], ...] = (
    ("LimitRequestLine", 414),
    ("LimitRequestHeaders", 431),
    ("ExpectationFailed", 417),
    ("UnsupportedTransferCoding", 501),
)

log = logging.getLogger("trunkline.web")


class Reading:
    """Around the wait for a connection's next request, ``keepalive_s`` at most. In a gevent handler's greenlet.

    ``idle``: those of which nothing was read yet, by their greenlets.
    """

    def __init__(self, idle: dict[Any, Reading], keepalive_s: float) -> None:
        self._idle = idle
        self._timeout = gevent.Timeout(keepalive_s, False)  # type: ignore[arg-type]

    def __enter__(self) -> None:
        self._greenlet = gevent.getcurrent()
        self._timeout.start()
        self._idle[self._greenlet] = self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        self._idle.pop(self._greenlet, None)
        return bool(self._timeout.__exit__(kind, error, at))

    def end(self) -> None:
        """As if its time were over. The hub looks first whether a request has begun by now: that one is not disturbed."""
        gevent.get_hub().loop.run_callback(self._end)

    def _end(self) -> None:
        if self._idle.get(self._greenlet) is self:
            self._greenlet.throw(self._timeout)


#: Of this process, which is one worker.
_idle: dict[Any, Reading] = {}


class Begun(Request):  # type: ignore[misc]
    """A request whose connection is not idle from its first byte on."""

    def read_into(self, unreader: Any, buf: bytearray, stop: bool = False) -> None:
        """Every read of a head."""
        super().read_into(unreader, buf, stop)
        _idle.pop(gevent.getcurrent(), None)


class Worker(GeventWorker):  # type: ignore[misc]
    """What ``gunicorn_conf`` names as its worker class."""

    def init_process(self) -> None:
        """In the worker's own process, before it accepts. gunicorn has no setting for what a request is read by."""
        RequestParser.mesg_class = Begun
        super().init_process()

    def timeout_ctx(self) -> Reading:
        """Around the wait for the next request of a connection."""
        return Reading(_idle, self.cfg.keepalive)

    def notify(self) -> None:
        """Once a second, also while it stops."""
        super().notify()
        if not self.alive:
            for reading in list(_idle.values()):
                reading.end()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002 gunicorn's
        """Answer a request that could not be read. Anything else is our fault: 500, with its reason in the log."""
        request_id = f"req_{secrets.token_hex(16)}"
        if isinstance(exc, errors.ParseException):
            status = next((status for name, status in _STATUS if type(exc).__name__ == name), 400)
            # What was sent may hold anything, so not a word of it is logged.
            log.warning("request not read", extra={"request_id": request_id, "status": status, "why": type(exc).__name__})
        else:
            status = 500
            log.error("unhandled error", exc_info=exc, extra={"request_id": request_id})
        with suppress(OSError):
            client.settimeout(_SEND_S)
            client.sendall(answer(status, request_id))


def answer(status: int, request_id: str) -> bytes:
    """A whole HTTP/1.1 answer that closes the connection. It has no ``instance``: the address may be what was not read."""
    # Not above: gunicorn imports this module before the patch, and Flask belongs behind it.
    from web.problems import MEDIA_TYPE, by_status, problem_body

    body = json.dumps({**problem_body(by_status(status)), "request_id": request_id}).encode()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nConnection: close\r\nContent-Type: {MEDIA_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        f"X-Request-Id: {request_id}\r\n\r\n"
    )
    return head.encode() + body
