"""A CDR and the hangup event of one channel are two witnesses of one end: they must tell the same."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.cdr import CdrError, decoded, from_cdr, switch_of
from calls.evidence import Evidence, Outcome, Source, State
from calls.lifecycle import AttemptFacts, fold
from controller.evidence import from_event
from tests.contract.cdrs import cdr_of, encode, hangups, recorded
from tests.contract.tracefile import TraceEvent, events, read_trace, trace_files

HANGUPS = hangups()
OUTBOUND = [(name, event) for name, event in HANGUPS if event.get("Call-Direction") == "outbound"]


def by_event(event: TraceEvent) -> Evidence:
    seen = from_event(dict(reversed(event.pairs)))
    assert isinstance(seen, Evidence)
    return seen


def by_cdr(body: object) -> Evidence:
    seen = from_cdr(body)
    assert seen is not None
    return seen


@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize(("name", "event"), OUTBOUND, ids=[name for name, _ in OUTBOUND])
def test_every_recorded_end_is_the_same_by_both(name: str, event: TraceEvent, encoded: bool) -> None:
    seen, told = by_event(event), by_cdr(cdr_of(event, encode_values=encoded))
    assert told.end == seen.end
    assert (told.attempt_id, told.at, told.state, told.source) == (seen.attempt_id, seen.at, State.ENDED, Source.CDR)
    told_facts, seen_facts = fold(AttemptFacts(), [told]), fold(AttemptFacts(), [seen])
    assert replace(told_facts, evidence=None, evidence_key=None) == replace(seen_facts, evidence=None, evidence_key=None)


def test_there_is_something_to_compare() -> None:
    assert len(OUTBOUND) > 30
    ends = [by_event(event).end for _, event in OUTBOUND]
    assert {end.sip_code for end in ends if end} >= {200, 404, 486, 503, 603, None}
    assert {end.disposition for end in ends if end} == {"recv_bye", "send_bye", "recv_refuse", "send_cancel"}
    assert any(end and end.sip_phrase and " " in end.sip_phrase for end in ends)


STORIES = [
    [seen for event in events(read_trace(path)) if isinstance(seen := from_event(dict(event.pairs)), Evidence)]
    + [by_cdr(cdr_of(event)) for event in events(read_trace(path)) if event.name == "CHANNEL_HANGUP_COMPLETE"]
    for path in trace_files()
    if path.stem not in ("inbound_call", "switch_limits")
]


@given(st.data(), st.sampled_from([story for story in STORIES if story]))
@settings(deadline=None)
def test_any_order_and_repetition_of_events_and_cdr_give_one_row(data: st.DataObject, story: list[Evidence]) -> None:
    expected = fold(AttemptFacts(), story)
    again = data.draw(st.lists(st.sampled_from(story), max_size=4))
    assert fold(AttemptFacts(), data.draw(st.permutations(story + again))) == expected
    assert expected.evidence is Source.EVENT  # the event goes before the record
    alone = fold(AttemptFacts(), [seen for seen in story if seen.source is Source.CDR])
    assert alone.evidence is Source.CDR
    assert replace(alone, evidence=None, evidence_key=None) == replace(expected, evidence=None, evidence_key=None)


def test_the_same_record_has_the_same_key() -> None:
    first, second = (by_cdr(cdr_of(event)) for event in (HANGUPS[0][1], HANGUPS[0][1]))
    assert first == second
    assert first.key == f"cdr:{first.attempt_id}:{HANGUPS[0][1].get('Caller-Channel-Hangup-Time')}"


def a_cdr(**changes: Any) -> dict[str, Any]:
    """The record of a busy callee, deep enough to be changed."""
    event = next(event for name, event in OUTBOUND if name == "busy")
    return {**copy.deepcopy(cdr_of(event)), **changes}


def test_what_the_controller_noted_on_the_channel_is_told() -> None:
    body = a_cdr()
    body["variables"] |= {"trunkline_hangup_by": "agent", "trunkline_end_reason": "agent_lost"}
    end = by_cdr(body).end
    assert end is not None
    assert (end.requested_by, end.note) == ("agent", "agent_lost")
    body["variables"] |= {"trunkline_hangup_by": "a stranger", "trunkline_end_reason": "two words"}
    end = by_cdr(body).end
    assert end is not None
    assert (end.requested_by, end.note) == (None, None)


def test_the_uuid_is_found_in_the_profile_too() -> None:
    body = a_cdr()
    attempt = UUID(body["variables"].pop("uuid"))
    assert by_cdr(body).attempt_id == attempt


@pytest.mark.parametrize("wrong", ["", "x", "f3280cf2-59b3-4d51-b8d1-b6d6f408f53", 7, None])
def test_a_leg_without_a_uuid_is_none_of_ours(wrong: object) -> None:
    body = a_cdr()
    body["variables"]["uuid"] = body["callflow"][0]["caller_profile"]["uuid"] = wrong
    assert from_cdr(body) is None


def test_an_inbound_leg_is_none_of_ours() -> None:
    inbound = [event for _, event in HANGUPS if event.get("Call-Direction") == "inbound"]
    assert inbound
    assert [from_cdr(cdr_of(event)) for event in inbound] == [None] * len(inbound)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ([], ""),
        ("text", ""),
        (None, ""),
        ({}, "/variables"),
        (a_cdr(variables=[]), "/variables"),
        (a_cdr(channel_data=None), "/channel_data"),
        (a_cdr(callflow={}), "/callflow"),
        (a_cdr(callflow=[]), "/callflow"),
        (a_cdr(callflow=[7]), "/callflow/0"),
        (a_cdr(callflow=[{}]), "/callflow/0/times"),
        (a_cdr(callflow=[{"times": {}}]), "/callflow/0/times/hangup_time"),
        (a_cdr(callflow=[{"times": {"hangup_time": "0"}}]), "/callflow/0/times/hangup_time"),
        (a_cdr(callflow=[{"times": {"hangup_time": 1795217444654400}}]), "/callflow/0/times/hangup_time"),
    ],
)
def test_what_is_no_cdr_is_named(body: object, where: str) -> None:
    with pytest.raises(CdrError) as error:
        from_cdr(body)
    assert error.value.where == where
    assert error.value.expected


@pytest.mark.parametrize(
    ("value", "was"),
    [
        ("Busy%20Here", "Busy Here"),
        ("100%25", "100%"),
        ("%D0%97%D0%B0%D0%BD%D1%8F%D1%82%D0%BE", "Занято"),
        ("%FF", "\ufffd"),
        ("50% off", "50% off"),  # a space: never encoded
        ("a%41 b", "a%41 b"),
        ("ARRAY::a|:b", None),
        (encode("ARRAY::a|:b"), None),
    ],
)
def test_values_are_decoded_if_they_were_encoded(value: str, was: str | None) -> None:
    assert decoded(value) == was


def test_whose_record_it_is() -> None:
    assert switch_of(a_cdr(switchname="fs\x00\n1")) == "fs1"
    assert switch_of(a_cdr(switchname="x" * 99)) == "x" * 64
    assert [switch_of(body) for body in ({}, [], a_cdr(switchname=7))] == ["", "", ""]


nonsense = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("1795217444654400"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PLACES = [
    ("variables",), ("channel_data",), ("callflow",), ("callflow", 0), ("callflow", 0, "times"),
    ("callflow", 0, "times", "hangup_time"), ("callflow", 0, "times", "answered_time"), ("callflow", 0, "caller_profile"),
    ("variables", "sip_term_status"), ("variables", "sip_invite_failure_phrase"), ("variables", "hangup_cause"),
    ("variables", "sip_hangup_disposition"), ("variables", "hangup_cause_q850"), ("variables", "trunkline_hangup_by"),
]  # fmt: skip


@given(st.sampled_from(PLACES), nonsense)
@settings(deadline=None)
def test_nonsense_is_refused_or_storable(place: tuple[Any, ...], value: object) -> None:
    body: Any = a_cdr()
    inner = body
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    try:
        seen = from_cdr(body)
    except CdrError:
        return
    if seen is not None and seen.end is not None:
        for text in (seen.key, seen.end.cause, seen.end.sip_phrase or "", seen.end.disposition or ""):
            assert "\x00" not in text
            text.encode()


@pytest.mark.parametrize("name", ["answered", "busy"])
def test_what_a_real_switch_posted_agrees_with_the_event_that_it_sent(name: str) -> None:
    seen = from_event(recorded(f"{name}.event"))
    assert isinstance(seen, Evidence)
    assert by_cdr(recorded(name)).end == seen.end
    assert by_cdr(recorded(name)).attempt_id == seen.attempt_id


def test_a_bye_proves_the_answer() -> None:
    """A real switch that stood still between the carrier's 200 and its BYE: neither an answer's time nor an event of one."""
    body = recorded("answer_and_bye_at_once")
    assert body["callflow"][0]["times"]["answered_time"] == "0"
    facts = fold(AttemptFacts(), [by_cdr(body)])
    assert (facts.outcome, facts.end_reason, facts.hangup_by) == (Outcome.COMPLETED, "hangup", "callee")
    assert facts.answered_at == facts.ended_at


def shape(value: Any, depth: int = 3) -> Any:
    """The names, and what kind of thing each is."""
    if isinstance(value, dict) and depth:
        return {name: shape(inner, depth - 1) for name, inner in value.items()}
    return [shape(value[0], depth)] if isinstance(value, list) and value else type(value).__name__


@pytest.mark.parametrize("name", ["answered", "busy"])
def test_the_records_made_of_recordings_have_the_shape_of_the_real_ones(name: str) -> None:
    real = recorded(name)
    event = TraceEvent(0.0, "json", list(recorded(f"{name}.event").items()), "")
    made = cdr_of(event)
    assert made["variables"] == real["variables"]
    assert made["callflow"][0]["times"] == real["callflow"][0]["times"]
    for part in ("core-uuid", "switchname", "channel_data", "callflow"):
        inside, whole = shape(made[part]), shape(real[part])
        if part == "callflow":
            inside, whole = inside[0]["caller_profile"], whole[0]["caller_profile"]
        assert inside.items() <= whole.items() if isinstance(inside, dict) else inside == whole
