"""Any order, any duplication, any grouping of evidence gives one row; loss loses only what was lost."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.evidence import SOURCE_RANK, End, Evidence, Outcome, Rank, RetryClass, Source, State
from calls.lifecycle import AttemptFacts, apply, best_end, call_status, fold, join, refresh

ATTEMPT = UUID("0193f4a0-0000-7000-8000-000000000001")
T0 = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
CAUSES = [
    "NORMAL_CLEARING", "USER_BUSY", "NO_ANSWER", "ORIGINATOR_CANCEL", "NORMAL_TEMPORARY_FAILURE", "CALL_REJECTED",
    "GATEWAY_DOWN", "ALLOTTED_TIMEOUT", "REQUESTED_CHAN_UNAVAIL", "never_sent", "carrier_silence", "ring_silence",
    "lost", "customer_cancel", "expired", "blocked",
]  # fmt: skip

moments = st.integers(0, 60).map(lambda seconds: T0 + timedelta(seconds=seconds))
maybe = st.none() | moments
ends = st.builds(
    End,
    cause=st.sampled_from(CAUSES),
    at=moments,
    q850_cause=st.sampled_from([None, 16, 17]),
    sip_code=st.sampled_from([None, 404, 486, 487, 503, 603]),
    sip_phrase=st.sampled_from([None, "", "CANCEL", "CPS limit exceeded"]),
    disposition=st.sampled_from([None, "recv_refuse", "send_cancel", "recv_bye", "send_bye"]),
    ringing_at=maybe,
    early_at=maybe,
    answered_at=maybe,
    local=st.booleans(),
    requested_by=st.sampled_from([None, "customer", "platform", "watchdog"]),
    note=st.sampled_from([None, "agent_lost", "media_lost"]),
)


@st.composite
def observations(draw: st.DrawFn) -> Evidence:
    """Anything anybody may report. Few keys on purpose: even two different reports under one key must not matter."""
    state = draw(st.sampled_from(list(State)))
    at = draw(moments)
    end = draw(ends) if state is State.ENDED else None
    return Evidence(ATTEMPT, draw(st.sampled_from(["a", "b", "c"])), draw(st.sampled_from(list(Source))), state, at, end)


sets = st.lists(observations(), max_size=7)


@given(st.data(), sets)
@settings(max_examples=400)
def test_any_order_duplication_and_grouping_give_the_same_facts(data: st.DataObject, evidences: list[Evidence]) -> None:
    expected = fold(AttemptFacts(), evidences)
    again = data.draw(st.lists(st.sampled_from(evidences), max_size=5)) if evidences else []
    shuffled = data.draw(st.permutations(evidences + again))
    cut = data.draw(st.integers(0, len(shuffled)))
    assert fold(AttemptFacts(), shuffled) == expected
    assert fold(fold(AttemptFacts(), shuffled[:cut]), shuffled[cut:]) == expected
    assert join(fold(AttemptFacts(), shuffled[cut:]), fold(AttemptFacts(), shuffled[:cut])) == expected
    assert fold(expected, evidences) == expected


@given(sets, sets, sets)
def test_join_is_associative_commutative_idempotent(one: list[Evidence], two: list[Evidence], three: list[Evidence]) -> None:
    a, b, c = (fold(AttemptFacts(), part) for part in (one, two, three))
    assert join(a, join(b, c)) == join(join(a, b), c)
    assert join(a, b) == join(b, a)
    assert join(a, a) == a
    assert join(AttemptFacts(), a) == a


@given(sets, observations())
def test_state_only_rises_and_times_only_move_earlier(evidences: list[Evidence], one_more: Evidence) -> None:
    before = fold(AttemptFacts(), evidences)
    after = apply(before, one_more)
    assert Rank.of(after.state) >= Rank.of(before.state)
    for name in ("ringing_at", "early_at", "answered_at"):
        was, now = getattr(before, name), getattr(after, name)
        assert was is None or (now is not None and now <= was)
    assert after.ended == (after.verdict is not None)


@given(sets)
def test_the_end_is_never_wrong(evidences: list[Evidence]) -> None:
    facts = fold(AttemptFacts(), evidences)
    answers = [evidence.at for evidence in evidences if evidence.state is State.IN_PROGRESS] + [
        evidence.end.answered_at for evidence in evidences if evidence.end is not None and evidence.end.answered_at
    ]
    assert facts.answered_at == (min(answers) if answers else None)
    finals = [evidence for evidence in evidences if evidence.end is not None]
    assert facts.ended == bool(finals)
    if finals:
        assert (facts.outcome is Outcome.COMPLETED) == bool(answers)
        assert facts.evidence is max((evidence.source for evidence in finals), key=SOURCE_RANK.__getitem__)


@given(ends)
def test_a_followed_end_needs_no_state_events(end: End) -> None:
    """What the switch saw live it repeats in its last event, so losing the states changes nothing."""
    last = Evidence(ATTEMPT, "z", Source.EVENT, State.ENDED, end.at, end)
    states = [Evidence(ATTEMPT, "create", Source.EVENT, State.DIALING, T0)]
    for key, state, at in (
        ("ring", State.RINGING, end.ringing_at),
        ("media", State.EARLY, end.early_at),
        ("answer", State.IN_PROGRESS, end.answered_at),
    ):
        if at is not None:
            states.append(Evidence(ATTEMPT, key, Source.EVENT, state, at))
    assert fold(AttemptFacts(), [*states, last]) == fold(AttemptFacts(), [last])


@given(sets, st.sampled_from(["carrier_silence", "ring_silence", "lost"]))
def test_the_watchdog_never_beats_an_event(evidences: list[Evidence], cause: str) -> None:
    event = Evidence(ATTEMPT, "e", Source.EVENT, State.ENDED, T0, End("USER_BUSY", T0, 17, 486, disposition="recv_refuse"))
    watchdog = Evidence(ATTEMPT, "zz", Source.WATCHDOG, State.ENDED, T0, End(cause, T0))
    without = fold(AttemptFacts(), [*evidences, event])
    assert fold(AttemptFacts(), [watchdog, *evidences, event]) == without


@given(sets)
def test_a_row_rebuilds_its_facts(evidences: list[Evidence]) -> None:
    """Stored without the verdict and read again, facts go on as if they had never left memory."""
    facts = fold(AttemptFacts(), evidences)
    stored = AttemptFacts(
        state=facts.state, ringing_at=facts.ringing_at, early_at=facts.early_at, answered_at=facts.answered_at,
        ended_at=facts.ended_at, evidence=facts.evidence, evidence_key=facts.evidence_key, cause=facts.cause,
        q850_cause=facts.q850_cause, sip_code=facts.sip_code, sip_phrase=facts.sip_phrase,
        disposition=facts.disposition, local=facts.local, requested_by=facts.requested_by, note=facts.note,
    )  # fmt: skip
    assert refresh(stored) == facts


# --- one story, told in every order -------------------------------------------------------------------------------


def seen(state: State, second: int, source: Source = Source.EVENT) -> Evidence:
    return Evidence(ATTEMPT, f"{source}-{state}", source, state, T0 + timedelta(seconds=second))


def ended(end: End, source: Source = Source.EVENT) -> Evidence:
    return Evidence(ATTEMPT, f"{source}-end", source, State.ENDED, end.at, end)


def test_an_answered_call_with_a_watchdog_that_spoke_too_early() -> None:
    answer, hangup = T0 + timedelta(seconds=6), T0 + timedelta(seconds=40)
    story = [
        seen(State.DIALING, 0),
        seen(State.RINGING, 2),
        ended(End("ring_silence", T0 + timedelta(seconds=37), ringing_at=T0 + timedelta(seconds=2)), Source.WATCHDOG),
        ended(
            End(
                "NORMAL_CLEARING", hangup, 16, disposition="recv_bye", ringing_at=T0 + timedelta(seconds=2),
                answered_at=answer,
            )
        ),
    ]  # fmt: skip
    outcomes = {fold(AttemptFacts(), order) for order in itertools.permutations(story)}
    assert len(outcomes) == 1
    (facts,) = outcomes
    assert (facts.outcome, facts.end_reason, facts.hangup_by) == (Outcome.COMPLETED, "hangup", "callee")
    assert (facts.answered_at, facts.ended_at, facts.evidence) == (answer, hangup, Source.EVENT)
    # Before the hangup event came, the same story read as an uncertain no-answer.
    early = fold(AttemptFacts(), story[:3])
    assert (early.outcome, early.uncertain) == (Outcome.NO_ANSWER, True)


def test_a_late_answer_event_turns_a_watchdogs_no_answer_into_completed() -> None:
    facts = fold(AttemptFacts(), [seen(State.RINGING, 2), ended(End("ring_silence", T0), Source.WATCHDOG)])
    assert facts.outcome is Outcome.NO_ANSWER
    facts = apply(facts, seen(State.IN_PROGRESS, 8))
    assert (facts.state, facts.outcome, facts.end_reason) == (State.ENDED, Outcome.COMPLETED, "end_not_seen")
    assert facts.retry_class is RetryClass.ANSWERED


def test_a_duplicates_local_refusal_does_not_end_the_live_call() -> None:
    real = ended(End("NORMAL_CLEARING", T0 + timedelta(seconds=9), 16, disposition="send_bye", answered_at=T0))
    refusal = Evidence(
        ATTEMPT, "zzz", Source.EVENT, State.ENDED, T0, End("DESTINATION_OUT_OF_ORDER", T0, local=True)
    )  # fmt: skip
    assert fold(AttemptFacts(), [refusal, real]) == fold(AttemptFacts(), [real])


def test_what_a_background_job_says_gives_way_to_what_the_channel_says() -> None:
    job = Evidence(ATTEMPT, "zzz", Source.EVENT, State.ENDED, T0, End("NORMAL_TEMPORARY_FAILURE", T0))
    channel = ended(End("NORMAL_TEMPORARY_FAILURE", T0, 41, 503, "CPS limit exceeded", "recv_refuse"))
    assert apply(AttemptFacts(), job).retry_class is RetryClass.UNKNOWN
    assert fold(AttemptFacts(), [job, channel]).retry_class is RetryClass.CARRIER_CAPACITY
    assert fold(AttemptFacts(), [channel, job]) == fold(AttemptFacts(), [channel])


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (End("lost", T0), End("never_sent", T0, local=True)),
        (End("NO_ANSWER", T0), End("lost", T0)),
        (End("NO_ANSWER", T0, disposition="send_cancel"), End("NO_ANSWER", T0)),
        (End("USER_BUSY", T0, sip_code=486), End("USER_BUSY", T0)),
        (End("ORIGINATOR_CANCEL", T0, requested_by="customer"), End("ORIGINATOR_CANCEL", T0)),
    ],
)
def test_of_one_source_the_end_that_knows_more_wins_whatever_its_key(better: End, worse: End) -> None:
    good = Evidence(ATTEMPT, "a", Source.RECONCILE, State.ENDED, T0, better)
    bad = Evidence(ATTEMPT, "b", Source.RECONCILE, State.ENDED, T0, worse)
    assert best_end(fold(AttemptFacts(), [good, bad])) == better
    assert best_end(fold(AttemptFacts(), [bad, good])) == better


BASE = End("USER_BUSY", T0, 17, 486, "Busy Here", "recv_refuse", requested_by="customer")


@pytest.mark.parametrize(
    "change",
    [
        {"cause": "CALL_REJECTED"},
        {"at": T0 + timedelta(microseconds=1)},
        {"q850_cause": 21},
        {"q850_cause": None},
        {"sip_code": 600},
        {"sip_phrase": "Busy"},
        {"sip_phrase": None},
        {"sip_phrase": ""},
        {"disposition": "recv_cancel"},
        {"local": True},
        {"requested_by": "agent"},
        {"note": "agent_lost"},
    ],
    ids=str,
)
def test_two_reports_under_one_key_still_give_one_row(change: dict[str, Any]) -> None:
    """Keys are unique by contract; where a witness breaks it, order must not decide."""
    one = Evidence(ATTEMPT, "k", Source.EVENT, State.ENDED, T0, BASE)
    two = Evidence(ATTEMPT, "k", Source.EVENT, State.ENDED, T0, replace(BASE, **change))
    assert fold(AttemptFacts(), [one, two]) == fold(AttemptFacts(), [two, one])


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.QUEUED, "queued"),
        (State.DIALING, "dialing"),
        (State.RINGING, "ringing"),
        (State.EARLY, "early"),
        (State.IN_PROGRESS, "in_progress"),
    ],
)
def test_status_of_a_call_under_way(state: State, status: str) -> None:
    facts = apply(AttemptFacts(), seen(state, 3))
    assert call_status(facts) == status
    assert best_end(facts) is None


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (End("USER_BUSY", T0, 17, 486, disposition="recv_refuse"), "busy"),
        (End("NORMAL_CLEARING", T0, 16, disposition="recv_bye", answered_at=T0), "completed"),
        (End("expired", T0, local=True), "expired"),
        (End("customer_cancel", T0, local=True), "canceled"),
        (End("blocked", T0, local=True), "blocked"),
        (End("lost", T0), "failed"),
    ],
)
def test_status_of_an_ended_call(end: End, status: str) -> None:
    assert call_status(apply(AttemptFacts(), ended(end))) == status


def test_evidence_carries_an_end_exactly_when_it_is_one() -> None:
    with pytest.raises(ValueError, match="exactly when state is ENDED"):
        Evidence(ATTEMPT, "k", Source.EVENT, State.ENDED, T0)
    with pytest.raises(ValueError, match="exactly when state is ENDED"):
        Evidence(ATTEMPT, "k", Source.EVENT, State.RINGING, T0, End("NO_ANSWER", T0))
