"""What the key of a request must be good for, and from where it may come.

Each route names its scope where it is made (``@blueprint.get("", scope="calls:read")``); one that names none keeps the
application from being made. The scope is asked for after the request was counted, so that refused ones count as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from flask import Flask, g, request

from calls.access import Address, Network, Scope, client, is_in, networks
from web.problems import Problem
from web.runtime import runtime

#: A tenant's scope, or the operator's own keys.
Needed: TypeAlias = Scope | Literal["operator"]
OPERATOR: Literal["operator"] = "operator"

REALM = 'Bearer realm="trunkline"'
GUARDED, OPERATORS = "/v1/", "/v1/operator/"
#: What below GUARDED needs no key.
OPEN = ("/v1/docs", "/v1/openapi.json")
_NEEDS = "needs_scope"


def declare(view: Callable[..., Any], scope: Needed) -> None:
    """Remember what the view needs."""
    setattr(view, _NEEDS, scope)


def needed(app: Flask, endpoint: str) -> Needed | None:
    """What the view behind ``endpoint`` needs; None: nobody said."""
    found: Needed | None = getattr(app.view_functions[endpoint], _NEEDS, None)
    return found


def security(scope: Needed) -> list[dict[str, list[str]]]:
    """The same as OpenAPI says it."""
    return [{"operator_key": []}] if scope == OPERATOR else [{"api_key": [scope]}]


def is_guarded(path: str) -> bool:
    """Whether the path needs a key, of a tenant or of an operator."""
    return path.startswith(GUARDED) and not path.startswith(OPEN)


def require_declared(app: Flask) -> None:
    """``RuntimeError`` naming every guarded route that does not say what it needs, or says what does not fit its path."""
    wrong = [
        f"{rule.rule} ({rule.endpoint})"
        for rule in app.url_map.iter_rules()
        if is_guarded(rule.rule) and not _fits(needed(app, rule.endpoint), rule.rule)
    ]
    if wrong:
        raise RuntimeError(
            "every route below /v1 names the scope that it needs, as scope=... of @blueprint.get and the others, and"
            f" 'operator' belongs to {OPERATORS} alone: {', '.join(sorted(wrong))}"
        )


def _fits(scope: Needed | None, path: str) -> bool:
    return scope is not None and (scope == OPERATOR) == path.startswith(OPERATORS)


def register(app: Flask) -> None:
    """Ask every request with a tenant's key for the scope; ``web.auth`` has seen to operators."""

    def check() -> None:
        key = g.get("key")
        if key is None or request.endpoint is None:
            return
        scope = needed(app, request.endpoint)
        if scope is None or scope == OPERATOR:
            raise AssertionError("no route without a scope is served, and an operator's is not reached by a tenant's key")
        if scope not in key.scopes:
            raise missing_scope(scope)

    app.before_request(check)


def missing_scope(scope: str, why: str = "") -> Problem:
    """403: the key is good, but not for this."""
    return Problem(
        403,
        "missing_scope",
        f"This needs the scope {scope}, which this API key does not have{why}. Use a key that has it.",
        headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{scope}"'},
        extra={"scope": scope},
    )


def require_place(allowed: list[Network] | None) -> None:
    """403 unless the request comes from one of these networks. The key was proven, so its owner is told what we saw."""
    if allowed is None:
        return
    where = client_address()
    if not is_in(where, allowed):
        raise Problem(
            403,
            "ip_not_allowed",
            f"This key may not be used from {where or 'an address that cannot be told'}. Send the request from one of its"
            " networks, or use another key.",
        )


def client_address() -> Address | None:
    """Who asks, as far as it can be trusted: see the setting trusted_proxies."""
    environ = request.environ
    # Of several headers of the name WSGI makes one, with commas.
    forwarded = environ.get("HTTP_X_FORWARDED_FOR", "")
    return _client(environ.get("REMOTE_ADDR"), forwarded, runtime().settings.trusted_proxies)


@lru_cache(maxsize=1024)
def _client(peer: str | None, forwarded: str, trusted: str) -> Address | None:
    return client(peer, [one for one in forwarded.split(",") if one.strip()], _trusted(trusted))


@lru_cache(maxsize=4)
def _trusted(text: str) -> tuple[Network, ...]:
    return tuple(networks(one.strip() for one in text.split(",") if one.strip()))
