"""What a carrier's phrase speaks of; docs/causes.md says whose words they are."""

from __future__ import annotations

import pytest

from calls.phrases import Text, subject_of


@pytest.mark.parametrize(
    ("phrase", "subject"),
    [
        ("CPS limit exceeded", Text.CAPACITY),
        ("Calls per second limit reached", Text.CAPACITY),
        ("Call rate exceeded", Text.CAPACITY),
        ("Too Many Requests", Text.CAPACITY),
        ("Too many concurrent calls", Text.CAPACITY),
        ("Account concurrent channel limit reached", Text.CAPACITY),
        ("User channel limit exceeded", Text.CAPACITY),
        ("Maximum Calls In Progress", Text.CAPACITY),
        ("No circuit/channel available", Text.CAPACITY),
        ("Switching equipment congestion", Text.CAPACITY),
        ("Simultaneous sessions exceeded", Text.CAPACITY),
        ("Trunk CPS limit exceeded", Text.CAPACITY),
        ("Parent account pooled Trunking CPS limit exceeded", Text.CAPACITY),
        ("CPS Limit reached P05", Text.CAPACITY),
        ("User channel limit exceeded D1", Text.CAPACITY),
        ("cps_limit_reached", Text.CAPACITY),
        ("Account call creation rate limit exceeded", Text.CAPACITY),
        ("Account concurrent call limit exceeded", Text.CAPACITY),
        ("Channel Limit Reached", Text.CAPACITY),
        ("All circuits are busy", Text.CAPACITY),
        ("scps", None),
        ("Funds Required", Text.MONEY),
        ("Account blocked D19", Text.MONEY),
        ("Rate per minute exceeds profile maximum D24", Text.MONEY),
        ("Do Not Originate", Text.BLOCKED),
        ("Credit limit exceeded", Text.MONEY),
        ("Insufficient funds", Text.MONEY),
        ("Daily limit exceeded", Text.MONEY),
        ("Bad Identity Info", Text.IDENTITY),
        ("Network Blocked", Text.BLOCKED),
        ("Rejected by analytics", Text.BLOCKED),
        ("Service Unavailable", None),
        ("Decline", None),
        ("Forbidden", None),
        ("Not Found", None),
        ("Busy Here", None),
        ("Temporarily Unavailable", None),
        ("Server Internal Error", None),
        ("", None),
        (None, None),
    ],
)
def test_subjects_of_phrases(phrase: str | None, subject: Text | None) -> None:
    assert subject_of(phrase) is subject
