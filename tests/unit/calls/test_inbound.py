"""Calls that come in: whose, from whom, and how those end that nobody answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest

from calls.cause_table import END_REASONS, NOTES
from calls.causes import classify
from calls.cdr import from_cdr
from calls.evidence import End, Evidence, Outcome, RetryClass, Source, State
from calls.inbound import ANONYMOUS, caller_of, carrier_of, dialed, final_answer, number_of, unanswered
from calls.inbound import Source as Address
from calls.lanes import inbound_lane, parse_lane
from calls.lifecycle import AttemptFacts, fold
from calls.retry import CallFacts, RetryRules, Stop, apply_retry_policy

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
A, B = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        ("+4989111222", "+4989111222"),
        ("4989111222", "+4989111222"),
        ("004989111222", "+4989111222"),
        ("089111222", None),  # of which country?
        ("+49", None),
        ("+1234567890123456", None),
        ("anonymous", None),
        ("+49891112x2", None),
        ("+49891112२2", None),  # a digit, and not one of ours
        ("+4989111222\n", None),
        ("", None),
        (None, None),
    ],
)
def test_a_number_is_e164_or_it_is_none(sent: str | None, number: str | None) -> None:
    assert number_of(sent) == number
    assert caller_of(sent) == (number or ANONYMOUS)


@pytest.mark.parametrize(
    ("sent", "kept"), [("+4989*1#", "+4989*1#"), ("a;b", "?"), ("1" * 33, "?"), ("12\r\n", "?"), (None, "?"), ("", "?")]
)
def test_what_was_dialed_is_fit_for_a_log(sent: str | None, kept: str) -> None:
    assert dialed(sent) == kept


@pytest.mark.parametrize(
    ("host", "port", "wanted", "found"),
    [
        ("192.0.2.1", 5060, None, A),  # one carrier calls from there
        ("192.0.2.1", 999, None, A),  # from another port than it is called at
        ("192.0.2.1", 5060, B, A),  # whose number it is does not change whose channel it takes
        ("192.0.2.9", 5060, None, A),  # two call from there: the exact address
        ("192.0.2.9", 5061, None, B),
        ("192.0.2.9", 5061, A, B),
        ("192.0.2.9", 999, B, B),  # two, and neither port: the number's own
        ("192.0.2.9", 999, None, A),  # and not by chance
        ("198.51.100.1", 5060, None, None),  # nobody's
        ("198.51.100.1", None, B, B),
    ],
)
def test_whose_channel_a_call_takes(host: str, port: int | None, wanted: UUID | None, found: UUID | None) -> None:
    sources = [Address(A, "192.0.2.1", 5060), Address(A, "192.0.2.9", 5060), Address(B, "192.0.2.9", 5061)]
    for order in permutations(sources):
        assert carrier_of(order, host, port, wanted) == found


def end(cause: str, **more: Any) -> End:
    return End(cause, NOW, inbound=True, **more)


CASES = [
    (end("ORIGINATOR_CANCEL", disposition="recv_cancel"), Outcome.CANCELED, "caller_gave_up", "caller"),
    (end("USER_BUSY", note="agent_busy", requested_by="platform"), Outcome.BUSY, "agent_busy", "platform"),
    (end("NORMAL_CIRCUIT_CONGESTION", note="house_full", requested_by="platform"), Outcome.FAILED, "house_full", "platform"),
    (end("NO_ANSWER", note="agent_paused", requested_by="platform"), Outcome.FAILED, "agent_unavailable", "platform"),
    (
        end("NORMAL_CLEARING", note="agent_not_ready", requested_by="platform"),
        Outcome.FAILED,
        "agent_unavailable",
        "platform",
    ),
    (end("NORMAL_CLEARING", note="agent_lost", requested_by="platform"), Outcome.FAILED, "agent_lost", "platform"),
    (end("NORMAL_CLEARING", note="switch_link_lost", requested_by="platform"), Outcome.FAILED, "media_lost", "platform"),
    (end("NORMAL_CLEARING", requested_by="customer"), Outcome.CANCELED, "canceled", "customer"),
    (end("NORMAL_CLEARING", requested_by="operator"), Outcome.CANCELED, "canceled", "operator"),
    (end("NORMAL_TEMPORARY_FAILURE"), Outcome.NO_ANSWER, "no_answer", "platform"),  # the dialplan's fuse
    (end("NORMAL_CLEARING", requested_by="platform"), Outcome.NO_ANSWER, "no_answer", "platform"),  # the watchdog
    (end("INCOMPATIBLE_DESTINATION"), Outcome.FAILED, "incompatible_media", "platform"),
    (end("lost"), Outcome.FAILED, "lost", None),
    (end("never_sent", local=True), Outcome.FAILED, "lost", None),
    (end("carrier_silence"), Outcome.FAILED, "lost", None),
]


@pytest.mark.parametrize(("ended", "outcome", "reason", "by"), CASES)
def test_what_an_unanswered_call_means(ended: End, outcome: Outcome, reason: str, by: str | None) -> None:
    assert unanswered(ended) == (outcome, reason, by)
    assert reason in END_REASONS
    verdict = classify(ended)
    assert (verdict.outcome, verdict.end_reason, verdict.hangup_by) == (outcome, reason, by)
    assert verdict.retry_class is RetryClass.INBOUND
    assert not verdict.uncertain


def test_every_note_of_the_platform_has_its_reason() -> None:
    for note, reason in NOTES.items():
        assert unanswered(end("NORMAL_CLEARING", note=note, requested_by="platform"))[1] == reason


@pytest.mark.parametrize(
    ("disposition", "requested_by", "by"),
    [
        ("recv_bye", None, "caller"),
        ("recv_bye", "agent", "caller"),
        ("send_bye", "agent", "agent"),
        ("send_bye", None, "platform"),
    ],
)
def test_who_hung_up_an_answered_call(disposition: str, requested_by: str | None, by: str) -> None:
    answered = end("NORMAL_CLEARING", disposition=disposition, requested_by=requested_by, answered_at=NOW)
    verdict = classify(answered)
    assert (verdict.outcome, verdict.end_reason, verdict.hangup_by) == (Outcome.COMPLETED, "hangup", by)


@pytest.mark.parametrize("ended", [case[0] for case in CASES])
def test_nobody_is_called_because_somebody_called(ended: End) -> None:
    """Whatever the rules say, and whoever wrote the row."""
    facts = fold(AttemptFacts(inbound=True), [seen("x", State.ENDED, NOW, replace(ended, inbound=False))])
    assert facts.inbound
    keen = RetryRules(on_unknown=True, on_declined=True)
    call = CallFacts(1, 1, 10, NOW + timedelta(days=1), 30)
    decision = apply_retry_policy(call, facts, keen, NOW)
    assert isinstance(decision, Stop)
    assert decision.end_reason == ended_reason(ended)


def ended_reason(ended: End) -> str:
    return unanswered(ended)[1]


def seen(key: str, state: State, at: datetime, ended: End | None = None) -> Evidence:
    return Evidence(A, key, Source.EVENT, state, at, ended)


def test_in_any_order_the_row_is_the_same() -> None:
    ring, answer, hangup = (NOW + timedelta(seconds=n) for n in (1, 2, 9))
    last = End(
        "NORMAL_CLEARING", hangup, sip_code=200, disposition="recv_bye", ringing_at=ring, answered_at=answer, inbound=True
    )
    witnessed = [
        seen("ring", State.RINGING, ring),
        seen("answer", State.IN_PROGRESS, answer),
        seen("end", State.ENDED, hangup, last),
    ]
    rows = {fold(AttemptFacts(state=State.DIALING, inbound=True), order) for order in permutations(witnessed)}
    (row,) = rows
    assert (row.outcome, row.hangup_by, row.ringing_at, row.answered_at) == (Outcome.COMPLETED, "caller", ring, answer)


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        ("UNALLOCATED_NUMBER", 404),
        ("NO_ANSWER", 480),
        ("NORMAL_CLEARING", 480),
        ("USER_BUSY", 486),
        ("ORIGINATOR_CANCEL", 487),
        ("NORMAL_CIRCUIT_CONGESTION", 503),
        ("NORMAL_TEMPORARY_FAILURE", 503),
        ("ANYTHING", 480),
    ],
)
def test_the_answer_that_a_cause_stands_for(cause: str, status: int) -> None:
    """As tests/contract/test_inbound_contract.py has it from both kinds of switch."""
    assert final_answer(cause) == status


def test_the_lane_of_a_call_that_comes_in_is_none_to_wait_in() -> None:
    assert inbound_lane(A, None) == f"dial.inbound.{A.hex}.inbound"
    assert inbound_lane(A, "desk") == f"dial.inbound.{A.hex}.inbound.a-desk"
    with pytest.raises(ValueError, match="pool"):
        inbound_lane(A, "de.sk")
    with pytest.raises(ValueError, match="lane"):
        parse_lane(inbound_lane(A, None))


def cdr_of(channel: UUID, **variables: str) -> dict[str, Any]:
    return {
        "channel_data": {"direction": "inbound"},
        "variables": {"uuid": str(channel), "hangup_cause": "ORIGINATOR_CANCEL", "hangup_cause_q850": "16", **variables},
        "callflow": [
            {
                "caller_profile": {"uuid": str(channel)},
                "times": {
                    "hangup_time": "1795794440870116",
                    "progress_time": "1795794440000000",
                    "progress_media_time": "1795794440100000",
                },
            }
        ],
    }


def test_the_record_of_an_announced_caller_is_a_witness() -> None:
    channel = uuid4()
    found = from_cdr(cdr_of(channel, trunkline_attempt=str(channel), sip_hangup_disposition="recv_cancel"))
    assert found is not None
    assert found.end is not None
    assert (found.attempt_id, found.end.inbound, found.end.sip_code, found.end.early_at) == (channel, True, 487, None)
    assert classify(found.end).end_reason == "caller_gave_up"


@pytest.mark.parametrize("claimed", [{}, {"trunkline_attempt": str(uuid4())}])
def test_the_record_of_anybody_else_is_not(claimed: dict[str, str]) -> None:
    assert from_cdr(cdr_of(uuid4(), **claimed)) is None
