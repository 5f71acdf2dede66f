"""What a test key opens: a closed list of operations, and of calls only those that were placed with a test key.

A route that is not named here is closed to test keys, whatever their scopes. A live call answers a test key as a foreign one
does: 404, asked here once for every route with a ``call_id``.
"""

from __future__ import annotations

from flask import Flask, g, request

from store import calls
from web.api.respond import path_id
from web.auth import tenant
from web.problems import FieldError, Problem, invalid, not_found
from web.runtime import runtime

CALL = "/v1/calls/<call_id>"
#: (method, rule) of every operation that a test key may ask for.
OPEN = frozenset(
    {
        ("POST", "/v1/calls"),
        ("GET", "/v1/calls"),
        ("GET", CALL),
        ("GET", f"{CALL}/events"),
        ("GET", f"{CALL}/attempts"),
        ("GET", f"{CALL}/queue"),
        ("GET", f"{CALL}/record"),
        ("GET", f"{CALL}/actions"),
        ("GET", f"{CALL}/actions/<action_id>"),
        ("POST", f"{CALL}/actions/hangup"),
        ("POST", f"{CALL}/actions/dtmf"),
        ("POST", f"{CALL}/actions/play"),
        ("POST", f"{CALL}/actions/hold"),
        ("POST", f"{CALL}/actions/resume"),
        ("GET", "/v1/agents"),
        ("GET", "/v1/agents/<agent_id>"),
        ("GET", "/v1/limits"),
    }
)


def register(app: Flask) -> None:
    """Ask after the scopes: which say what the key is good for, this what a test key may be good for at all."""

    def check() -> None:
        if not testing():
            return
        assert request.url_rule is not None
        method = "GET" if request.method == "HEAD" else request.method
        if (method, request.url_rule.rule) not in OPEN:
            raise Problem(
                403,
                "not_with_a_test_key",
                "A test key places and reads test calls, and reads agents and limits. Use a live key for this.",
            )
        given = (request.view_args or {}).get("call_id")
        if given is not None and not calls.is_test(runtime().database, tenant().id, path_id("call", given)):
            raise not_found("call")

    app.before_request(check)


def testing() -> bool:
    """Whether the request came with a test key."""
    key = g.get("key")
    return key is not None and key.mode == "test"


def which_calls(asked: bool | None) -> bool:
    """Whether a list holds test calls, else live ones. ``asked``: the request's wish; a test key sees test calls alone."""
    if not testing():
        return asked is True
    if asked is False:
        raise invalid(
            FieldError("test", "not_with_a_test_key", "a test key lists test calls alone; leave it out", "parameter")
        )
    return True
