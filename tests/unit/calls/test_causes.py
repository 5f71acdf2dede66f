"""The table's rules beyond the recorded scenarios."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.cause_table import END_REASONS, NOTES, OWN_CAUSES, ROWS, Row
from calls.causes import classify, normalize
from calls.evidence import End, Outcome, RetryClass
from calls.rejects import Means

T0 = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
RANG = T0 + timedelta(seconds=2)
DONE = T0 + timedelta(seconds=9)
CAUSES = sorted({cause for row in ROWS for cause in row.causes or ()} | OWN_CAUSES | {"SYSTEM_SHUTDOWN", "LOSE_RACE"})
FREE = {RetryClass.CARRIER_CAPACITY, RetryClass.CONFIGURATION, RetryClass.SWITCH_LOCAL, RetryClass.NOT_SENT}

ends = st.builds(
    End,
    cause=st.sampled_from(CAUSES),
    at=st.just(DONE),
    sip_code=st.none()
    | st.sampled_from([302, 401, 402, 403, 404, 407, 408, 422, 429, 480, 486, 487, 488, 500, 503, 603, 608]),
    sip_phrase=st.sampled_from([None, "CANCEL", "CPS limit exceeded", "Network Blocked", "Bad identity", "No credit"]),
    disposition=st.sampled_from([None, "recv_refuse", "send_cancel", "recv_bye", "send_bye", "recv_cancel"]),
    ringing_at=st.sampled_from([None, RANG]),
    early_at=st.sampled_from([None, RANG]),
    answered_at=st.sampled_from([None, T0 + timedelta(seconds=5)]),
    local=st.booleans(),
    requested_by=st.sampled_from([None, "customer", "agent", "operator", "platform", "watchdog"]),
    note=st.sampled_from([None, "agent_lost", "media_lost", "agent_unreachable", "something_else"]),
    said=st.none() | st.sampled_from(Means),
)


def refused(code: int, phrase: str | None = None, cause: str = "NORMAL_TEMPORARY_FAILURE") -> End:
    """A leg that the carrier refused before any 18x."""
    return End(cause=cause, at=DONE, sip_code=code, sip_phrase=phrase, disposition="recv_refuse")


@given(ends)
def test_every_end_has_a_known_reason_and_completed_means_answered(end: End) -> None:
    verdict = classify(end)
    assert verdict.end_reason in END_REASONS
    assert (verdict.outcome is Outcome.COMPLETED) == (end.answered_at is not None)
    assert (verdict.retry_class is RetryClass.ANSWERED) == (end.answered_at is not None)
    assert verdict.hangup_by in {None, "callee", "agent", "platform", "carrier", "operator", "customer"}
    assert (verdict.retry_class is RetryClass.UNKNOWN) <= verdict.uncertain


@given(ends)
def test_only_a_proof_that_nobody_rang_makes_a_try_free_or_a_fault(end: End) -> None:
    verdict = classify(end)
    if verdict.retry_class in FREE | {RetryClass.CARRIER_FAULT}:
        assert end.ringing_at is None
        assert end.early_at is None
    if verdict.retry_class in {RetryClass.CARRIER_CAPACITY, RetryClass.CARRIER_FAULT}:
        assert end.sip_code is not None or end.cause == "REQUESTED_CHAN_UNAVAIL"


@given(ends)
def test_normalizing_twice_changes_nothing_and_never_the_meaning(end: End) -> None:
    assert normalize(normalize(end)) == normalize(end)
    assert classify(normalize(end)) == classify(end)


@pytest.mark.parametrize(
    ("cause", "outcome", "reason", "retry_class"),
    [
        ("USER_BUSY", Outcome.BUSY, "busy", RetryClass.BUSY),
        ("CALL_REJECTED", Outcome.FAILED, "declined", RetryClass.DECLINED),
        ("UNWANTED", Outcome.FAILED, "carrier_block", RetryClass.CARRIER_BLOCK),
        ("NO_IDENTITY", Outcome.FAILED, "identity_refused", RetryClass.CARRIER_BLOCK),
        ("UNALLOCATED_NUMBER", Outcome.FAILED, "bad_number", RetryClass.BAD_NUMBER),
        ("NUMBER_CHANGED", Outcome.FAILED, "bad_number", RetryClass.BAD_NUMBER),
        ("INCOMPATIBLE_DESTINATION", Outcome.FAILED, "incompatible_media", RetryClass.UNKNOWN),
        ("NO_USER_RESPONSE", Outcome.NO_ANSWER, "unavailable", RetryClass.NO_ANSWER),
        ("SUBSCRIBER_ABSENT", Outcome.NO_ANSWER, "unavailable", RetryClass.NO_ANSWER),
        ("ORIGINATOR_CANCEL", Outcome.CANCELED, "canceled", RetryClass.CANCELED),
        ("GATEWAY_DOWN", Outcome.FAILED, "switch_local", RetryClass.SWITCH_LOCAL),
        ("INVALID_GATEWAY", Outcome.FAILED, "switch_local", RetryClass.SWITCH_LOCAL),
        # No proof that nobody rang, so none of these is redialed.
        ("NORMAL_TEMPORARY_FAILURE", Outcome.FAILED, "carrier_fault", RetryClass.UNKNOWN),
        ("NETWORK_OUT_OF_ORDER", Outcome.FAILED, "carrier_fault", RetryClass.UNKNOWN),
        ("NORMAL_CIRCUIT_CONGESTION", Outcome.FAILED, "carrier_fault", RetryClass.UNKNOWN),
        ("DESTINATION_OUT_OF_ORDER", Outcome.FAILED, "carrier_fault", RetryClass.UNKNOWN),
        ("NO_ANSWER", Outcome.FAILED, "carrier_silence", RetryClass.UNKNOWN),
        ("RECOVERY_ON_TIMER_EXPIRE", Outcome.FAILED, "carrier_silence", RetryClass.UNKNOWN),
        ("ALLOTTED_TIMEOUT", Outcome.FAILED, "lost", RetryClass.UNKNOWN),
        ("NO_SUCH_CAUSE", Outcome.FAILED, "lost", RetryClass.UNKNOWN),
    ],
)
def test_a_bare_cause(cause: str, outcome: Outcome, reason: str, retry_class: RetryClass) -> None:
    """A background job's reply alone: neither the ring nor the carrier's code survived."""
    verdict = classify(End(cause, DONE))
    assert (verdict.outcome, verdict.end_reason, verdict.retry_class) == (outcome, reason, retry_class)


@pytest.mark.parametrize("cause", ["ORIGINATOR_CANCEL", "NORMAL_CLEARING", "MANAGER_REQUEST"])
@pytest.mark.parametrize("disposition", ["send_cancel", None])
@pytest.mark.parametrize(
    ("requested_by", "rang", "outcome", "hangup_by", "retry_class"),
    [
        ("customer", True, Outcome.CANCELED, "customer", RetryClass.CANCELED),
        ("agent", False, Outcome.CANCELED, "agent", RetryClass.CANCELED),
        ("operator", True, Outcome.CANCELED, "operator", RetryClass.CANCELED),
        ("watchdog", True, Outcome.NO_ANSWER, "platform", RetryClass.NO_ANSWER),
        ("platform", False, Outcome.FAILED, "platform", RetryClass.UNKNOWN),
    ],
)
def test_our_own_kill_before_an_answer(
    cause: str,
    disposition: str | None,
    requested_by: str,
    rang: bool,
    outcome: Outcome,
    hangup_by: str,
    retry_class: RetryClass,
) -> None:
    end = End(
        cause, DONE, disposition=disposition, ringing_at=RANG if rang else None, requested_by=requested_by
    )  # fmt: skip
    verdict = classify(end)
    assert (verdict.outcome, verdict.hangup_by, verdict.retry_class) == (outcome, hangup_by, retry_class)
    assert verdict.uncertain, "our CANCEL may have crossed an answer"


def test_a_kill_nobody_is_known_to_have_asked_for() -> None:
    verdict = classify(End("NORMAL_CLEARING", DONE, disposition="send_cancel", ringing_at=RANG))
    assert (verdict.outcome, verdict.hangup_by, verdict.uncertain) == (Outcome.CANCELED, "platform", True)


def test_every_reason_is_used_and_the_last_row_catches_all() -> None:
    answered = {"hangup", "max_duration", "media_timeout", "dropped", "end_not_seen"}
    inbound = {"caller_gave_up", "agent_busy", "house_full"}  # calls/inbound.py
    assert {row.reason for row in ROWS} | answered | inbound | set(NOTES.values()) == set(END_REASONS)
    assert ROWS[-1] == Row(Outcome.FAILED, "lost", RetryClass.UNKNOWN, None, True)


@pytest.mark.parametrize(
    ("end", "reason", "retry_class"),
    [
        (refused(503, "Maximum Calls In Progress"), "carrier_capacity", RetryClass.CARRIER_CAPACITY),
        (refused(403, "Channel limit exceeded", "CALL_REJECTED"), "carrier_capacity", RetryClass.CARRIER_CAPACITY),
        (refused(429, None, "BAD_IDENTITY_INFO"), "carrier_capacity", RetryClass.CARRIER_CAPACITY),
        (refused(429, "Bad Identity Info", "BAD_IDENTITY_INFO"), "identity_refused", RetryClass.CARRIER_BLOCK),
        (refused(503, None, "NORMAL_CIRCUIT_CONGESTION"), "carrier_capacity", RetryClass.CARRIER_CAPACITY),
        (refused(503, "Insufficient credit"), "carrier_account", RetryClass.CARRIER_FAULT),
        (refused(407, None, "CALL_REJECTED"), "carrier_account", RetryClass.CARRIER_FAULT),
        (refused(403, "Forbidden", "CALL_REJECTED"), "carrier_block", RetryClass.CARRIER_BLOCK),
        (refused(607, "Unwanted", "UNWANTED"), "carrier_block", RetryClass.CARRIER_BLOCK),
        (refused(608, "Rejected", "CALL_REJECTED"), "carrier_block", RetryClass.CARRIER_BLOCK),
        (refused(500, "Server Internal Error"), "carrier_fault", RetryClass.CARRIER_FAULT),
        (refused(502, "Bad Gateway", "NETWORK_OUT_OF_ORDER"), "carrier_fault", RetryClass.CARRIER_FAULT),
        (refused(504, "Server Time-out", "RECOVERY_ON_TIMER_EXPIRE"), "carrier_fault", RetryClass.CARRIER_FAULT),
        (refused(408, "Request Timeout", "RECOVERY_ON_TIMER_EXPIRE"), "carrier_silence", RetryClass.UNKNOWN),
        (refused(302, "Moved", "REQUESTED_CHAN_UNAVAIL"), "carrier_redirect", RetryClass.CARRIER_FAULT),
        (refused(437, None, "UNSUPPORTED_CERTIFICATE"), "identity_refused", RetryClass.CARRIER_BLOCK),
        (refused(488, None, "INCOMPATIBLE_DESTINATION"), "incompatible_media", RetryClass.CONFIGURATION),
        (refused(415, None, "SERVICE_NOT_IMPLEMENTED"), "incompatible_media", RetryClass.CONFIGURATION),
        (refused(422, "Session Interval Too Small"), "incompatible_signaling", RetryClass.CONFIGURATION),
        (refused(420, "Bad Extension", "INTERWORKING"), "incompatible_signaling", RetryClass.CONFIGURATION),
        (refused(433, "Anonymity Disallowed"), "carrier_block", RetryClass.CARRIER_BLOCK),
        (refused(404, "Account blocked D19", "UNALLOCATED_NUMBER"), "carrier_account", RetryClass.CARRIER_FAULT),
        (refused(603, "MaxPeak Cost Exceeded", "CALL_REJECTED"), "carrier_account", RetryClass.CARRIER_FAULT),
        (refused(480, "CPS Limit Exceeded", "NO_USER_RESPONSE"), "carrier_capacity", RetryClass.CARRIER_CAPACITY),
        (refused(410, "Gone", "NUMBER_CHANGED"), "bad_number", RetryClass.BAD_NUMBER),
        (refused(484, None, "INVALID_NUMBER_FORMAT"), "bad_number", RetryClass.BAD_NUMBER),
        (refused(604, None, "NO_ROUTE_DESTINATION"), "bad_number", RetryClass.BAD_NUMBER),
        (refused(600, "Busy Everywhere", "USER_BUSY"), "busy", RetryClass.BUSY),
        (refused(404, "No such line", "UNALLOCATED_NUMBER"), "bad_number", RetryClass.BAD_NUMBER),
        (refused(404, "Not found: no line", "UNALLOCATED_NUMBER"), "bad_number", RetryClass.BAD_NUMBER),
    ],
)
def test_what_a_carrier_says_before_any_ring(end: End, reason: str, retry_class: RetryClass) -> None:
    verdict = classify(end)
    assert (verdict.end_reason, verdict.retry_class) == (reason, retry_class)


@pytest.mark.parametrize("field", ["ringing_at", "early_at"])
@pytest.mark.parametrize(
    ("code", "phrase", "cause"),
    [
        (503, "CPS limit exceeded", "NORMAL_TEMPORARY_FAILURE"),
        (503, "Service Unavailable", "NORMAL_TEMPORARY_FAILURE"),
        (500, None, "NORMAL_TEMPORARY_FAILURE"),
        (429, "Too Many Requests", "BAD_IDENTITY_INFO"),
        (302, "Moved", "REQUESTED_CHAN_UNAVAIL"),
    ],
)
def test_after_ringing_a_refusal_is_no_proof_that_nobody_rang(field: str, code: int, phrase: str, cause: str) -> None:
    end = refused(code, phrase, cause)
    rang = replace(end, ringing_at=RANG) if field == "ringing_at" else replace(end, early_at=RANG)
    verdict = classify(rang)
    assert verdict.retry_class is RetryClass.UNKNOWN
    assert verdict.uncertain


@pytest.mark.parametrize("code", [408, 487])
def test_the_carriers_own_ring_timer_is_a_certain_no_answer(code: int) -> None:
    verdict = classify(replace(refused(code), ringing_at=RANG))
    assert (verdict.outcome, verdict.uncertain) == (Outcome.NO_ANSWER, False)


@pytest.mark.parametrize(
    ("cause", "disposition", "requested_by", "reason", "hangup_by"),
    [
        ("NORMAL_CLEARING", "recv_bye", "customer", "hangup", "callee"),
        ("NORMAL_CLEARING", "send_bye", "customer", "hangup", "customer"),
        ("NORMAL_CLEARING", "send_bye", "watchdog", "hangup", "platform"),
        ("ALLOTTED_TIMEOUT", "send_bye", None, "max_duration", "platform"),
        ("ALLOTED_TIMEOUT", "send_bye", None, "max_duration", "platform"),
        ("alloted_timeout", "send_bye", None, "max_duration", "platform"),
        ("MEDIA_TIMEOUT", "send_bye", None, "media_timeout", "platform"),
        ("NETWORK_OUT_OF_ORDER", "recv_bye", None, "dropped", "carrier"),
        ("SYSTEM_SHUTDOWN", "send_bye", None, "dropped", "platform"),
        ("lost", None, None, "end_not_seen", None),
        ("USER_BUSY", "recv_bye", None, "hangup", "callee"),
    ],
)
def test_how_an_answered_call_ends(
    cause: str, disposition: str | None, requested_by: str | None, reason: str, hangup_by: str | None
) -> None:
    end = End(cause=cause, at=DONE, disposition=disposition, requested_by=requested_by, answered_at=RANG)
    verdict = classify(end)
    assert (verdict.outcome, verdict.end_reason, verdict.hangup_by) == (Outcome.COMPLETED, reason, hangup_by)


@pytest.mark.parametrize(
    ("end", "outcome", "reason", "retry_class"),
    [
        (End("never_sent", DONE, local=True), Outcome.FAILED, "not_sent", RetryClass.NOT_SENT),
        (End("expired", DONE, local=True), Outcome.EXPIRED, "expired", RetryClass.POLICY),
        (End("blocked", DONE, local=True), Outcome.BLOCKED, "blocked", RetryClass.POLICY),
        (End("customer_cancel", DONE, local=True), Outcome.CANCELED, "canceled", RetryClass.CANCELED),
        (End("carrier_silence", DONE), Outcome.FAILED, "carrier_silence", RetryClass.UNKNOWN),
        (End("carrier_silence", DONE, ringing_at=RANG), Outcome.NO_ANSWER, "no_answer", RetryClass.NO_ANSWER),
        (End("ring_silence", DONE, ringing_at=RANG), Outcome.NO_ANSWER, "no_answer", RetryClass.NO_ANSWER),
        (End("ring_silence", DONE), Outcome.FAILED, "carrier_silence", RetryClass.UNKNOWN),
        (End("lost", DONE), Outcome.FAILED, "lost", RetryClass.UNKNOWN),
        (End("lost", DONE, ringing_at=RANG), Outcome.FAILED, "lost", RetryClass.UNKNOWN),
        (End("never_sent", DONE, ringing_at=RANG), Outcome.FAILED, "lost", RetryClass.UNKNOWN),
        (End("GATEWAY_DOWN", DONE, local=True, ringing_at=RANG), Outcome.FAILED, "lost", RetryClass.UNKNOWN),
        (End("SYSTEM_SHUTDOWN", DONE, disposition="send_cancel"), Outcome.FAILED, "switch_ended", RetryClass.UNKNOWN),
    ],
)
def test_ends_without_a_carriers_answer(end: End, outcome: Outcome, reason: str, retry_class: RetryClass) -> None:
    verdict = classify(end)
    assert (verdict.outcome, verdict.end_reason, verdict.retry_class) == (outcome, reason, retry_class)


@pytest.mark.parametrize(("note", "reason"), sorted(NOTES.items()))
def test_a_fault_of_ours_is_named_and_a_ring_is_never_called_unanswered(note: str, reason: str) -> None:
    ringing = End("ORIGINATOR_CANCEL", DONE, disposition="send_cancel", ringing_at=RANG, requested_by="platform", note=note)
    verdict = classify(ringing)
    assert (verdict.outcome, verdict.end_reason, verdict.hangup_by) == (Outcome.FAILED, reason, "platform")
    assert verdict.retry_class is RetryClass.NO_ANSWER
    assert verdict.uncertain
    talking = End("NORMAL_CLEARING", DONE, disposition="send_bye", answered_at=RANG, requested_by="platform", note=note)
    assert (classify(talking).outcome, classify(talking).end_reason) == (Outcome.COMPLETED, reason)


def test_a_note_counts_only_with_the_platforms_own_hangup() -> None:
    callee = End(
        "NORMAL_CLEARING", DONE, disposition="recv_bye", answered_at=RANG, requested_by="platform", note="agent_lost"
    )
    assert (classify(callee).end_reason, classify(callee).hangup_by) == ("hangup", "callee")
    refused_meanwhile = End(
        "USER_BUSY",
        DONE,
        sip_code=486,
        disposition="recv_refuse",
        ringing_at=RANG,
        requested_by="platform",
        note="agent_lost",
    )
    assert classify(refused_meanwhile).outcome is Outcome.BUSY
    stranger = End(
        "ORIGINATOR_CANCEL", DONE, disposition="send_cancel", ringing_at=RANG, requested_by="customer", note="agent_lost"
    )
    assert classify(stranger).outcome is Outcome.CANCELED


def test_who_canceled_before_anything_was_sent() -> None:
    assert classify(End("customer_cancel", DONE, local=True)).hangup_by == "customer"
    assert classify(End("customer_cancel", DONE, local=True, requested_by="operator")).hangup_by == "operator"
