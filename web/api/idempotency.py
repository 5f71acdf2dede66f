"""The Idempotency-Key header: a request sent twice is carried out once.

A key belongs to its tenant and is remembered for ``idempotency_ttl_s``. Same key, same body: the first answer again, marked
``Idempotent-Replayed: true``. Refusals are not remembered: a corrected request may use its key again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from flask import Flask, request

from store.calls import IdempotencyInFlight, IdempotencyKey, IdempotencyMismatch
from web.problems import FieldError, Problem
from web.runtime import runtime

HEADER = "Idempotency-Key"
_VISIBLE = re.compile(r"[!-~]{1,255}")

#: For the description of an operation that takes the header.
PARAMETER: dict[str, Any] = {
    "in": "header",
    "name": HEADER,
    "required": False,
    "description": "1 to 255 visible ASCII characters, such as a UUID; a repetition gets the first answer again, so what was"
    " never answered may be sent again",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


def idempotency_key(body: Any, *, test: bool = False) -> IdempotencyKey | None:
    """The request's key with the fingerprint of ``body`` (as parsed), or None. ``test``: of a test key, whose requests
    repeat none of a live key's, nor the other way round.

    Raises ``Problem`` 400 for a malformed key.
    """
    if HEADER not in request.headers:
        return None
    canonical = json.dumps([request.method, request.path, body], sort_keys=True, separators=(",", ":"))
    key = key_of(hashlib.sha256(canonical.encode()).digest())
    if key is None or not test:
        return key
    return replace(key, key=f"test:{hashlib.sha256(key.key.encode()).hexdigest()}")


def key_of(fingerprint: bytes) -> IdempotencyKey | None:
    """The request's key, or None. Raises ``Problem`` 400 for a malformed one."""
    values = request.headers.getlist(HEADER)
    if not values:
        return None
    # Some servers fold repeated headers into one with a comma; a list is refused either way.
    if len(values) > 1 or _VISIBLE.fullmatch(values[0]) is None:
        raise Problem(
            400,
            "bad_idempotency_key",
            f"{HEADER}: give one value of 1 to 255 visible ASCII characters.",
            [FieldError(HEADER, "bad_format", "one value of 1 to 255 visible ASCII characters", "header")],
        )
    return IdempotencyKey(values[0], fingerprint, runtime().settings.idempotency_ttl_s)


def register(app: Flask) -> None:
    """Refuse the header where a POST does not take it: whoever sends it believes that the request may be sent again."""

    def check() -> None:
        if request.method != "POST" or HEADER not in request.headers or request.endpoint is None:
            return
        if request.path.startswith("/v1/") and not _takes(app, request.endpoint):
            raise Problem(
                422,
                "idempotency_key_not_taken",
                f"{HEADER} is not taken here, and nothing was done. Leave it out, and look before you send this again.",
                [FieldError(HEADER, "not_allowed", "is not taken here; leave it out", "header")],
            )

    app.before_request(check)


def _takes(app: Flask, endpoint: str) -> bool:
    """Whether the operation's description names the header."""
    described = getattr(app.view_functions[endpoint], "_apidoc", {}).get("manual_doc", {})
    return any(one.get("name") == HEADER for one in described.get("parameters", []))


@contextmanager
def keyed() -> Iterator[None]:
    """Around what is done under a key. Raises ``Problem`` 422 and 409 for what the store says of the key."""
    try:
        yield
    except IdempotencyMismatch:
        raise mismatch() from None
    except IdempotencyInFlight:
        raise in_flight() from None


def mismatch() -> Problem:
    """422: the key belongs to another body."""
    return Problem(
        422,
        "idempotency_mismatch",
        f"{HEADER} was used for a request with another body. Use a new key for a new request.",
        [FieldError(HEADER, "idempotency_mismatch", "was used with another body; use a new key", "header")],
    )


def other_action() -> Problem:
    """409: the key named another kind of action of this call."""
    return Problem(
        409,
        "idempotency_mismatch",
        f"{HEADER} was used for another kind of action of this call. Use a new key for a new action.",
        [FieldError(HEADER, "idempotency_mismatch", "was used for another kind of action; use a new key", "header")],
    )


def in_flight() -> Problem:
    """409: the first request with the key is still being worked on."""
    return Problem(
        409,
        "idempotency_in_flight",
        f"A request with this {HEADER} is being worked on. Repeat this one in a second.",
        headers={"Retry-After": "1"},
    )
