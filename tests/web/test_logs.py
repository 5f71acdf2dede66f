"""Log lines are JSON and hold no number, key or password."""

from __future__ import annotations

import json
import logging
from uuid import UUID

import pytest

from logs import JsonFormatter, know_secrets, mask
from settings import Settings


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("to +4930123456 now", "to +49******56 now"),
        ("'+442079460000'", "'+44********00'"),
        ("key tl_abcdefgh1234_" + "0123456789abcdef" * 4, "key tl_abcdefgh1234_***"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_***"),
        (
            "start " + ".".join(("eyJhbGciOiJIUzI1NiJ9", "-0301234567-" * 4, "-0301234567" * 3 + "-012345678")),
            "start eyJ***",
        ),
        ("postgresql://user:pass@host/db", "postgresql://user:***@host/db"),
        ("redis://:pass@host:6379/0", "redis://:***@host:6379/0"),
        (
            "INVITE sip:4930123456@192.0.2.1:5060 from tel:+442079460000",
            "INVITE sip:49******56@192.0.2.1:5060 from tel:+44********00",
        ),
        ("sofia/gateway/acme-e1-v4/004930123456 failed", "sofia/gateway/acme-e1-v4/00********56 failed"),
        ("sofia/carriers/sip:110 rang", "sofia/carriers/sip:110 rang"),
        ("number 4930123456 and 030123456", "number 49******56 and 03*****56"),
        (
            "at 1795217438734398 by 0190b2c3-0123-7456-8901-234567890123",
            "at 1795217438734398 by 0190b2c3-0123-7456-8901-234567890123",
        ),
        (
            "0.1234567890123 of 127.0.0.1:65535, 2026-11-27 19:12:54.123456",
            "0.1234567890123 of 127.0.0.1:65535, 2026-11-27 19:12:54.123456",
        ),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer ***"),
        ("connection to user=web password=hunter22 failed", "connection to user=web password=*** failed"),
        ("https://a.example/x?token=abc&page=2", "https://a.example/x?token=***&page=2"),
        ("{'secret': 'abc', 'n': 1}", "{'secret': '***', 'n': 1}"),
        ("DETAIL: Failing row contains (1, \\x" + "ab" * 24 + ", x)", "DETAIL: Failing row contains (1, \\x***, x)"),
        ("to=%2B4930123456", "to=%2B49******56"),
        ("<sip:anna%2B4930123456@h>", "<sip:anna%2B49******56@h>"),
        ("+49-30-123456, tel:+49-30-1234567", "+49-**-****56, tel:+49-**-*****67"),
        ("+49 30 123456 rang, +49 (30) 12 34 56", "+49 ** ****56 rang, +49 (**) ** ** 56"),
        ("0171-1234567, (030) 1234567, 030/1234567", "0171-*****67, (030) *****67, 030/*****67"),
        ("+4930123456abc to_4930123456", "+49******56abc to_49******56"),
        ("+49301234567890123456", "+49****************56"),
        ('{"password": "a b@c, d", "n": 1}', '{"password": "***", "n": 1}'),
        ("secret='x y' key: \"it's\" token=abc", "secret='***' key: \"***\" token=***"),
        ('{\\"password\\": \\"a b\\", \\"n\\": 1}', '{\\"password\\": \\"***\\", \\"n\\": 1}'),
        ("postgresql://user:p@ss@host/db, redis://:p@h/0", "postgresql://user:***@host/db, redis://:***@h/0"),
        *(
            (same, same)
            for same in (
                "01902345-0123-7456-8901-234567890123 and 11902345-0123-7456-8901-234567890123",
                "2026-11-27 19:12:54.123456+00 2026-11-27T19:12:54+01:00 05:12:33 2026-01-02 030",
                "1795217438734 ms, 1795217438 s, in 1795217438734398 us, 0.5 s, 192.0.2.1:5060 +1 200",
                "at_1795217438734 call_0190b2c3d4e57f60718293a4b5c6d7e8 tl_123456789012",
            )
        ),
        ("call_0190b2c3d4e57f60718293a4b5c6d7e8 took 12345678 us", "call_0190b2c3d4e57f60718293a4b5c6d7e8 took 12345678 us"),
    ],
)
def test_secrets_and_numbers_are_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_what_is_inside_of_an_extra_is_masked_too() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "m", (), None)
    record.seen = {"+4930123456": ["to +4930123456", ("tl_abcdefgh1234_" + "0" * 64, 3, None)], "of": UUID(int=1)}
    assert json.loads(JsonFormatter().format(record))["seen"] == {
        "+49******56": ["to +49******56", ["tl_abcdefgh1234_***", 3, None]],
        "of": "00000000-0000-0000-0000-000000000001",
    }


def test_a_secret_of_the_settings_is_known_by_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logs._known", [])
    settings = Settings.model_validate({"esl_password": "Kn0wn-by-value", "cdr_password": "short"})
    assert "Kn0wn-by-value" not in repr(settings)
    assert mask("Kn0wn-by-value") == "Kn0wn-by-value", "nobody has said that it is one"
    know_secrets(settings, {"TRUNKLINE_SECRET_ACME": "digest-pw", "HOME": "/home/somebody"})
    told = "said Kn0wn-by-value and digest-pw in /home/somebody, in short"
    assert mask(told) == "said *** and *** in /home/somebody, in short"
    assert mask("Kn0wn-by-value") == "***", "though it was seen before"


def test_a_record_is_one_line_with_its_extras_and_its_error() -> None:
    try:
        raise ValueError("bad +4930123456\nDETAIL: row")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "for %s", ("+4930123456",), (ValueError, error, error.__traceback__)
        )
    record.tenant, record.count = "postgres://u:p@h", 3
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "30123456" not in line
    made = json.loads(line)
    assert (made["level"], made["message"], made["count"]) == ("error", "for +49******56", 3)
    assert made["tenant"] == "postgres://u:***@h"
    assert "Traceback" in made["error"]
    assert made["at"].endswith("Z")
