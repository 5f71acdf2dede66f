"""What the dispatcher signs, the client takes; anything else it refuses."""

from __future__ import annotations

import base64
import json
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.webhook_sign import signed_headers
from trunkline.client import WebhookRefused, verify

NOW = 1_772_357_400
RAW, OTHER = b"k" * 32, b"o" * 32
SECRET, OTHER_SECRET = (f"whsec_{base64.b64encode(raw).decode()}" for raw in (RAW, OTHER))
BODY = json.dumps({"type": "call.completed", "data": {"call_id": "call_1"}}).encode()


def test_what_was_signed_is_taken() -> None:
    headers = signed_headers([RAW], "evt_1", NOW, BODY)
    assert verify(BODY, headers, SECRET, now=NOW)["type"] == "call.completed"
    titled = {name.title(): value for name, value in headers.items()}
    assert verify(BODY, titled, SECRET, now=NOW + 299)
    assert verify(BODY, titled, SECRET, now=NOW - 299)


def test_both_secrets_are_good_while_they_are_exchanged() -> None:
    signed_by_both = signed_headers([OTHER, RAW], "evt_1", NOW, BODY)
    for secret in (SECRET, OTHER_SECRET):
        assert verify(BODY, signed_by_both, secret, now=NOW)
    for raw in (RAW, OTHER):
        assert verify(BODY, signed_headers([raw], "evt_1", NOW, BODY), [SECRET, OTHER_SECRET], now=NOW)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"webhook-timestamp": str(NOW - 301)}, "away"),
        ({"webhook-timestamp": str(NOW + 301)}, "away"),
        ({"webhook-timestamp": "now"}, "Unix time"),
        ({"webhook-timestamp": "٣"}, "Unix time"),
        ({"webhook-timestamp": "9" * 400}, "Unix time"),
        ({"webhook-timestamp": str(NOW + 1)}, "no signature"),
        ({"webhook-id": "evt_2"}, "no signature"),
        ({"webhook-signature": ""}, "no signature"),
        ({"webhook-signature": "v1,"}, "no signature"),
        ({"webhook-signature": "v1a,AAAA v2,BBBB é"}, "no signature"),
        ({"webhook-signature": "v1,é v1,\udcff v1,\ud800"}, "no signature"),
        ({"webhook-id": "\ud800"}, "no signature"),
        ({"webhook-timestamp": "²"}, "Unix time"),
    ],
)
def test_what_was_changed_is_refused(changes: dict[str, str], why: str) -> None:
    headers = {**signed_headers([RAW], "evt_1", NOW, BODY), **changes}
    with pytest.raises(WebhookRefused, match=why):
        verify(BODY, headers, SECRET, now=NOW)


def test_what_lacks_a_header_is_refused() -> None:
    whole = signed_headers([RAW], "evt_1", NOW, BODY)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        with pytest.raises(WebhookRefused, match=name):
            verify(BODY, {key: value for key, value in whole.items() if key != name}, SECRET, now=NOW)


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_not_a_bit_of_the_body_may_differ(place: int, change: int) -> None:
    changed = bytes([*BODY[:place], BODY[place] ^ change, *BODY[place + 1 :]])
    with pytest.raises(WebhookRefused):
        verify(changed, signed_headers([RAW], "evt_1", NOW, BODY), SECRET, now=NOW)


def test_an_unfit_secret_is_our_own_fault() -> None:
    for secret in ("", "whsec_", "whsec_%", f"whsec_{base64.b64encode(secrets.token_bytes(8)).decode()}"):
        with pytest.raises(ValueError):
            verify(BODY, signed_headers([RAW], "evt_1", NOW, BODY), secret, now=NOW)
