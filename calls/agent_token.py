"""The token an agent's server is called with: a JSON Web Token (RFC 7519, HS256) that proves who calls, for which attempt of
which call, once.

The key is the agent's secret, its text as UTF-8. Any JWT library verifies it; :func:`verify` does so with the standard
library, and :class:`Door` remembers what it let in.
"""

from __future__ import annotations

from dataclasses import dataclass

from calls import jws

ISSUER = "trunkline"
#: What secrets begin with.
PREFIX = "agsec_"
#: s; from the try to connect on. Longer than any connection takes to be made.
LIFETIME_S = 60
#: s; clocks may differ so much.
LEEWAY_S = 30


class TokenRefused(ValueError):
    """It is not one of ours, or not for this, or not any more. The text says what is wrong, and holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Whom the token is for. ``agent`` and ``call`` as references, ``attempt`` a UUID's text, times in unix seconds, ``id``
    of this one try to connect.
    """

    agent: str
    call: str
    attempt: str
    issued_at: int
    expires_at: int
    id: str


def sign(secret: str, *, agent: str, call: str, attempt: str, now: float, token_id: str) -> str:
    """A token for one try to connect at ``now`` (unix seconds). ``token_id``: never used before."""
    issued = int(now)
    claims = {
        "iss": ISSUER,
        "aud": agent,
        "sub": call,
        "attempt": attempt,
        "iat": issued,
        "exp": issued + LIFETIME_S,
        "jti": token_id,
    }
    return jws.write(claims, secret.encode())


def verify(token: str, secret: str, *, now: float, agent: str | None = None) -> Claims:
    """What it says, if it was signed with ``secret`` and holds at ``now`` (and, where given, for ``agent``). Whether it was
    used before is the caller's to know. Raises :class:`TokenRefused`.
    """
    # The signature first: what is not ours is not read.
    if not jws.is_signed(token, secret.encode()):
        raise TokenRefused("token: not signed with this agent's secret")
    try:
        algorithm, said = jws.read(token)
        claims = Claims(said["aud"], said["sub"], said["attempt"], said["iat"], said["exp"], said["jti"])
        issuer = said["iss"]
    except (ValueError, KeyError, TypeError) as error:
        raise TokenRefused("token: malformed") from error
    if (algorithm, issuer) != (jws.ALGORITHM, ISSUER):
        raise TokenRefused("token: not of this kind")
    if not claims.issued_at - LEEWAY_S <= now < claims.expires_at + LEEWAY_S:
        raise TokenRefused("token: expired, or the clocks differ")
    if agent is not None and claims.agent != agent:
        raise TokenRefused("token: for another agent")
    return claims


class Door:
    """Lets each token in once. One process's memory: tokens are refused after a minute and a half in any case."""

    def __init__(self, *secrets: str, agent: str | None = None) -> None:
        """``secrets``: any of them may have signed, while one replaces another."""
        self.secrets = secrets
        self._agent = agent
        self._used: dict[str, int] = {}  # until when each could be used

    def enter(self, authorization: str | None, attempt: str | None, now: float) -> Claims:
        """Check the header ``Authorization``, and that it is for the ``attempt`` of the header ``X-Trunkline-Attempt``.
        Raises :class:`TokenRefused`.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise TokenRefused("token: there is none; the header Authorization holds it")
        claims = self._verified(token.strip(), now)
        if claims.attempt != attempt:
            raise TokenRefused("token: for another attempt")
        self._used = {used: until for used, until in self._used.items() if until > now}
        if claims.id in self._used:
            raise TokenRefused("token: used before")
        self._used[claims.id] = claims.expires_at + LEEWAY_S
        return claims

    def _verified(self, token: str, now: float) -> Claims:
        refused = TokenRefused("token: no secret to verify it with")
        for secret in self.secrets:
            try:
                return verify(token, secret, now=now, agent=self._agent)
            except TokenRefused as error:
                refused = error
        raise refused
