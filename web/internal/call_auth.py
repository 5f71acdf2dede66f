"""Who speaks for one attempt of one call: the agent that was given its call token (calls/call_token.py).

Whatever is wrong with a token, the answer is that there is no such call: a guesser learns nothing. Only who proved a good
one that is too old is told so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from flask import request

from calls.call_token import CallToken, check, read
from calls.ids import parse_ref
from store import runtime as store
from store.pool import Database
from web.problems import Problem
from web.runtime import runtime

#: Below it a call token is what is asked for, and not the switches' password.
CALLS = "/internal/calls/"
_BEARER = re.compile(r"[Bb]earer +([!-~]{1,1024})")
_REALM = 'Bearer realm="trunkline call"'


@dataclass(frozen=True, slots=True)
class Caller:
    """The attempt and the agent that the token is for. ``database``: its tenant's, which shows nothing of another's."""

    tenant_id: UUID
    call_id: UUID
    attempt_id: UUID
    agent_id: UUID
    after_end: bool  # the attempt is over
    database: Database


def caller(call_id: str) -> Caller:
    """Who asks. Raises ``Problem`` 401 (no token), 404 (not good for this call), 410 (its time is over)."""
    header = request.headers.get("Authorization")
    if header is None:
        raise Problem(
            401,
            "missing_call_token",
            "Send the call token as 'Authorization: Bearer ...': it is in start, as runtime.token.",
            headers={"WWW-Authenticate": _REALM},
        )
    match, ours = _BEARER.fullmatch(header), runtime()
    if match is None:
        raise no_such_call()
    try:
        wanted = parse_ref("call", call_id)
        claimed = read(match[1])
        owner = store.owner(ours.system, wanted, claimed.attempt_id) if claimed.call_id == wanted else None
        if owner is None:
            raise no_such_call()
        token = check(match[1], owner.call_token_key, claimed.issued_at)
    except ValueError:  # BadToken is one
        raise no_such_call() from None
    _require_time(token, owner)
    after_end, database = owner.ended_at is not None, ours.tenants.of_tenant(owner.tenant_id)
    return Caller(owner.tenant_id, wanted, token.attempt_id, token.agent_id, after_end, database)


def no_such_call() -> Problem:
    """404, in the same words whatever is wrong."""
    return Problem(404, "not_found", "There is no such call for this call token.")


def _require_time(token: CallToken, owner: store.Owner) -> None:
    """It was proven; so that it is too late may be told."""
    ours = runtime()
    grace = timedelta(seconds=ours.settings.runtime_grace_s)
    until = token.expires_at if owner.ended_at is None else min(token.expires_at, owner.ended_at + grace)
    if ours.now() >= until:
        raise Problem(
            410,
            "call_token_expired",
            f"This call token is not good any more: it was until {grace.total_seconds():g} s after the end of its attempt.",
        )
