"""Who asks: ``Authorization: Bearer tl_<prefix>_<secret>`` of a tenant, ``tlo_...`` of an operator. Only hashes are stored.

A tenant's key opens nothing of the operator's, an operator's nothing of a tenant's. What the key may do, and from where:
web/access.py.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import cast

from flask import Flask, g, request

from store import keys, operator_keys
from store.key_text import Given, read
from store.keys import KeyInUse
from store.operator_keys import OperatorKey
from store.tenants import Tenant
from web.access import OPERATORS, REALM, client_address, is_guarded, require_place
from web.problems import Problem
from web.requestrate import Rate, requests_per_s
from web.runtime import runtime
from web.sharing import Sharing

_BEARER = re.compile(r"(?i:bearer) +([!-~]{1,200})")
_SCHEME = re.compile(r"(?i:bearer) ")
#: Many requests at once with one key, from one address, are one question, and are counted together.
_asking: Sharing[Hashable, tuple[Tenant, KeyInUse, Rate | None] | None] = Sharing()


def register(app: Flask) -> None:
    """Demand a key on every /v1 address that exists, except the documentation."""

    def check() -> None:
        if request.endpoint is None or not is_guarded(request.path):
            return
        operators = request.path.startswith(OPERATORS)
        given = _given(request.headers.get("Authorization"), operators=operators)
        if operators:
            g.operator = _operator(given)
        else:
            g.tenant, g.key, g.rate = _tenant(given)

    app.before_request(check)


def tenant() -> Tenant:
    """The tenant this request's key belongs to."""
    return cast(Tenant, g.tenant)


def key() -> KeyInUse:
    """The tenant's key that this request came with: its id, prefix, scopes and mode."""
    return cast(KeyInUse, g.key)


def operator() -> OperatorKey:
    """The operator's key that this request came with."""
    return cast(OperatorKey, g.operator)


def _given(header: str | None, *, operators: bool) -> Given | None:
    """The key as it was sent; None: it cannot be one. Refused when there is none, or one of the other kind."""
    word = "tlo_" if operators else "tl_"
    if header is None:
        raise _unauthorized("missing_api_key", f"Send your API key as 'Authorization: Bearer {word}...'.", REALM)
    if _SCHEME.match(header) is None:
        # Of the header's form, which is no secret; what follows the word is judged below, in one voice.
        told = f"The Authorization header does not begin with 'Bearer'. Send 'Authorization: Bearer {word}...'."
        raise _unauthorized("bad_api_key", told, _invalid())
    match = _BEARER.fullmatch(header)
    given = read(match[1]) if match is not None else None
    if given is not None and (given.kind == "operator") != operators:
        # Said of the text alone: whether such a key exists is not looked up.
        whose = "an operator's address: send an operator's key" if operators else "a tenant's address: send a tenant's key"
        raise _unauthorized("wrong_key_kind", f"This is {whose}, which begins with {word}.", _invalid())
    return given


def _tenant(given: Given | None) -> tuple[Tenant, KeyInUse, Rate | None]:
    found = None if given is None else _find(given)
    if found is None:
        raise _bad_key()
    return found


def _find(given: Given) -> tuple[Tenant, KeyInUse, Rate | None] | None:
    ours = runtime()

    def look(came: int) -> Sequence[tuple[Tenant, KeyInUse, Rate | None] | None]:
        found = keys.authenticate(ours.database, given, ours.now(), require_place)
        if found is None:
            return [None] * came
        return [(*found, rate) for rate in ours.rates.ahead(found[0].id, requests_per_s(found[0]), came)]

    # The address belongs to the question: where the key may be used from is judged by it.
    return _asking.ask((ours.database, given, client_address()), look)


def _operator(given: Given | None) -> OperatorKey:
    ours = runtime()
    found = operator_keys.authenticate(ours.database, given, ours.now(), require_place) if given is not None else None
    if found is None:
        raise _bad_key()
    return found


def _bad_key() -> Problem:
    # One answer for malformed, unknown, revoked and expired: a guesser learns nothing.
    return _unauthorized("bad_api_key", "This API key is not valid. Check that it is complete and not revoked.", _invalid())


def _invalid() -> str:
    return f'{REALM}, error="invalid_token"'


def _unauthorized(code: str, detail: str, challenge: str) -> Problem:
    return Problem(401, code, detail, headers={"WWW-Authenticate": challenge})
