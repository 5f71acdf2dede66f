"""What follows an end: the retry it leads to, and what a better witness, or a late answer, makes of both."""

from __future__ import annotations

from calls.evidence import Source, State
from store import attempts, calls
from tests.store.conftest import World, at
from tests.store.test_evidence import shape


def test_a_busy_line_is_dialed_again(world: World) -> None:
    accepted = world.dialing(max_attempts=2)
    (applied,) = world.apply(world.busy(accepted.attempt_id, 5))
    assert applied.retry is not None
    assert applied.retry.due_at == at(10 + 120)
    call = world.call(accepted.call.id)
    assert (call.status, call.attempt_count, call.due_at) == ("queued", 2, at(130))
    first, second = world.attempt_list(call.id)
    assert (first.state, first.outcome, first.retry_class) == ("ended", "busy", "busy")
    assert first.decided is not None
    assert first.decided.startswith("retry at")
    assert (second.id, second.number, second.state, second.lane) == (applied.retry.attempt_id, 2, "queued", first.lane)
    claimed = world.claim(second.id, now=at(131), fence=2)
    assert isinstance(claimed, attempts.Claimed)
    (last,) = world.apply(world.busy(second.id, 140), seconds=140)
    assert last.retry is None
    call = world.call(call.id)
    assert (call.status, call.end_reason, call.sip_code, call.ended_at) == ("busy", "busy", 486, at(140))
    assert [kind for _, kind in world.told(call.id)] == [
        "call.queued", "call.dialing", "call.retry_scheduled", "call.dialing", "call.busy",
    ]  # fmt: skip


def test_a_full_trunk_uses_up_no_attempt(world: World) -> None:
    accepted = world.dialing(max_attempts=1)
    full = world.ended(
        accepted.attempt_id, "NORMAL_TEMPORARY_FAILURE", 2, q850_cause=41, sip_code=503, sip_phrase="CPS limit exceeded",
        disposition="recv_refuse",
    )  # fmt: skip
    (applied,) = world.apply(full)
    assert applied.retry is not None
    call = world.call(accepted.call.id)
    assert (call.status, call.attempt_count, len(world.attempt_list(call.id))) == ("queued", 1, 2)


def test_a_late_answer_corrects_the_end(world: World) -> None:
    accepted = world.dialing(max_attempts=1)
    world.apply(world.ended(accepted.attempt_id, "lost", 40, source=Source.WATCHDOG, key="w"))
    before = world.call(accepted.call.id)
    assert before.status == "failed"
    (applied,) = world.apply(world.answered_end(accepted.attempt_id, 30, 8, key="late"))
    assert (applied.state, applied.ended_now) == ("ended", False)
    call = world.call(accepted.call.id)
    assert (call.status, call.end_reason, call.answered_at, call.ended_at) == ("completed", "hangup", at(8), at(30))
    world.apply(world.ended(accepted.attempt_id, "NORMAL_CLEARING", 30, source=Source.CDR, key="cdr"))
    assert [kind for _, kind in world.told(call.id)][-2:] == ["call.failed", "call.corrected"]
    assert world.call(call.id) == call


def test_a_worse_witness_corrects_nothing(world: World) -> None:
    accepted = world.dialing()
    world.apply(world.answered_end(accepted.attempt_id, 20, 5))
    before = shape(world, accepted.call.id), world.told(accepted.call.id)
    world.apply(world.ended(accepted.attempt_id, "lost", 60, source=Source.WATCHDOG))
    world.apply(world.seen(accepted.attempt_id, State.RINGING, 6))  # later than the answer, arriving late
    after = shape(world, accepted.call.id), world.told(accepted.call.id)
    assert after[1] == before[1]
    assert after[0]["call"] == before[0]["call"]


def test_a_correction_does_not_undo_what_the_customer_decided(world: World) -> None:
    accepted = world.dialing()
    calls.request_hangup(world.db, world.tenant.id, accepted.call.id, "customer", at(2))
    world.apply(world.ended(accepted.attempt_id, "USER_BUSY", 5, sip_code=486, disposition="recv_refuse", source=Source.CDR))
    assert world.call(accepted.call.id).status == "canceled"
    world.apply(world.busy(accepted.attempt_id, 5, ringing_at=at(3)))
    assert world.call(accepted.call.id).status == "canceled"


def test_whoever_answered_after_all_is_not_called_again(world: World) -> None:
    accepted = world.dialing()
    silent = world.ended(
        accepted.attempt_id, "NO_ANSWER", 40, source=Source.CDR, key="cdr", disposition="send_cancel", ringing_at=at(3)
    )
    (first,) = world.apply(silent, seconds=40)
    assert first.retry is not None
    world.apply(world.answered_end(accepted.attempt_id, 60, 38), seconds=60)
    call = world.call(accepted.call.id)
    assert (call.status, call.answered_at) == ("completed", at(38))
    second = world.attempt_list(call.id)[1]
    assert (second.id, second.state, second.outcome) == (first.retry.attempt_id, "ended", "canceled")
    refused = world.claim(second.id, now=at(10_000))
    assert isinstance(refused, attempts.Refused)
    assert world.told(call.id)[-1][1] == "call.completed"


def test_a_better_end_corrects_the_call_also_after_its_retry_was_spared(world: World) -> None:
    accepted = world.dialing()
    world.apply(world.busy(accepted.attempt_id, 5, source=Source.WATCHDOG))
    record = world.ended(accepted.attempt_id, "NORMAL_CLEARING", 60, key="cdr", source=Source.CDR, answered_at=at(38))
    world.apply(record, seconds=60)
    call = world.call(accepted.call.id)
    assert (call.status, call.sip_code, call.q850_cause) == ("completed", None, None)
    world.apply(world.answered_end(accepted.attempt_id, 61, 38), seconds=62)
    first, second = world.attempt_list(call.id)
    assert (second.state, second.outcome) == ("ended", "canceled")
    call = world.call(call.id)
    assert (call.sip_code, call.q850_cause, call.ended_at) == (200, 16, at(61))
    assert (call.status, call.status_at, call.hangup_by) == ("completed", at(61), first.hangup_by)
    assert [kind for _, kind in world.told(call.id)][-2:] == ["call.completed", "call.corrected"]
