"""What one call says about its carrier: only what the carrier's network did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from calls.causes import classify
from calls.dialed import Kind, dialed
from calls.evidence import End
from calls.phrases import capacity_of

T = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


@dataclass(frozen=True)
class Attempt:
    claimed_at: datetime = T
    ringing_at: datetime | None = None
    early_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    evidence: str | None = None
    end_reason: str | None = None
    retry_class: str | None = None
    cause: str | None = None
    sip_code: int | None = None
    sip_phrase: str | None = None
    switch: str | None = "fs1"
    tenant: str = "a"


def ended(cause: str, *, evidence: str = "event", **known: Any) -> Attempt:
    """An attempt as the table of causes concludes it."""
    end = End(cause, at(1), **known)
    verdict = classify(end)
    return Attempt(
        ringing_at=end.ringing_at,
        early_at=end.early_at,
        answered_at=end.answered_at,
        ended_at=end.at,
        evidence=evidence,
        end_reason=verdict.end_reason,
        retry_class=verdict.retry_class.value,
        cause=end.cause,
        sip_code=end.sip_code,
        sip_phrase=end.sip_phrase,
    )


RANG: dict[str, Any] = {"ringing_at": at(0.5)}


@pytest.mark.parametrize(
    ("attempt", "kind"),
    [
        (Attempt(), Kind.PENDING),
        (Attempt(early_at=at(1)), Kind.CARRIED),
        (Attempt(ringing_at=at(1)), Kind.CARRIED),
        (ended("NORMAL_CLEARING", sip_code=200, answered_at=at(0.8), **RANG), Kind.CARRIED),
        (ended("USER_BUSY", sip_code=486, sip_phrase="Busy Here"), Kind.CARRIED),
        (ended("NO_ANSWER", **RANG), Kind.CARRIED),
        (ended("NO_USER_RESPONSE", sip_code=480, sip_phrase="Temporarily Unavailable"), Kind.CARRIED),
        (ended("CALL_REJECTED", sip_code=603, sip_phrase="Decline", **RANG), Kind.CARRIED),
        (ended("ORIGINATOR_CANCEL", requested_by="customer", **RANG), Kind.CARRIED),
        # the carrier's own
        (ended("NORMAL_TEMPORARY_FAILURE", sip_code=503, sip_phrase="Service Unavailable"), Kind.FAULT),
        (ended("NORMAL_TEMPORARY_FAILURE", sip_code=503, early_at=at(0.4)), Kind.FAULT),
        (ended("RECOVERY_ON_TIMER_EXPIRE", sip_code=504), Kind.FAULT),
        (ended("NETWORK_OUT_OF_ORDER"), Kind.FAULT),
        (ended("RECOVERY_ON_TIMER_EXPIRE", sip_code=408), Kind.FAULT),
        (ended("NORMAL_CLEARING", requested_by="platform"), Kind.FAULT),  # past its deadline, nothing heard
        (ended("CALL_REJECTED", sip_code=403, sip_phrase="Insufficient credit"), Kind.FAULT),
        (ended("INCOMPATIBLE_DESTINATION", sip_code=488, sip_phrase="Not Acceptable Here"), Kind.FAULT),
        (ended("GATEWAY_DOWN", local=True, evidence="reconcile"), Kind.FAULT),
        (ended("NORMAL_TEMPORARY_FAILURE", sip_code=503, sip_phrase="CPS limit exceeded"), Kind.REFUSED),
        (ended("CALL_REJECTED", sip_code=403, sip_phrase="Channel limit exceeded"), Kind.REFUSED),
        # the number's, the caller's, ours
        (ended("UNALLOCATED_NUMBER", sip_code=404, sip_phrase="Not Found"), Kind.NEUTRAL),
        (ended("UNALLOCATED_NUMBER", sip_code=404, early_at=at(0.4)), Kind.NEUTRAL),
        (ended("INVALID_NUMBER_FORMAT", sip_code=484), Kind.NEUTRAL),
        (ended("CALL_REJECTED", sip_code=603, sip_phrase="Network Blocked"), Kind.NEUTRAL),
        (ended("CALL_REJECTED", sip_code=403, sip_phrase="Forbidden"), Kind.NEUTRAL),
        (ended("NORMAL_TEMPORARY_FAILURE", sip_code=503, **RANG), Kind.NEUTRAL),  # somebody's phone was reached
        (ended("never_sent", local=True, evidence="reconcile"), Kind.NEUTRAL),
        (ended("ORIGINATOR_CANCEL", requested_by="customer"), Kind.NEUTRAL),
        (ended("DESTINATION_OUT_OF_ORDER", local=True, evidence="reconcile"), Kind.NEUTRAL),
        # nobody listened: silence may be ours
        (ended("carrier_silence", evidence="watchdog"), Kind.NEUTRAL),
        (ended("lost", evidence="reconcile"), Kind.NEUTRAL),
        (ended("lost", evidence="reconcile", **RANG), Kind.CARRIED),
    ],
)
def test_what_a_call_says(attempt: Attempt, kind: Kind) -> None:
    assert dialed(attempt).kind is kind


@pytest.mark.parametrize(
    ("attempt", "unfit"),
    [
        (ended("INCOMPATIBLE_DESTINATION", sip_code=488), True),
        (ended("NORMAL_UNSPECIFIED", sip_code=422), True),
        (ended("INCOMPATIBLE_DESTINATION", evidence="reconcile"), False),
        (ended("NORMAL_TEMPORARY_FAILURE", sip_code=503), False),
    ],
)
def test_a_trunk_that_is_set_up_wrongly_is_told_from_one_at_fault(attempt: Attempt, unfit: bool) -> None:
    assert dialed(attempt).unfit is unfit


def test_the_time_to_the_first_ring_and_the_words() -> None:
    seen = dialed(ended("NORMAL_CLEARING", sip_code=200, early_at=at(2), ringing_at=at(3), answered_at=at(9)))
    assert (seen.pdd_s, seen.answered, seen.known_at, seen.heard_at) == (2.0, True, at(2), at(2))
    fault = dialed(ended("NORMAL_TEMPORARY_FAILURE", sip_code=503, sip_phrase="Service Unavailable"))
    assert (fault.said, fault.pdd_s, fault.known_at, fault.heard_at) == ("503 Service Unavailable", None, at(1), at(1))
    silence = dialed(ended("RECOVERY_ON_TIMER_EXPIRE", sip_code=408, sip_phrase="Request Timeout"))
    assert (silence.said, silence.heard_at) == ("no answer", None), "the switch's own 408 is nothing the carrier said"


@pytest.mark.parametrize(
    ("phrase", "cause", "kind"),
    [
        ("CPS Limit reached P05", "", "cps"),
        ("Maximum calls per second exceeded", "", "cps"),
        ("Call rate exceeded", "", "cps"),
        ("Too Many Requests", "", "cps"),
        ("Too Many Calls", "", "cps"),
        (None, "", "cps"),
        (None, "SWITCH_CONGESTION", "cps"),
        ("Channel limit exceeded", "", "channels"),
        ("Concurrent call limit reached", "", "channels"),
        ("Max calls reached", "", "channels"),
        ("No circuit/channel available", "", "channels"),
        ("User limit exceeded D1", "", "channels"),
        ("Limit exceeded", "NORMAL_CIRCUIT_CONGESTION", "channels"),
        (None, "REQUESTED_CHAN_UNAVAIL", "channels"),
    ],
)
def test_a_rate_is_told_from_a_count(phrase: str | None, cause: str, kind: str) -> None:
    assert capacity_of(phrase, cause) == kind
