"""Evidence from everything a real switch said, and from what a broken one might."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.evidence import End, Evidence, Source
from controller.evidence import LocalRefusal, from_event
from controller.frames import Event
from tests.esl import traces

A = UUID("f3280cf2-59b3-4d51-b8d1-b6d6f408f532")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us(text: str) -> datetime:
    return EPOCH + timedelta(microseconds=int(text))


def seen(name: str) -> list[Evidence]:
    return [e for e in map(from_event, traces.events(name)) if isinstance(e, Evidence)]


def end_of(name: str) -> End:
    ends = [e.end for e in seen(name) if e.end is not None]
    assert len(ends) == 1
    return ends[0]


ANSWERED = ["dialing", "ringing", "in_progress", "ended"]


STATES = {
    "announcement_183_then_404": ["dialing", "early", "ended"],
    "answer_then_instant_hangup": ANSWERED,
    "answer_without_18x": ["dialing", "in_progress", "ended"],
    "answered_callee_hangs_up": ANSWERED,
    "answered_dialer_hangs_up": ANSWERED,
    "audio_fork_agent_drops": ANSWERED,
    "audio_fork_connect_failed": ANSWERED,
    "audio_fork_metadata_with_spaces": ANSWERED,
    "audio_fork_play_and_control": ANSWERED,
    "auth_rejected": [],
    "busy": ["dialing", "ringing", "ended"],
    "cancel_crosses_answer": ["dialing", "ringing", "ended"],
    "canceled_while_ringing": ["dialing", "ringing", "ended"],
    "carrier_cps_limit_503": ["dialing", "ended"],
    "carrier_fault_503": ["dialing", "ended"],
    "carrier_says_nothing": ["dialing", "ended"],
    "declined": ["dialing", "ringing", "ended"],
    "digest_challenge_407": ANSWERED,
    "duplicate_uuid_and_queries": ANSWERED,
    "early_media_then_answer": ["dialing", "early", "in_progress", "ended"],
    "fork_on_answer": ANSWERED,
    "gateway_refuses_connection": [],
    "inbound_call": [],
    "json_events": ANSWERED,
    "network_blocked_603": ["dialing", "ringing", "ended"],
    "no_answer_timeout": ["dialing", "ringing", "ended"],
    "queries": [],
    "record_playback_setvar": ANSWERED,
    "redirect_302_followed": ANSWERED,
    "redirect_302_refused": ["dialing", "ended"],
    "sendmsg_playback_and_break": ANSWERED,
    "tombstone_in_hash": ANSWERED,
    "trying_only_then_late_ringing": ANSWERED,
    "unavailable_480": ["dialing", "ringing", "ended"],
    "unknown_gateway": [],
    "unknown_number": ["dialing", "ended"],
}


@pytest.mark.parametrize("name", [n for n in traces.NAMES if n != "switch_limits"])
def test_states_of_every_recording(name: str) -> None:
    evidence = seen(name)
    assert [str(e.state) for e in evidence] == STATES[name]
    assert len({e.attempt_id for e in evidence}) <= 1
    assert len({e.key for e in evidence}) == len(evidence)
    assert [e.at for e in evidence] == sorted(e.at for e in evidence)
    assert {e.source for e in evidence} <= {Source.EVENT}


def test_six_calls_at_once() -> None:
    by_attempt: dict[UUID, list[str]] = {}
    for e in seen("switch_limits"):
        by_attempt.setdefault(e.attempt_id, []).append(str(e.state))
    assert list(by_attempt.values()) == [ANSWERED] * 6
    refused = [e for e in map(from_event, traces.events("switch_limits")) if isinstance(e, LocalRefusal)]
    assert Counter((r.cause, r.certain) for r in refused) == {("DESTINATION_OUT_OF_ORDER", False): 3}


@pytest.mark.parametrize(
    ("name", "cause", "q850", "code", "phrase", "disposition"),
    [
        ("announcement_183_then_404", "UNALLOCATED_NUMBER", 1, 404, "Not Found", "recv_refuse"),
        ("answered_callee_hangs_up", "NORMAL_CLEARING", 16, 200, None, "recv_bye"),
        ("answered_dialer_hangs_up", "NORMAL_CLEARING", 16, 200, None, "send_bye"),
        ("busy", "USER_BUSY", 17, 486, "Busy Here", "recv_refuse"),
        ("cancel_crosses_answer", "ORIGINATOR_CANCEL", 16, None, None, "send_cancel"),
        ("canceled_while_ringing", "ORIGINATOR_CANCEL", 16, None, None, "send_cancel"),
        ("carrier_cps_limit_503", "NORMAL_TEMPORARY_FAILURE", 41, 503, "CPS limit exceeded", "recv_refuse"),
        ("carrier_fault_503", "NORMAL_TEMPORARY_FAILURE", 41, 503, "Service Unavailable", "recv_refuse"),
        ("carrier_says_nothing", "NO_ANSWER", 19, None, None, "send_cancel"),
        ("declined", "CALL_REJECTED", 21, 603, "Decline", "recv_refuse"),
        ("network_blocked_603", "CALL_REJECTED", 21, 603, "Network Blocked", "recv_refuse"),
        ("no_answer_timeout", "NO_ANSWER", 19, None, None, "send_cancel"),
        ("redirect_302_refused", "REQUESTED_CHAN_UNAVAIL", 44, 302, None, "send_cancel"),
        ("unavailable_480", "NO_USER_RESPONSE", 18, 480, "Temporarily Unavailable", "recv_refuse"),
        ("unknown_number", "UNALLOCATED_NUMBER", 1, 404, "Not Found", "recv_refuse"),
    ],
)
def test_ends(name: str, cause: str, q850: int, code: int | None, phrase: str | None, disposition: str) -> None:
    end = end_of(name)
    assert (end.cause, end.q850_cause, end.sip_code, end.sip_phrase, end.disposition) == (
        cause, q850, code, phrase, disposition
    )  # fmt: skip
    assert (end.local, end.requested_by) == (False, None)


def test_times_are_the_switchs_own_and_zero_is_never() -> None:
    busy, early = end_of("busy"), end_of("early_media_then_answer")
    assert (busy.ringing_at, busy.early_at, busy.answered_at) == (us("1795217444254374"), None, None)
    assert busy.at == us("1795217444654400")
    assert (early.ringing_at, early.early_at, early.answered_at) == (
        None, us("1795217457334389"), us("1795217457734387")
    )  # fmt: skip
    silent = end_of("carrier_says_nothing")
    assert (silent.ringing_at, silent.early_at, silent.answered_at) == (None, None, None)


def test_states_begin_when_the_switch_says() -> None:
    times = {str(e.state): e.at for e in seen("early_media_then_answer")}
    assert times["early"] == us("1795217457334389")
    assert times["in_progress"] == us("1795217457734387")


def test_key_is_core_and_sequence() -> None:
    assert seen("json_events")[0].key == "1142e8e8-df76-4288-91f5-9c9ddd72d6f0:351658"


def hangup(**changes: str | list[str]) -> Event:
    base: Event = {
        "Event-Name": "CHANNEL_HANGUP_COMPLETE",
        "Core-UUID": "1142e8e8-df76-4288-91f5-9c9ddd72d6f0",
        "Event-Sequence": "9",
        "Event-Date-Timestamp": "1795217444654400",
        "Unique-ID": str(A),
        "Call-Direction": "outbound",
        "Hangup-Cause": "NORMAL_CLEARING",
    }
    return {**base, **changes}


def ended(**changes: str | list[str]) -> End:
    evidence = from_event(hangup(**changes))
    assert isinstance(evidence, Evidence)
    assert evidence.end is not None
    return evidence.end


@pytest.mark.parametrize("who", ["customer", "agent", "operator", "platform"])
def test_who_asked_for_the_hangup(who: str) -> None:
    assert ended(variable_trunkline_hangup_by=who).requested_by == who


def test_who_asked_is_on_a_list() -> None:
    assert ended(variable_trunkline_hangup_by="carrier").requested_by is None
    assert ended(variable_trunkline_hangup_by=["agent"]).requested_by is None


def test_a_487_of_the_carrier_without_our_cancel_is_kept() -> None:
    end = ended(
        variable_sip_term_status="487",
        variable_sip_invite_failure_status="487",
        variable_sip_invite_failure_phrase="Request Terminated",
        variable_sip_hangup_disposition="recv_refuse",
    )
    assert (end.sip_code, end.sip_phrase) == (487, "Request Terminated")


def test_our_cancel_is_removed_wherever_it_is_noted() -> None:
    end = ended(
        variable_sip_term_status="487",
        variable_sip_invite_failure_status="487",
        variable_sip_invite_failure_phrase="CANCEL",
        variable_proto_specific_hangup_cause="sip:487",
        variable_sip_hangup_disposition="send_cancel",
    )
    assert (end.sip_code, end.sip_phrase) == (None, None)


def test_the_phrase_belongs_to_its_own_code() -> None:
    end = ended(
        variable_sip_term_status="503",
        variable_sip_invite_failure_status="401",
        variable_sip_invite_failure_phrase="Unauthorized",
    )
    assert (end.sip_code, end.sip_phrase) == (503, None)


def test_texts_of_strangers_are_bounded_and_clean() -> None:
    end = ended(
        **{
            "variable_sip_term_status": "603",
            "variable_sip_invite_failure_status": "603",
            "variable_sip_invite_failure_phrase": "No\x00 \ud800way\n" + "x" * 500,
            "Hangup-Cause": "a cause; with text",
            "variable_sip_hangup_disposition": "x y",
            "variable_hangup_cause_q850": "802",
        }
    )
    assert end.sip_phrase is not None
    assert end.sip_phrase.startswith("No way x")
    assert len(end.sip_phrase) == 200
    end.sip_phrase.encode()
    assert (end.cause, end.disposition, end.q850_cause) == ("NORMAL_UNSPECIFIED", None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"Unique-ID": "not-a-uuid"},
        {"Unique-ID": ["a", "b"]},
        {"Unique-ID": ""},
        {"Call-Direction": "inbound"},
        {"Event-Name": "CHANNEL_DESTROY"},
        {"Event-Date-Timestamp": "0"},
        {"Event-Date-Timestamp": "-5"},
        {"Event-Date-Timestamp": "9" * 30},
    ],
)
def test_events_that_say_nothing_of_an_attempt(changes: dict[str, Any]) -> None:
    assert from_event(hangup(**changes)) is None


def test_without_core_and_sequence_the_key_is_still_one_per_observation() -> None:
    first, again = from_event(hangup(**{"Core-UUID": "x\x00"})), from_event(hangup(**{"Event-Sequence": "-1"}))
    assert isinstance(first, Evidence)
    assert isinstance(again, Evidence)
    assert first.key == again.key == f"{A}:CHANNEL_HANGUP_COMPLETE:{us('1795217444654400').isoformat()}"


names = st.sampled_from([*hangup(), "variable_sip_term_status", "Caller-Channel-Answered-Time", "Job-UUID", "_body"])


values = (
    st.text(max_size=20) | st.lists(st.text(max_size=5), max_size=3) | st.sampled_from([str(A), "0", "-ERR x", "1" * 16])
)


@given(
    st.dictionaries(names, values, max_size=6),
    st.sampled_from(["CHANNEL_HANGUP_COMPLETE", "BACKGROUND_JOB", "CHANNEL_ANSWER", "HEARTBEAT"]),
)
def test_nonsense_never_raises_and_is_storable(changes: dict[str, Any], name: str) -> None:
    got = from_event({**hangup(), **changes, "Event-Name": name})
    if isinstance(got, Evidence):
        assert "\x00" not in got.key
        got.key.encode()
        if got.end is not None:
            for text in (got.end.cause, got.end.sip_phrase or "", got.end.disposition or ""):
                assert "\x00" not in text
                text.encode()
