"""Call tokens: signed, short-lived, good for one agent in one attempt of one call. Pure; time, keys and randomness come in.

It is what the agent of a call sends to read its configuration and to hand in its result: a JSON Web Token (RFC 7519) in
compact form, signed by HMAC-SHA256 with a key of the tenant's that is shown to nobody. ``aud`` is ``runtime``: a token for
anything else is none, and so is one with another header, for the algorithm is not the sender's to choose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from calls import jws
from calls.ids import agent_ref, call_ref, parse_ref

ISSUER, AUDIENCE = "trunkline", "runtime"
#: Bytes that a key must have at least, and the random bytes that make a token's id.
MIN_KEY, ID_BYTES = 24, 12
#: Characters; a longer text is no token of ours.
MAX_CHARS = 1024
#: An attempt is connected to its agent at most so long before it is answered.
RINGING = timedelta(minutes=10)

_TEXT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}")
_ID = re.compile(r"[A-Za-z0-9_-]{16}")


class BadToken(ValueError):
    """It is none, or is not good for this; the text says why, for the log of whoever checks it."""


@dataclass(frozen=True, slots=True)
class CallToken:
    """What a token says. Times are aware, in whole seconds; ``id`` tells it from every other one."""

    call_id: UUID
    attempt_id: UUID
    agent_id: UUID
    issued_at: datetime
    expires_at: datetime
    id: str


def for_attempt(
    call_id: UUID, attempt_id: UUID, agent_id: UUID, *, now: datetime, lasts: timedelta, random: bytes
) -> CallToken:
    """A new one from ``now`` on. ``random``: exactly :data:`ID_BYTES` bytes, else ``ValueError``."""
    if len(random) != ID_BYTES:
        raise ValueError(f"random: give exactly {ID_BYTES} bytes, not {len(random)}")
    issued = now.astimezone(UTC).replace(microsecond=0)
    return CallToken(call_id, attempt_id, agent_id, issued, issued + lasts, jws.base64url(random))


def longest_life(max_duration_s: int, grace_s: float) -> timedelta:
    """How long a token of an attempt may be needed: while it rings, is talked on, and ``grace_s`` seconds after its end."""
    return RINGING + timedelta(seconds=max_duration_s + int(grace_s))


def sign(token: CallToken, key: bytes) -> str:
    """The token as text. ``ValueError``: the key is too short to sign with."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": call_ref(token.call_id),
        "attempt": str(token.attempt_id),
        "agent": agent_ref(token.agent_id),
        "iat": int(token.issued_at.timestamp()),
        "exp": int(token.expires_at.timestamp()),
        "jti": token.id,
    }
    return jws.write(claims, _long_enough(key))


def read(text: str) -> CallToken:
    """What the text claims; **nothing is proven by it**: it only tells whose key to ask :func:`check` with.

    Raises :class:`BadToken`.
    """
    if len(text) > MAX_CHARS or _TEXT.fullmatch(text) is None:
        raise BadToken("not three parts of base64url")
    if not jws.has_our_header(text):
        raise BadToken("not signed by HS256 as this platform does it")
    try:
        return _claimed(jws.read(text)[1])
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise BadToken("claims are missing or malformed") from error


def check(text: str, key: bytes, now: datetime) -> CallToken:
    """The token, proven: signed with ``key`` and not expired. Raises :class:`BadToken`."""
    token = read(text)
    if not jws.is_signed(text, _long_enough(key)):
        raise BadToken("not signed with this key")
    if now >= token.expires_at:
        raise BadToken("expired")
    return token


def _claimed(claims: Any) -> CallToken:
    name, call, attempt, agent = (claims[one] for one in ("jti", "sub", "attempt", "agent"))
    if not all(isinstance(one, str) for one in (name, call, attempt, agent)):
        raise TypeError("names are texts")
    if (claims["iss"], claims["aud"]) != (ISSUER, AUDIENCE) or _ID.fullmatch(name) is None:
        raise ValueError("not a call token")
    times = [claims["iat"], claims["exp"]]
    if any(type(time) is not int for time in times):
        raise TypeError("times are whole seconds")
    issued, expires = (datetime.fromtimestamp(time, UTC) for time in times)
    return CallToken(parse_ref("call", call), UUID(attempt), parse_ref("agent", agent), issued, expires, name)


def _long_enough(key: bytes) -> bytes:
    if len(key) < MIN_KEY:
        raise ValueError(f"key: {MIN_KEY} bytes at least")
    return key
