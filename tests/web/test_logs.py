"""Log lines are JSON and hold no number, key or password."""

from __future__ import annotations

import json
import logging

import pytest

from logs import JsonFormatter, mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("to +4930123456 now", "to +49******56 now"),
        ("'+442079460000'", "'+44********00'"),
        ("key tl_abcdefgh1234_" + "0123456789abcdef" * 4, "key tl_abcdefgh1234_***"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_***"),
        ("postgresql://user:pass@host/db", "postgresql://user:***@host/db"),
        ("redis://:pass@host:6379/0", "redis://:***@host:6379/0"),
        ("call_0190b2c3d4e57f60718293a4b5c6d7e8 took 12345678 us", "call_0190b2c3d4e57f60718293a4b5c6d7e8 took 12345678 us"),
    ],
)
def test_secrets_and_numbers_are_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


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
