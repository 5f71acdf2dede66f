"""Evidence in any order, however often and by however many: one row, one effect, no gap."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calls.evidence import Evidence, Source, State
from calls.ids import new_uuid7
from calls.retry import RetryRules, Stop, apply_retry_policy
from store import attempts
from store.attempts import Applied
from store.facts import call_facts, facts_of
from store.work import CallWork, Context
from tests.store.conftest import RULES, TIMERS, World, at, listed
from tests.store.threads import results, together, wait_for, waits_for_lock

#: What differs between equal histories: ids, how often the enterprise was told, and on what the policy decided then.
VOLATILE = {"id", "call_id", "created_at", "sequence", "decided"}


def shape(world: World, call_id: UUID) -> dict[str, Any]:
    """The call and its attempts, without what no witness decides."""

    def plain(row: object) -> dict[str, Any]:
        return {n: getattr(row, n) for n in type(row).__dataclass_fields__ if n not in VOLATILE}  # type: ignore[attr-defined]

    return {"call": plain(world.call(call_id)), "attempts": [plain(row) for row in world.attempt_list(call_id)]}


def answered_life(world: World, attempt_id: UUID) -> list[Evidence]:
    return [
        world.seen(attempt_id, State.DIALING, 1.1, "e1"),
        world.seen(attempt_id, State.EARLY, 2, "e2"),
        world.seen(attempt_id, State.RINGING, 3, "e3"),
        world.seen(attempt_id, State.IN_PROGRESS, 5, "e4"),
        replace_end(world.answered_end(attempt_id, 20, 5, ringing_at=at(3), early_at=at(2)), "e5"),
    ]


def replace_end(evidence: Evidence, key: str) -> Evidence:
    return replace(evidence, key=key)


def test_the_whole_life_is_told_step_by_step(world: World) -> None:
    accepted = world.dialing()
    states = []
    for evidence in answered_life(world, accepted.attempt_id):
        (applied,) = world.apply(evidence)
        states.append((applied.state, applied.ended_now))
    assert states == [("dialing", False), ("early", False), ("ringing", False), ("in_progress", False), ("ended", True)]
    assert [kind for _, kind in world.told(accepted.call.id)] == [
        "call.queued", "call.dialing", "call.early", "call.ringing", "call.answered", "call.completed",
    ]  # fmt: skip
    call = world.call(accepted.call.id)
    assert (call.status, call.end_reason, call.hangup_by, call.sip_code) == ("completed", "hangup", "callee", 200)
    assert (call.answered_at, call.ended_at, call.status_at) == (at(5), at(20), at(20))
    bodies = [row[0] for row in world.rows("SELECT body FROM outbox WHERE call_id = %s ORDER BY sequence", call.id)]
    assert [body["data"]["sequence"] for body in bodies] == [1, 2, 3, 4, 5, 6]
    assert [body["data"]["status"] for body in bodies] == [
        "queued", "dialing", "early", "ringing", "in_progress", "completed",
    ]  # fmt: skip


def test_an_announcement_is_no_ringing(world: World) -> None:
    """The call's status and its webhook say so; the list finds it under that name alone, and a ring after it is told."""
    accepted = world.dialing()
    world.apply(world.seen(accepted.attempt_id, State.DIALING, 1.1, "e1"))
    world.apply(world.seen(accepted.attempt_id, State.EARLY, 2, "e2"))
    call = world.call(accepted.call.id)
    assert (call.status, call.status_at, call.ended) == ("early", at(2), False)
    assert world.told(accepted.call.id)[-1][1] == "call.early"

    def is_listed(status: str) -> bool:
        found = listed(world.db, call.tenant_id, 100, None, status)
        return any(one.id == call.id for one in found)

    assert (is_listed("early"), is_listed("ringing")) == (True, False)
    world.apply(world.seen(accepted.attempt_id, State.RINGING, 9, "e3"))
    assert (world.call(call.id).status, world.call(call.id).status_at) == ("ringing", at(9))
    assert (is_listed("early"), is_listed("ringing")) == (False, True)
    # Media after the ring (the network's own tone) takes nothing back.
    world.apply(world.seen(accepted.attempt_id, State.EARLY, 10, "e4"))
    assert world.call(call.id).status == "ringing"


def test_a_carriers_own_texts_decide_when_the_end_is_applied(world: World) -> None:
    noted = '[{"code": 603, "text": "try later", "class": "channels"}]'
    accepted, before = world.dialing(), world.dialing()

    def end(attempt: UUID) -> Evidence:
        words = {"sip_code": 603, "sip_phrase": "Please try later", "disposition": "recv_refuse"}
        return world.ended(attempt, "CALL_REJECTED", 2, **words)

    world.apply(end(before.attempt_id))
    world.execute("UPDATE carriers SET reject_texts = %s WHERE id = %s", noted, world.carrier_id)
    (applied,) = world.apply(end(accepted.attempt_id))
    (row, *_), (old, *_) = world.attempt_list(accepted.call.id), world.attempt_list(before.call.id)
    assert (row.end_reason, row.retry_class, row.said, applied.full) == (
        "carrier_capacity", "carrier_capacity", "channels", "channels",
    )  # fmt: skip
    assert (old.end_reason, old.said) == ("declined", None)  # what has ended stays as it was


def test_deadlines_follow_the_state(world: World) -> None:
    accepted = world.dialing()
    life = answered_life(world, accepted.attempt_id)

    def deadline_after(evidence: Evidence, seconds: float) -> object:
        world.apply(evidence, seconds=seconds)
        return world.attempt_list(accepted.call.id)[0].deadline_at

    assert deadline_after(life[0], 1.2) == at(1 + 25)
    assert deadline_after(life[1], 2) == at(2 + 30 + 5)
    assert deadline_after(life[2], 3) == at(3 + 30 + 5)  # the phone rings only now
    assert deadline_after(life[3], 5) == at(5 + 600 + 30)
    assert deadline_after(life[4], 20) is None


def test_one_batch_tells_the_same_as_many(world: World) -> None:
    one, many = world.dialing(), world.dialing()
    world.apply(*reversed(answered_life(world, one.attempt_id)))
    for evidence in answered_life(world, many.attempt_id):
        world.apply(evidence)
    assert world.told(one.call.id) == world.told(many.call.id)
    assert shape(world, one.call.id) == shape(world, many.call.id)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_order_any_duplication_any_batching_gives_one_row(world: World, data: st.DataObject) -> None:
    first, second = world.dialing(), world.dialing()
    plain = [*answered_life(world, first.attempt_id)]
    plain.append(replace_end(world.ended(first.attempt_id, "NORMAL_CLEARING", 21, source=Source.CDR, sip_code=200), "cdr"))
    moved = [replace(evidence, attempt_id=second.attempt_id) for evidence in plain]
    shuffled = data.draw(st.permutations(moved))
    shuffled = [*shuffled, *data.draw(st.lists(st.sampled_from(moved), max_size=4))]
    world.apply(*plain)
    while shuffled:
        size = data.draw(st.integers(1, len(shuffled)))
        batch, shuffled = shuffled[:size], shuffled[size:]
        world.apply(*batch)
    assert shape(world, first.call.id) == shape(world, second.call.id)
    sequences = [sequence for sequence, _ in world.told(second.call.id)]
    assert sequences == list(range(1, world.call(second.call.id).sequence + 1))
    # One end is told, whichever witness came first; what a better one knows is a correction.
    ends = {"call.completed", "call.failed", "call.no_answer", "call.busy", "call.canceled"}
    assert len([kind for _, kind in world.told(second.call.id) if kind in ends]) == 1


def test_the_same_event_by_many_writers_has_one_effect(world: World) -> None:
    for _ in range(5):
        accepted = world.dialing()
        end = world.busy(accepted.attempt_id, 5)
        applied = [item for (item,) in results(together(*[lambda e=end: world.apply(e)] * 8))]
        assert [item.ended_now for item in applied].count(True) == 1
        assert [item.retry is not None for item in applied].count(True) == 1
        assert len(world.attempt_list(accepted.call.id)) == 2
        assert [kind for _, kind in world.told(accepted.call.id)] == ["call.queued", "call.dialing", "call.retry_scheduled"]


def test_crossing_batches_neither_deadlock_nor_lose(world: World) -> None:
    accepted = [world.dialing() for _ in range(12)]
    lives = [answered_life(world, item.attempt_id) for item in accepted]
    tries: list[int] = []
    original = world.db.run

    def counted(unit: Any, **options: Any) -> Any:
        def once(conn: Any) -> Any:
            tries.append(1)
            return unit(conn)

        return original(once, **options)

    world.db.run = counted  # type: ignore[method-assign]
    batches = [[life[step] for life in lives] for step in range(5)]
    rounds = [random.Random(seed).sample(batch, len(batch)) for seed in range(4) for batch in batches]
    results(together(*[lambda b=batch: world.apply(*b) for batch in rounds[:10]]))
    results(together(*[lambda b=batch: world.apply(*b) for batch in rounds[10:]]))
    # Locked in one order, no transaction was ever a deadlock's victim.
    assert len(tries) == len(rounds)
    for item in accepted:
        assert world.call(item.call.id).status == "completed"
        assert len(world.attempt_list(item.call.id)) == 1
        sequences = [sequence for sequence, _ in world.told(item.call.id)]
        assert sequences == list(range(1, len(sequences) + 1))
        assert sorted(world.logged(item.call.id)).count("attempt.ringing") == 1


def test_an_end_sees_the_hangup_that_it_had_to_wait_for(world: World) -> None:
    accepted = world.dialing()
    with psycopg.connect(world.url) as hangup:
        hangup.execute("UPDATE calls SET cancel_requested = true, sequence = 7 WHERE id = %s", [accepted.call.id])
        found: list[Applied] = []
        applying = threading.Thread(target=lambda: found.extend(world.apply(world.busy(accepted.attempt_id, 5))))
        applying.start()
        wait_for(lambda: waits_for_lock(world.url))
    applying.join(30)
    assert [item.retry for item in found] == [None]
    call = world.call(accepted.call.id)
    assert (call.status, call.sequence) == ("canceled", 8)


def test_sequences_have_no_gap_when_a_transaction_fails(world: World) -> None:
    accepted = world.dialing()
    world.execute("ALTER TABLE calls ADD CONSTRAINT no_ring CHECK (status <> 'ringing') NOT VALID")
    # Nothing of a batch that cannot be stored is kept, its sequence numbers neither.
    with pytest.raises(psycopg.errors.CheckViolation):
        world.apply(world.seen(accepted.attempt_id, State.RINGING, 2, "r"))
    world.execute("ALTER TABLE calls DROP CONSTRAINT no_ring")
    assert world.logged(accepted.call.id) == ["call.queued", "attempt.claimed"]
    world.apply(world.seen(accepted.attempt_id, State.RINGING, 2, "r"))
    assert world.told(accepted.call.id) == [(1, "call.queued"), (2, "call.dialing"), (3, "call.ringing")]


def test_unknown_attempts_are_said_and_skipped(world: World) -> None:
    accepted = world.dialing()
    stranger = uuid4()
    applied = world.apply(world.seen(stranger, State.RINGING, 2), world.seen(accepted.attempt_id, State.RINGING, 2))
    assert applied[0] == Applied(stranger, None)
    assert applied[1].state == "ringing"
    assert attempts.apply_evidence(world.db, [], rules=RULES, timers=TIMERS, now=at(1)) == []


def test_a_queued_call_expires(world: World) -> None:
    accepted = world.accept()
    assert attempts.list_expired(world.db, at(3599), 500) == []
    assert accepted.attempt_id in attempts.list_expired(world.db, at(3600), 500)
    world.apply(world.ended(accepted.attempt_id, "expired", 3600, source=Source.OPERATOR), seconds=3600)
    call = world.call(accepted.call.id)
    assert (call.status, call.end_reason) == ("expired", "expired")
    assert accepted.attempt_id not in attempts.list_expired(world.db, at(3601), 500)
    assert world.told(call.id)[-1] == (2, "call.expired")


def test_what_a_carrier_writes_cannot_stop_a_batch(world: World) -> None:
    good, bad = world.dialing(), world.dialing()
    poison = world.ended(
        bad.attempt_id, "USER_BUSY", 3, sip_code=1 << 40, q850_cause=-5, disposition="recv_refuse",
        sip_phrase="a\x00b\udcff" + "x" * 10_000 + "\"'\\%s{}",
    )  # fmt: skip
    applied = world.apply(poison, world.seen(good.attempt_id, State.RINGING, 2))
    assert {item.state for item in applied} == {"ended", "ringing"}
    attempt = world.attempt_list(bad.call.id)[0]
    assert attempt.sip_phrase is not None
    assert attempt.sip_phrase.startswith("a�b?x")
    assert (len(attempt.sip_phrase), attempt.sip_code, attempt.q850_cause) == (500, None, None)


def test_a_new_attempt_demands_a_retry_decision(world: World) -> None:
    accepted = world.dialing()
    world.apply(world.answered_end(accepted.attempt_id, 20, 5))
    call, (attempt,) = world.call(accepted.call.id), world.attempt_list(accepted.call.id)
    stop = apply_retry_policy(call_facts(call, attempt, [], [], RULES, 25)[0], facts_of(attempt), RULES, at(21))
    assert isinstance(stop, Stop)
    work = CallWork(call, None, {attempt.id: attempt})
    context = Context(RULES, TIMERS, at(21), new_uuid7)
    with pytest.raises(TypeError, match="needs a Retry"):
        work._write_attempt(attempt, stop, context)
    assert work.retry is None


def test_rules_are_the_callers(world: World) -> None:
    accepted = world.dialing()
    (applied,) = world.apply(world.busy(accepted.attempt_id, 5), rules=RetryRules(busy_gaps_s=(7,)))
    assert applied.retry is not None
    assert applied.retry.due_at == at(10) + timedelta(seconds=7)


def test_a_batch_again_after_a_lost_commit_still_says_it_ended(world: World) -> None:
    """The first try is committed, its connection is lost: the caller must learn what to release."""
    accepted = world.dialing()
    original = world.db.run

    def losing(unit: Any, **options: Any) -> Any:
        lost: list[int] = []

        def once(conn: Any) -> Any:
            result = unit(conn)
            if not lost:
                lost.append(1)
                raise psycopg.OperationalError("server closed the connection unexpectedly")
            return result

        return original(once, **options)

    world.db.run = losing  # type: ignore[method-assign]
    (applied,) = world.apply(world.busy(accepted.attempt_id, 5))
    assert (applied.ended_now, applied.fence) == (True, 1)
    assert len(world.attempt_list(accepted.call.id)) == 2
