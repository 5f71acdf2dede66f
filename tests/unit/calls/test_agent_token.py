"""The token of an agent's connection: what it proves, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.agent_token import LEEWAY_S, LIFETIME_S, Door, TokenRefused, sign, verify

SECRET, OTHER = "agsec_" + "0f" * 32, "agsec_" + "e1" * 32
NOW = 1_770_000_000.0
ATTEMPT = "019ab0c2-7d1e-7c3a-9f00-2b6f4c1d8e55"


def token(**changes: Any) -> str:
    given: dict[str, Any] = {
        "secret": SECRET, "agent": "agent_1", "call": "call_1", "attempt": ATTEMPT, "now": NOW, "token_id": "one",
    }  # fmt: skip
    given |= changes
    return sign(given.pop("secret"), **given)


def forged(header: object, claims: object, secret: str = SECRET) -> str:
    """As an attacker, or another library, would write it."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    signed = f"{part(header)}.{part(claims)}"
    mac = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def test_it_says_whom_it_is_for_and_is_a_plain_jwt() -> None:
    claims = verify(token(), SECRET, now=NOW, agent="agent_1")
    assert (claims.agent, claims.call, claims.attempt, claims.id) == ("agent_1", "call_1", ATTEMPT, "one")
    assert claims.expires_at - claims.issued_at == LIFETIME_S
    again = forged({"alg": "HS256", "typ": "JWT"}, {
        "iss": "trunkline", "aud": "a", "sub": "c", "attempt": ATTEMPT, "iat": NOW, "exp": NOW + 60, "jti": "x",
    })  # fmt: skip
    assert verify(again, SECRET, now=NOW).id == "x", "one that another library made"


@pytest.mark.parametrize("late_s", [-LEEWAY_S, 0, LIFETIME_S + LEEWAY_S - 1])
def test_it_holds_for_its_time(late_s: float) -> None:
    assert verify(token(), SECRET, now=NOW + late_s).id == "one"


@pytest.mark.parametrize(
    ("text", "now", "why"),
    [
        (token(secret=OTHER), NOW, "not signed"),
        (token(), NOW + LIFETIME_S + LEEWAY_S, "expired"),
        (token(), NOW - LEEWAY_S - 1, "expired"),
        (token(agent="agent_2"), NOW, "another agent"),
        (token() + "A", NOW, "signed|malformed"),
        ("", NOW, "signed|malformed"),
        ("a.b.c", NOW, "signed|malformed"),
        ("é.b.", NOW, "signed"),
        (forged({"alg": "none"}, {"iss": "trunkline"}), NOW, "malformed"),
        (forged({"alg": "HS256"}, []), NOW, "malformed"),
        (forged({"alg": "none"}, {"iss": "trunkline", "aud": "agent_1", "sub": "c", "attempt": "a", "iat": NOW,
                                  "exp": NOW + 9, "jti": "x"}), NOW, "kind"),
        (forged({"alg": "HS256"}, {"iss": "another", "aud": "agent_1", "sub": "c", "attempt": "a", "iat": NOW,
                                   "exp": NOW + 9, "jti": "x"}), NOW, "kind"),
    ],
)  # fmt: skip
def test_what_is_not_right_is_refused(text: str, now: float, why: str) -> None:
    with pytest.raises(TokenRefused, match=why) as caught:
        verify(text, SECRET, now=now, agent="agent_1")
    assert SECRET not in str(caught.value)


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,44}", fullmatch=True))
def test_nonsense_is_refused_in_words(text: str) -> None:
    with pytest.raises(TokenRefused):
        verify(text, SECRET, now=NOW)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_changed_byte_is_refused(at: int, by: int) -> None:
    whole = bytearray(token().encode())
    whole[at % len(whole)] ^= by
    with pytest.raises(TokenRefused):
        Door(SECRET).enter(f"Bearer {whole.decode('latin-1')}", ATTEMPT, NOW)


def test_the_door_lets_each_in_once() -> None:
    door = Door(OTHER, SECRET)
    assert door.enter(f"Bearer {token()}", ATTEMPT, NOW).call == "call_1"
    for header, attempt, why in [
        (f"Bearer {token()}", ATTEMPT, "used before"),
        (f"Bearer {token(token_id='two')}", "another", "another attempt"),
        (f"Bearer {token(token_id='two')}", None, "another attempt"),
        (f"Basic {token(token_id='two')}", ATTEMPT, "there is none"),
        (None, ATTEMPT, "there is none"),
    ]:
        with pytest.raises(TokenRefused, match=why):
            door.enter(header, attempt, NOW + LIFETIME_S)
    door.enter(f"bearer {token(token_id='two')}", ATTEMPT, NOW)
    with pytest.raises(TokenRefused, match="no secret"):
        Door().enter(f"Bearer {token()}", ATTEMPT, NOW)
