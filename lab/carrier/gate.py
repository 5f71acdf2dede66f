"""What an INVITE has to pass before it becomes a call: the carrier's limits, its challenge, its least session timer."""

from __future__ import annotations

import secrets

from lab.carrier.outcomes import BY_NAME
from lab.sip import digest
from lab.sip import message as sip

REFUSALS = {"cps": BY_NAME["cps_limit"], "channels": BY_NAME["channel_limit"]}


class Challenges:
    """HTTP digest for INVITEs. `password` None: any answer to a challenge of ours will do."""

    def __init__(self, realm: str, user: str, password: str | None) -> None:
        self._realm, self._user, self._password = realm, user, password
        self._nonces: set[str] = set()

    def passed(self, message: sip.SipMessage) -> bool:
        """Whether it carries credentials for a challenge of ours."""
        authorization = message.get("proxy-authorization") or message.get("authorization")
        params = digest.parse_params(authorization) if authorization else {}
        if params.get("nonce") not in self._nonces:
            return False
        if self._password is None:
            return True
        return params.get("response") == digest.response_of(
            params, "INVITE", params.get("uri", ""), self._user, self._password
        )

    def ask(self, message: sip.SipMessage) -> bytes:
        """407 with a fresh nonce."""
        nonce = secrets.token_hex(8)
        self._nonces.add(nonce)
        header = ("Proxy-Authenticate", f'Digest realm="{self._realm}", nonce="{nonce}", algorithm=MD5')
        return sip.respond(message, 407, "Proxy Authentication Required", to_tag=sip.new_tag(), extra=[header])


def session_timer(message: sip.SipMessage) -> int:
    """s; 0: the INVITE asks for none."""
    value = message.get("session-expires").partition(";")[0].strip()
    return int(value) if value.isdigit() else 0


def too_small(message: sip.SipMessage, least: int) -> bytes:
    """422 that says what it would take."""
    extra = [("Min-SE", str(least))]
    return sip.respond(message, 422, "Session Interval Too Small", to_tag=sip.new_tag(), extra=extra)


def over(message: sip.SipMessage, verdict: str) -> bytes:
    """The answer to an INVITE over the limit that `verdict` names."""
    step = REFUSALS[verdict].steps[-1]
    return sip.respond(message, step.status, step.reason, to_tag=sip.new_tag())
