"""A request id on every request and answer, and one log line each: no body, no query, no key."""

from __future__ import annotations

import logging
import re
import secrets
import time

from flask import Flask, Response, g, request

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = frozenset({"/healthz", "/readyz"})

log = logging.getLogger("trunkline.web")


def register(app: Flask) -> None:
    """``X-Request-Id``: the client's own if well formed, else a new one."""

    def begin() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _ACCEPTED_ID.fullmatch(given) else f"req_{secrets.token_hex(16)}"
        g.started = time.monotonic()

    def end(response: Response) -> Response:
        known = vars(g)
        headers, path = response.headers, request.path
        headers["X-Request-Id"] = known["request_id"]
        headers.setdefault("Cache-Control", "no-store")
        headers["X-Content-Type-Options"] = "nosniff"
        level = logging.DEBUG if path in _QUIET else logging.INFO
        tenant, key, operator = known.get("tenant"), known.get("key"), known.get("operator")
        log.log(
            level,
            "request",
            extra={
                "request_id": known["request_id"],
                "method": request.method,
                "path": path[:200],
                "status": response.status_code,
                "ms": round((time.monotonic() - known["started"]) * 1000, 1),
                "tenant": tenant.name if tenant is not None else None,
                "key": key.prefix if key is not None else None,
                "operator": operator.name if operator is not None else None,
            },
        )
        return response

    app.before_request(begin)
    app.after_request(end)
