"""The rules of calls placed with a test key, in place of all others: only numbers that are nobody's. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from calls.test_numbers import PATTERN, fate_of
from calls.verdict import Facts, Finding


def number(facts: Facts, _: datetime) -> Iterator[Finding]:
    """A test call goes to one of the test numbers, whatever else its tenant may dial."""
    if fate_of(facts.to) is None:
        yield Finding(
            "number",
            "not_a_test_number",
            "/to",
            "a test key calls test numbers alone",
            f"give {PATTERN} with an ending of the table in docs/test-keys.md, such as +12025550101 for a busy line",
        )
