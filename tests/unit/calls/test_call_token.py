"""Call tokens: what was signed is read back, and whatever was changed, is another's or too old is refused."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.call_token import BadToken, CallToken, check, for_attempt, longest_life, read, sign
from calls.ids import agent_ref, call_ref

NOW = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)
KEY = bytes(range(32))


def token(call: UUID = UUID(int=1), attempt: UUID = UUID(int=2), agent: UUID = UUID(int=3)) -> CallToken:
    return for_attempt(call, attempt, agent, now=NOW, lasts=timedelta(minutes=5), random=bytes(12))


@given(st.uuids(), st.uuids(), st.uuids(), st.binary(min_size=24, max_size=64))
def test_what_was_signed_is_what_is_proven(call: UUID, attempt: UUID, agent: UUID, key: bytes) -> None:
    made = token(call, attempt, agent)
    assert check(sign(made, key), key, NOW) == made


def test_it_is_a_json_web_token() -> None:
    header, claims, _ = (base64.urlsafe_b64decode(part + "==") for part in sign(token(), KEY).split("."))
    assert json.loads(header) == {"alg": "HS256", "typ": "JWT"}
    told = json.loads(claims)
    assert told | {"jti": ""} == {
        "iss": "trunkline", "aud": "runtime", "sub": call_ref(UUID(int=1)), "attempt": str(UUID(int=2)),
        "agent": agent_ref(UUID(int=3)), "iat": int(NOW.timestamp()), "exp": int(NOW.timestamp()) + 300, "jti": "",
    }  # fmt: skip


@given(st.data())
def test_not_one_character_can_be_changed(data: st.DataObject) -> None:
    text = sign(token(), KEY)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda c: c != text[at]))
    with pytest.raises(BadToken):
        check(text[:at] + other + text[at + 1 :], KEY, NOW)


@given(
    st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]{0,90}\.[A-Za-z0-9_-]{0,200}\.[A-Za-z0-9_-]{43}", fullmatch=True)
)
def test_what_is_no_token_is_only_refused(text: str) -> None:
    with pytest.raises(BadToken):
        check(text, KEY, NOW)


def resigned(header: object, claims: object) -> str:
    """Signed right, whatever is in it."""
    import hashlib
    import hmac

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    body = ".".join(part(json.dumps(one, separators=(",", ":")).encode()) for one in (header, claims))
    return f"{body}.{part(hmac.digest(KEY, body.encode(), hashlib.sha256))}"


GOOD = {
    "iss": "trunkline", "aud": "runtime", "sub": call_ref(UUID(int=1)), "attempt": str(UUID(int=2)),
    "agent": agent_ref(UUID(int=3)), "iat": int(NOW.timestamp()), "exp": int(NOW.timestamp()) + 300, "jti": "A" * 16,
}  # fmt: skip
HEADER = {"alg": "HS256", "typ": "JWT"}


def test_the_good_one_of_those_below_is_good() -> None:
    assert check(resigned(HEADER, GOOD), KEY, NOW).call_id == UUID(int=1)


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"alg": "none", "typ": "JWT"}, GOOD),
        ({"alg": "HS256"}, GOOD),
        (HEADER, GOOD | {"iss": "somebody"}),
        (HEADER, GOOD | {"aud": "admin"}),
        (HEADER, GOOD | {"aud": ["runtime"]}),
        (HEADER, GOOD | {"sub": "call_1"}),
        (HEADER, GOOD | {"sub": 1}),
        (HEADER, GOOD | {"attempt": None}),
        (HEADER, GOOD | {"attempt": 7}),
        (HEADER, GOOD | {"agent": None}),
        (HEADER, GOOD | {"agent": str(UUID(int=3))}),
        (HEADER, {name: value for name, value in GOOD.items() if name != "agent"}),
        (HEADER, GOOD | {"exp": "never"}),
        (HEADER, GOOD | {"exp": True}),
        (HEADER, GOOD | {"exp": 10**30}),
        (HEADER, GOOD | {"jti": ""}),
        (HEADER, {name: value for name, value in GOOD.items() if name != "exp"}),
        (HEADER, [GOOD]),
        (HEADER, None),
    ],
)
def test_one_of_another_making_is_refused_though_it_is_signed_right(header: object, claims: object) -> None:
    with pytest.raises(BadToken):
        check(resigned(header, claims), KEY, NOW)


def test_by_another_key_or_too_late() -> None:
    text = sign(token(), KEY)
    with pytest.raises(BadToken, match="not signed"):
        check(text, KEY[::-1], NOW)
    end = read(text).expires_at
    assert check(text, KEY, end - timedelta(microseconds=1))
    with pytest.raises(BadToken, match="expired"):
        check(text, KEY, end)


def test_two_tokens_of_one_attempt_are_two() -> None:
    one, other = (
        for_attempt(UUID(int=1), UUID(int=2), UUID(int=3), now=NOW, lasts=timedelta(1), random=bytes([n] * 12))
        for n in (1, 2)
    )
    assert one.id != other.id
    assert sign(one, KEY) != sign(other, KEY)


def test_a_key_or_randomness_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="key"):
        sign(token(), b"short")
    with pytest.raises(ValueError, match="random"):
        for_attempt(UUID(int=1), UUID(int=2), UUID(int=3), now=NOW, lasts=timedelta(1), random=b"")


def test_it_lasts_while_it_rings_is_talked_on_and_the_grace() -> None:
    assert longest_life(60, 3600) == timedelta(minutes=10, seconds=3660)
