"""gunicorn's gevent worker, saying what it refuses before the application is asked in the same shape as the application.

A request line, header or length that is not HTTP never reaches Flask: the worker answers and closes the connection. What it
cannot answer: a connection that ends in the middle of a request, and one that says nothing at all (nothing is sent there).
"""

from __future__ import annotations

import json
import logging
import secrets
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from gunicorn.http import errors
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


class Worker(GeventWorker):  # type: ignore[misc]
    """What ``gunicorn_conf`` names as its worker class."""

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
