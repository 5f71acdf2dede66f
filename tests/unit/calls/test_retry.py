"""The one budget of attempts, and who may be redialed when."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.evidence import End, Evidence, Outcome, RetryClass, Source, State
from calls.lifecycle import AttemptFacts, apply
from calls.retry import FREE, CallFacts, Decision, Retry, RetryRules, Stop, apply_retry_policy
from calls.windows import Limits, Window

ATTEMPT = UUID("0193f4a0-0000-7000-8000-000000000001")
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
RULES = RetryRules(
    busy_gaps_s=(120,), no_answer_gaps_s=(600,), carrier_gaps_s=(5,), capacity_s=2, capacity_max_s=60, max_free=10
)
CALL = CallFacts(attempts_counted=1, attempts_made=1, max_attempts=3, expires_at=NOW + timedelta(days=1), ring_timeout_s=30)

RETRIED = {RetryClass.BUSY, RetryClass.NO_ANSWER, RetryClass.CARRIER_FAULT} | FREE
OUTCOME = {
    RetryClass.ANSWERED: Outcome.COMPLETED,
    RetryClass.BUSY: Outcome.BUSY,
    RetryClass.NO_ANSWER: Outcome.NO_ANSWER,
    RetryClass.CANCELED: Outcome.CANCELED,
    RetryClass.POLICY: Outcome.BLOCKED,
}


def attempt(retry_class: RetryClass, *, uncertain: bool = False) -> AttemptFacts:
    return AttemptFacts(
        state=State.ENDED,
        ended_at=NOW,
        outcome=OUTCOME.get(retry_class, Outcome.FAILED),
        end_reason=f"some_{retry_class.value}",
        retry_class=retry_class,
        uncertain=uncertain,
    )


def decide(end: AttemptFacts, call: CallFacts = CALL, rules: RetryRules = RULES) -> Decision:
    return apply_retry_policy(call, end, rules, NOW)


@st.composite
def call_facts(draw: st.DrawFn) -> CallFacts:
    counted = draw(st.integers(0, 12))
    return CallFacts(
        attempts_counted=counted,
        attempts_made=counted + draw(st.integers(0, 15)),
        max_attempts=draw(st.integers(1, 10)),
        expires_at=NOW + timedelta(seconds=draw(st.integers(-100, 2000))),
        ring_timeout_s=draw(st.integers(5, 120)),
        cancel_requested=draw(st.booleans()),
    )


def gaps(most: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(1, most), min_size=1, max_size=4).map(tuple)


rules_ = st.builds(
    RetryRules,
    max_attempts=st.integers(1, 10),
    busy_gaps_s=gaps(300),
    no_answer_gaps_s=gaps(900),
    carrier_gaps_s=gaps(60),
    capacity_s=st.integers(1, 30),
    capacity_max_s=st.integers(1, 90),
    max_free=st.integers(0, 20),
)
attempts_ = st.builds(attempt, st.sampled_from(list(RetryClass)), uncertain=st.booleans())


@given(call_facts(), attempts_, rules_)
def test_every_retry_keeps_every_bound(call: CallFacts, end: AttemptFacts, rules: RetryRules) -> None:
    decision = apply_retry_policy(call, end, rules, NOW)
    assert end.retry_class is not None
    if isinstance(decision, Stop):
        assert decision.status in {end.outcome, Outcome.CANCELED, Outcome.EXPIRED}
        return
    assert end.retry_class in RETRIED
    assert not call.cancel_requested
    assert NOW + timedelta(seconds=1) <= decision.due_at < call.expires_at
    assert decision.counts == (end.retry_class not in FREE)
    if decision.counts:
        assert call.attempts_counted < min(call.max_attempts, rules.max_attempts)
    else:
        assert call.attempts_made - call.attempts_counted < rules.max_free
    if end.uncertain:
        assert decision.due_at >= NOW + timedelta(seconds=call.ring_timeout_s)


@given(st.lists(st.sampled_from(list(RetryClass)), min_size=60, max_size=60), st.integers(1, 10))
def test_one_budget_over_all_reasons(classes: list[RetryClass], max_attempts: int) -> None:
    """Whatever the mixture of ends, no call is dialed more often than it may be, and no call goes on for ever."""
    call = replace(CALL, max_attempts=max_attempts, expires_at=NOW + timedelta(days=365))
    reached = 0
    for retry_class in classes:
        reached += retry_class not in FREE
        decision = decide(attempt(retry_class), call)
        if isinstance(decision, Stop):
            break
        call = replace(
            call,
            attempts_made=call.attempts_made + 1,
            attempts_counted=call.attempts_counted + decision.counts,
        )
    else:
        pytest.fail("the call never ended")
    assert reached <= max_attempts
    assert call.attempts_made <= max_attempts + RULES.max_free


@pytest.mark.parametrize("retry_class", sorted(set(RetryClass) - RETRIED))
def test_classes_that_are_never_redialed(retry_class: RetryClass) -> None:
    decision = decide(attempt(retry_class))
    assert isinstance(decision, Stop)
    assert (decision.status, decision.end_reason) == (OUTCOME.get(retry_class, Outcome.FAILED), f"some_{retry_class}")


@pytest.mark.parametrize(
    ("retry_class", "gap", "counts"),
    [
        (RetryClass.BUSY, 120, True),
        (RetryClass.NO_ANSWER, 600, True),
        (RetryClass.CARRIER_FAULT, 5, True),
        (RetryClass.CARRIER_CAPACITY, 2, False),
        (RetryClass.SWITCH_LOCAL, 2, False),
        (RetryClass.NOT_SENT, 2, False),
    ],
)
def test_the_gap_of_each_class(retry_class: RetryClass, gap: int, counts: bool) -> None:
    decision = decide(attempt(retry_class))
    assert isinstance(decision, Retry)
    assert (decision.due_at - NOW, decision.counts) == (timedelta(seconds=gap), counts)
    assert decision.reason == f"some_{retry_class.value}"


def test_a_full_trunk_uses_up_no_attempt_waits_longer_each_time_and_gives_up() -> None:
    call = replace(CALL, attempts_counted=3, attempts_made=3, max_attempts=3)
    gaps = []
    while isinstance(decision := decide(attempt(RetryClass.CARRIER_CAPACITY), call), Retry):
        gaps.append((decision.due_at - NOW) // timedelta(seconds=1))
        call = replace(call, attempts_made=call.attempts_made + 1)
    assert gaps == [2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    assert (decision.status, decision.end_reason) == (Outcome.FAILED, "some_carrier_capacity")


def test_the_last_attempt_gives_the_call_its_end() -> None:
    decision = decide(attempt(RetryClass.BUSY), replace(CALL, attempts_counted=3, attempts_made=7))
    assert isinstance(decision, Stop)
    assert (decision.status, decision.end_reason) == (Outcome.BUSY, "some_busy")


def test_the_platforms_bound_holds_over_the_calls_own() -> None:
    call = replace(CALL, attempts_counted=2, attempts_made=2, max_attempts=10)
    assert isinstance(decide(attempt(RetryClass.BUSY), call, replace(RULES, max_attempts=2)), Stop)
    assert isinstance(decide(attempt(RetryClass.BUSY), call, replace(RULES, max_attempts=3)), Retry)


def test_an_uncertain_no_answer_waits_at_least_the_ring_time() -> None:
    call = replace(CALL, ring_timeout_s=90)
    quick = replace(RULES, no_answer_gaps_s=(10,))
    sure = decide(attempt(RetryClass.NO_ANSWER), call, quick)
    unsure = decide(attempt(RetryClass.NO_ANSWER, uncertain=True), call, quick)
    assert isinstance(sure, Retry)
    assert isinstance(unsure, Retry)
    assert (sure.due_at - NOW, unsure.due_at - NOW) == (timedelta(seconds=10), timedelta(seconds=90))


@pytest.mark.parametrize(("left", "ends"), [(0, True), (119, True), (120, True), (121, False), (-5, True)])
def test_a_retry_that_would_be_due_after_expiry_ends_the_call_as_expired(left: int, ends: bool) -> None:
    decision = decide(attempt(RetryClass.BUSY), replace(CALL, expires_at=NOW + timedelta(seconds=left)))
    assert isinstance(decision, Stop) == ends
    if isinstance(decision, Stop):
        assert (decision.status, decision.end_reason) == (Outcome.EXPIRED, "expired")
        assert "some_busy" in str(decision)


def test_an_answered_call_is_completed_though_it_expired_and_was_canceled_meanwhile() -> None:
    call = replace(CALL, expires_at=NOW - timedelta(seconds=1), cancel_requested=True)
    decision = decide(attempt(RetryClass.ANSWERED), call)
    assert isinstance(decision, Stop)
    assert decision.status is Outcome.COMPLETED


def test_a_hangup_asked_for_meanwhile_ends_what_would_be_tried_again() -> None:
    decision = decide(attempt(RetryClass.CARRIER_CAPACITY), replace(CALL, cancel_requested=True))
    assert isinstance(decision, Stop)
    assert (decision.status, decision.end_reason) == (Outcome.CANCELED, "canceled")


def test_from_evidence_to_decision() -> None:
    """The whole way for a carrier that said nothing: the phone may have rung, so nobody dials it again."""
    end = End("NO_ANSWER", NOW, 19, 487, "CANCEL", "send_cancel")
    facts = apply(AttemptFacts(), Evidence(ATTEMPT, "k", Source.EVENT, State.ENDED, NOW, end))
    decision = decide(facts)
    assert isinstance(decision, Stop)
    assert (decision.status, decision.end_reason) == (Outcome.FAILED, "carrier_silence")


@pytest.mark.parametrize("facts", [AttemptFacts(), AttemptFacts(state=State.RINGING), AttemptFacts(state=State.ENDED)])
def test_nothing_is_decided_before_the_end(facts: AttemptFacts) -> None:
    with pytest.raises(ValueError, match="has not ended"):
        decide(facts)


def test_gaps_are_by_reason_and_the_last_one_goes_on() -> None:
    rules = replace(RULES, busy_gaps_s=(60, 300), no_answer_gaps_s=(600, 1800))
    call, waits = replace(CALL, max_attempts=10), []
    for retry_class in (RetryClass.BUSY, RetryClass.NO_ANSWER, RetryClass.BUSY, RetryClass.BUSY, RetryClass.NO_ANSWER):
        decision = decide(attempt(retry_class), call, rules)
        assert isinstance(decision, Retry)
        waits.append((decision.due_at - NOW) // timedelta(seconds=1))
        call = replace(call, earlier=(*call.earlier, retry_class))
    assert waits == [60, 600, 300, 300, 1800]


def test_an_unknown_outcome_is_dialed_again_by_leave_alone_and_after_the_ring_and_the_carriers_own_timers() -> None:
    unknown = attempt(RetryClass.UNKNOWN, uncertain=True)
    assert isinstance(decide(unknown), Stop)
    for gap, wait in ((10, 330), (1000, 1000)):
        decision = decide(unknown, CALL, replace(RULES, on_unknown=True, no_answer_gaps_s=(gap,), crash_linger_s=300))
        assert isinstance(decision, Retry)
        assert (decision.due_at - NOW, decision.counts) == (timedelta(seconds=wait), True)


def test_whoever_refused_is_called_once_more_on_another_local_day() -> None:
    declined, rules = attempt(RetryClass.DECLINED), replace(RULES, on_declined=True)
    # The day on which the clock is put back has 25 hours: 24 later it is still that day.
    night, berlin = datetime(2026, 10, 24, 22, 10, tzinfo=UTC), ZoneInfo("Europe/Berlin")
    call = replace(CALL, limits=Limits(berlin, timedelta(seconds=55)), expires_at=night + timedelta(days=9))
    decision = apply_retry_policy(call, declined, rules, night)
    assert isinstance(decision, Retry)
    assert decision.due_at == datetime(2026, 10, 25, 23, 0, tzinfo=UTC)
    again = apply_retry_policy(replace(call, earlier=(RetryClass.DECLINED,)), declined, rules, decision.due_at)
    assert isinstance(again, Stop)
    assert again.why == "declined twice"


def test_rules_that_cannot_be_read_block_what_would_be_dialed_again_and_nothing_else() -> None:
    call = replace(CALL, unreadable="the stored window cannot be read")
    blocked = decide(attempt(RetryClass.BUSY), call)
    assert isinstance(blocked, Stop)
    assert (blocked.status, blocked.end_reason) == (Outcome.BLOCKED, "blocked")
    answered = decide(attempt(RetryClass.ANSWERED), call)
    assert isinstance(answered, Stop)
    assert answered.status is Outcome.COMPLETED


def test_what_holds_a_retry_longer_than_its_gap_is_said() -> None:
    window = Window.read({"time_zone": "UTC", "days": ["sat"], "from": "09:00", "to": "09:02"})
    call = replace(CALL, limits=Limits(ZoneInfo("UTC"), timedelta(seconds=55), window), expires_at=NOW + timedelta(days=8))
    decision = decide(attempt(RetryClass.BUSY), call)
    assert isinstance(decision, Retry)
    assert (decision.due_at, decision.held) == (NOW + timedelta(days=7), "window")
    assert str(decision).endswith("some_busy, held by window")
    expired = decide(attempt(RetryClass.BUSY), replace(call, expires_at=NOW + timedelta(days=7)))
    assert str(expired) == "stop: window leaves no moment for the next try before expires_at, after some_busy"


def test_nobody_else_makes_a_decision() -> None:
    with pytest.raises(TypeError, match=r"apply_retry_policy alone"):
        Retry(NOW, counts=True, reason="busy")
    with pytest.raises(TypeError, match=r"apply_retry_policy alone"):
        Stop(Outcome.FAILED, "lost", "because", seal=object())
    real = decide(attempt(RetryClass.BUSY))
    assert isinstance(real, Retry)
    with pytest.raises((TypeError, ValueError)):
        replace(real, due_at=NOW)
    assert copy.copy(real) == real


def test_what_people_read() -> None:
    assert str(decide(attempt(RetryClass.BUSY))) == "retry at 2026-11-21T09:02:00+00:00: some_busy"
    assert str(decide(attempt(RetryClass.NOT_SENT))).endswith("some_not_sent, uses up no attempt")
    assert str(decide(attempt(RetryClass.UNKNOWN))) == "stop: unknown is not retried"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name in ("busy_gaps_s", "no_answer_gaps_s", "carrier_gaps_s")
        for value in ((), (0,), (5, -1), (True,))
    ]
    + [(name, value) for name in ("capacity_s", "capacity_max_s", "max_attempts") for value in (0, "1", True)]
    + [("per_day", 0), ("number_per_day", 0), ("max_free", -1), ("on_unknown", 1), ("on_declined", "no")]
    + [("crash_linger_s", -1), ("crash_linger_s", "300"), ("time_zone", "Mars/Base"), ("time_zone", None)],
)
def test_rules_that_say_nothing_sound_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        replace(RULES, **{name: value})  # type: ignore[arg-type]


def test_rules_from_a_platforms_settings() -> None:
    platform = SimpleNamespace(
        retry_busy_s=1,
        retry_no_answer_s=2,
        retry_carrier_s=3,
        retry_capacity_s=4,
        retry_per_day=0,
        retry_number_per_day=5,
        recipient_time_zone="Asia/Tokyo",
        crash_linger_s=6.5,
    )
    rules = RetryRules.of(platform)
    assert (rules.busy_gaps_s, rules.no_answer_gaps_s, rules.carrier_gaps_s, rules.capacity_s) == ((1,), (2,), (3,), 4)
    assert (rules.per_day, rules.number_per_day, rules.time_zone, rules.crash_linger_s) == (None, 5, "Asia/Tokyo", 6.5)


@given(rules_)
def test_rules_are_kept_whole_and_read_again(rules: RetryRules) -> None:
    kept = json.loads(json.dumps(rules.as_dict()))
    assert RetryRules().with_(kept) == rules
    assert RetryRules().with_({**kept, "what_a_later_version_knows": 1}) == rules
