"""A carrier's own texts: they win over what the built-in reading makes of the same words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from calls.causes import classify
from calls.evidence import End, Outcome, RetryClass
from calls.phrases import capacity_of
from calls.rejects import Means, meaning, worded

T0 = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
LIST = [
    {"code": 503, "text": "route 7", "class": "channels"},
    {"code": None, "text": "Try  Later", "class": "cps"},
    {"code": 486, "text": "gone away", "class": "outage"},
    {"code": 480, "text": "sorry", "class": "blocked"},
    {"code": None, "text": "no such thing", "class": "bad_number"},
]


def refused(code: int, phrase: str) -> End:
    return End("NORMAL_TEMPORARY_FAILURE", T0, sip_code=code, sip_phrase=phrase, disposition="recv_refuse")


@pytest.mark.parametrize(
    ("code", "phrase", "means"),
    [
        (503, "Route 7 full", Means.CHANNELS),
        (500, "Route 7 full", None),  # noted for 503 alone
        (603, "please TRY LATER", Means.CPS),
        (486, "gone away", Means.OUTAGE),
        (404, "there is No Such Thing here", Means.BAD_NUMBER),
        (503, "Service Unavailable", None),
        (503, None, None),
        (None, "try later", None),
    ],
)
def test_the_first_entry_that_fits_counts(code: int | None, phrase: str | None, means: Means | None) -> None:
    assert meaning(LIST, code, phrase) is means


@pytest.mark.parametrize("entry", [{}, {"text": "", "class": "cps"}, {"text": "x", "class": "full"}, {"class": "cps"}])
def test_an_entry_of_another_form_says_nothing(entry: dict[str, object]) -> None:
    assert meaning([entry], 503, "x") is None


@pytest.mark.parametrize(
    ("code", "phrase", "plainly", "outcome", "reason", "retry_class"),
    [
        # code, phrase, what it is without the list, and with it
        (503, "Route 7", "carrier_fault", Outcome.FAILED, "carrier_capacity", RetryClass.CARRIER_CAPACITY),
        (603, "Try later", "declined", Outcome.FAILED, "carrier_capacity", RetryClass.CARRIER_CAPACITY),
        (486, "Gone away", "busy", Outcome.FAILED, "carrier_fault", RetryClass.CARRIER_FAULT),
        (480, "Sorry", "unavailable", Outcome.FAILED, "carrier_block", RetryClass.CARRIER_BLOCK),
        (503, "CPS limit: no such thing", "carrier_capacity", Outcome.FAILED, "bad_number", RetryClass.BAD_NUMBER),
        (403, "Try later, no credit", "carrier_account", Outcome.FAILED, "carrier_capacity", RetryClass.CARRIER_CAPACITY),
    ],
)
def test_the_list_wins(code: int, phrase: str, plainly: str, outcome: Outcome, reason: str, retry_class: RetryClass) -> None:
    assert classify(refused(code, phrase)).end_reason == plainly
    verdict = classify(worded(refused(code, phrase), LIST))
    assert (verdict.outcome, verdict.end_reason, verdict.retry_class) == (outcome, reason, retry_class)


@pytest.mark.parametrize("said", [Means.CPS, Means.CHANNELS, Means.OUTAGE])
def test_after_a_ring_no_text_proves_that_nobody_rang(said: Means) -> None:
    verdict = classify(replace(refused(503, "x"), said=said.value, ringing_at=T0 - timedelta(seconds=2)))
    assert (verdict.retry_class, verdict.uncertain) == (RetryClass.UNKNOWN, True)


def test_which_limit_is_lowered_is_the_lists_to_say() -> None:
    assert capacity_of("CPS limit exceeded", said=Means.CHANNELS) == "channels"
    assert capacity_of("Channel limit exceeded", said=Means.CPS) == "cps"
    assert capacity_of("Channel limit exceeded", said=None) == "channels"
