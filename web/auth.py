"""API keys: who asks. ``Authorization: Bearer tl_<prefix>_<secret>``; only a hash of the secret is stored."""

from __future__ import annotations

import re
from typing import cast

from flask import Flask, g, request

from store import keys
from store.tenants import Tenant
from web.problems import Problem
from web.runtime import runtime

_BEARER = re.compile(r"[Bb]earer +([!-~]{1,200})")
_REALM = 'Bearer realm="trunkline"'
#: Path prefix that needs a key, and what below it does not.
_GUARDED = "/v1/"
_OPEN = ("/v1/docs", "/v1/openapi.json")


def register(app: Flask) -> None:
    """Demand a key on every /v1 address that exists, except the documentation."""

    def check() -> None:
        path = request.path
        if request.endpoint is None or not path.startswith(_GUARDED) or path.startswith(_OPEN):
            return
        g.tenant = _authenticate(request.headers.get("Authorization"))

    app.before_request(check)


def tenant() -> Tenant:
    """The tenant this request's key belongs to."""
    return cast(Tenant, g.tenant)


def _authenticate(header: str | None) -> Tenant:
    if header is None:
        raise _unauthorized("missing_api_key", "Send your API key as 'Authorization: Bearer tl_...'.", _REALM)
    match = _BEARER.fullmatch(header)
    parsed = keys.parse_key(match[1]) if match is not None else None
    found = None
    if parsed is not None:
        prefix, secret_hash = parsed
        found = keys.authenticate(runtime().database, prefix, secret_hash, runtime().now())
    if found is None:
        # One answer for malformed, unknown, revoked and expired: a guesser learns nothing.
        raise _unauthorized(
            "bad_api_key",
            "This API key is not valid. Check that it is complete and not revoked.",
            f'{_REALM}, error="invalid_token"',
        )
    return found


def _unauthorized(code: str, detail: str, challenge: str) -> Problem:
    return Problem(401, code, detail, headers={"WWW-Authenticate": challenge})
