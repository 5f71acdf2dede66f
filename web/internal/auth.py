"""Who may speak to /internal: the switch, by HTTP Basic, with the user and password of the settings; but below
/internal/calls the agent of that call, by its call token (web/internal/call_auth.py).

Fails closed: while no password is set, everything is refused. These addresses are not the customers'; a proxy in front of
the API need not let them through.
"""

from __future__ import annotations

import hmac

from flask import Flask, request

from web.internal.call_auth import CALLS
from web.problems import Problem
from web.runtime import runtime

_GUARDED = "/internal/"


def register(app: Flask) -> None:
    """Demand the password on every /internal address that exists, before a byte of the body is read."""

    def check() -> None:
        if request.endpoint is not None and request.path.startswith(_GUARDED) and not request.path.startswith(CALLS):
            _authenticate()

    app.before_request(check)


def _authenticate() -> None:
    settings = runtime().settings
    if not settings.cdr_password:
        raise Problem(
            503,
            "cdr_off",
            "No CDR is taken here, because TRUNKLINE_CDR_PASSWORD is not set: set it, or switch mod_json_cdr off.",
            headers={"Retry-After": "60"},
        )
    given = request.authorization
    user, password = ("", "") if given is None or given.type != "basic" else (given.username or "", given.password or "")
    # Both in any case, each in a time that does not depend on how much of it is right.
    right = [_same(user, settings.cdr_user), _same(password, settings.cdr_password)]
    if not all(right):
        raise Problem(
            401,
            "bad_credentials",
            "Send user and password by HTTP Basic, as TRUNKLINE_CDR_USER and TRUNKLINE_CDR_PASSWORD have them.",
            headers={"WWW-Authenticate": 'Basic realm="trunkline", charset="UTF-8"'},
        )


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
