"""A batch is written as a whole or not at all, its calls as single ones are, and its cancel is one mark."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from calls.evidence import State
from store import attempts, backlog, batches, call_list, calls, laning, request_keys, tenants
from store.attempts import Claimed, Refused
from store.batch_rows import pause
from store.batches import AcceptedBatch, Fitted, NewBatch, Under
from store.calls import IdempotencyInFlight, IdempotencyKey, IdempotencyMismatch, QueueFull, UnknownTenant
from store.request_keys import Remembered
from tests.store.conftest import T0, World, at
from tests.store.threads import results, together

SCOPE = "POST /v1/batches"


def under(text: str = "k1", body: bytes = b"body") -> Under:
    return Under(SCOPE, IdempotencyKey(text, body.ljust(32, b"."), ttl_s=72 * 3600))


def respond(fitted: Fitted) -> Remembered:
    return Remembered(202, f"/v1/batches/batch_{fitted.batch.id.hex}", f"{fitted.count} of it".encode())


def accept(world: World, new: NewBatch | int = 3, **more: Any) -> AcceptedBatch:
    if isinstance(new, int):
        new = NewBatch(world.tenant.id, [world.new() for _ in range(new)], 0)
    given: dict[str, Any] = {"under": None, "now": T0, "respond": respond, "max_queued": 1_000_000, **more}
    return batches.accept_batch(world.db, new, **given)


def of(world: World, done: AcceptedBatch) -> list[calls.Call]:
    assert done.answer.location is not None
    batch_id = done.answer.location[-32:]
    found = call_list.page(world.db, world.tenant.id, 100, call_list.Filters(batch_id=UUID(batch_id)))
    return sorted((shown.call for shown in found.calls), key=lambda call: call.id)


def test_its_calls_are_written_as_single_ones_are(world: World) -> None:
    """Every column of every table but ids, times of writing and the batch."""
    asked: dict[str, Any] = {
        "metadata": {"text": "naïve ☎\n\\.\t"}, "agent_variables": {"n": [1, None]}, "client_reference": "a\\N",
        "priority": "urgent", "recording": {"start": "answer", "notice": None, "days": 3}, "due_at": at(-5),
    }  # fmt: skip
    single = world.accept(**asked).call
    (many,) = of(world, accept(world, NewBatch(world.tenant.id, [world.new(**asked)], 0)))
    for table, key in (("calls", "id"), ("attempts", "call_id"), ("call_events", "call_id"), ("outbox", "call_id")):
        sql = f"SELECT to_jsonb(t) FROM {table} t WHERE {key} = %s"
        ((one,),), ((other,),) = world.rows(sql, single.id), world.rows(sql, many.id)
        for name in ("id", "call_id", "attempt_id", "batch_id", "recorded_at"):
            one.pop(name, None), other.pop(name, None)
        if table == "outbox":
            for body in (one["body"]["data"], other["body"]["data"]):
                body["id"] = body["attempt"]["id"] = body["batch_id"] = None
        assert other == one, table


def test_nothing_of_it_is_there_when_one_call_cannot_be(world: World) -> None:
    good, bad = world.new(), world.new(max_attempts=11)
    before = world.rows("SELECT count(*) FROM calls")
    with pytest.raises(psycopg.errors.CheckViolation):
        accept(world, NewBatch(world.tenant.id, [good, bad], 0), under=under())
    assert world.rows("SELECT count(*) FROM calls") == before
    assert world.rows("SELECT count(*) FROM batches WHERE tenant_id = %s", world.tenant.id) == [(0,)]
    assert accept(world, NewBatch(world.tenant.id, [good], 0), under=under()).answer.body == b"1 of it"


def test_the_answer_is_remembered_with_the_work(world: World) -> None:
    first = accept(world, under=under())
    again = accept(world, under=under(), now=at(10))
    assert (again.answer, again.replayed, again.written) == (first.answer, True, ())
    with pytest.raises(IdempotencyMismatch):
        accept(world, under=under(body=b"other"))
    assert not accept(world, under=under("k2")).replayed
    assert not accept(world, under=Under("POST /v1/elsewhere", under().key)).replayed
    assert not accept(world, under=under(), now=at(73 * 3600)).replayed
    assert request_keys.forget(world.db, at(72 * 3600), 100) >= 2
    with world.db.connection() as conn:
        request_keys.ask(conn, world.tenant.id, SCOPE, under("held").key, T0)()
        with pytest.raises(IdempotencyInFlight):
            results(together(lambda: accept(world, under=under("held"))))


@pytest.mark.parametrize("known", [under(), None])
def test_a_try_that_was_committed_though_its_connection_was_lost_is_no_repetition(world: World, known: Under | None) -> None:
    new = NewBatch(world.tenant.id, [world.new() for _ in range(3)], 1)
    accept(world, new, under=known)
    with world.db.connection() as conn:
        done = batches._accept(conn, new, known, T0, respond, 1_000_000, pause, alone=False, again=True)
    assert (done.answer.body, done.replayed) == (b"3 of it", False)
    assert len(of(world, done)) == 3


def test_the_bound_leaves_the_last_ones_out(world: World) -> None:
    tenants.update(world.db, world.tenant.name, max_queued=5)
    world.accept()
    asked = [world.new() for _ in range(6)]
    fitted: list[Fitted] = []

    def seen(how: Fitted) -> Remembered:
        fitted.append(how)
        return respond(how)

    done = accept(world, NewBatch(world.tenant.id, asked, 2), respond=seen)
    assert [one.attempt_id for one in done.written] == [new.attempt_id for new in asked[:4]]
    assert (fitted[0].count, fitted[0].batch.accepted, fitted[0].batch.refused) == (4, 4, 4)
    assert fitted[0].full is not None
    assert backlog.queued(world.db, world.tenant.id) == 5
    with pytest.raises(QueueFull):
        accept(world)
    with pytest.raises(UnknownTenant):
        accept(world, NewBatch(world.agent_id, [world.new(tenant_id=world.agent_id)], 0))


def test_a_queue_that_fills_up_in_between_is_counted_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far from the bound when it looked, near it when its turn came: it starts again, and keeps the others out."""
    monkeypatch.setattr(backlog, "near", lambda *_: False)
    tenants.update(world.db, world.tenant.name, max_queued=4)
    done = accept(world, 6)
    assert len(done.written) == 4


def test_the_queue_is_counted_by_one_delta_a_statement(world: World) -> None:
    accept(world, 300)
    assert backlog.queued(world.db, world.tenant.id) == 300
    deltas = world.rows("SELECT n FROM queue_deltas WHERE tenant_id = %s", world.tenant.id)
    assert sum(n for (n,) in deltas) == 300
    assert len(deltas) <= 300 / 10


def test_a_canceled_batch_is_not_dialed(world: World) -> None:
    done, beside = accept(world), accept(world)
    first, second, third = (one.attempt_id for one in done.written)
    assert isinstance(world.claim(first), Claimed)
    batch_id = of(world, done)[0].batch_id
    assert batch_id is not None
    canceled = batches.cancel(world.db, world.tenant.id, batch_id, at(2))
    assert canceled is not None
    assert batches.cancel(world.db, world.tenant.id, batch_id, at(3)) == canceled
    assert batches.cancel(world.db, world.agent_id, batch_id, at(3)) is None
    assert world.claim(second) == Refused("canceled")
    assert isinstance(world.claim(beside.written[0].attempt_id), Claimed)
    assert [call.cancel_requested for call in of(world, done)] == [True] * 3
    assert [call.cancel_requested for call in of(world, beside)] == [False] * 3
    (row,) = [one for one in laning.refill(world.db, [laning.Ask(done.written[0].lane, 50)]) if one.attempt_id == third]
    assert row.gone
    assert set(batches.list_condemned(world.db, 100)) == {second, third}
    assert len(batches.list_condemned(world.db, 1)) == 1
    # What is being dialed goes on, and is not dialed again.
    world.apply(world.seen(first, State.RINGING, 3))
    (applied,) = world.apply(world.busy(first, 5))
    assert applied.retry is None
    assert world.call(of(world, done)[0].id).status == "canceled"


def test_a_batch_with_nothing_left_is_not_looked_at_again(world: World) -> None:
    done = accept(world, 1)
    (call,) = of(world, done)
    assert call.batch_id is not None
    batches.cancel(world.db, world.tenant.id, call.batch_id, at(2))
    assert done.written[0].attempt_id in batches.list_condemned(world.db, 100)
    assert calls.request_hangup(world.db, world.tenant.id, call.id, "customer", at(3)).kind == "canceled"
    assert done.written[0].attempt_id not in batches.list_condemned(world.db, 100)
    assert world.rows("SELECT canceling FROM batches WHERE id = %s", call.batch_id) == [(False,)]
    batches.cancel(world.db, world.tenant.id, call.batch_id, at(4))
    assert world.rows("SELECT canceling FROM batches WHERE id = %s", call.batch_id) == [(False,)]


def test_its_calls_are_counted_by_status_and_reason(world: World) -> None:
    done = accept(world, 4)
    ids = [one.attempt_id for one in done.written]
    for attempt_id in ids[:2]:
        assert isinstance(world.claim(attempt_id), Claimed)
    world.apply(world.answered_end(ids[0], 20, 10))
    world.apply(world.seen(ids[1], State.EARLY, 4))
    batch_id = of(world, done)[0].batch_id
    assert batch_id is not None
    statuses, reasons = batches.counts(world.db, world.tenant.id, batch_id)
    assert statuses == {"queued": 2, "early": 1, "completed": 1}
    assert sum(reasons.values()) == 1
    assert batches.counts(world.db, world.agent_id, batch_id) == ({}, {})


def test_marks_of_before_are_not_meant_for_it(world: World) -> None:
    tenants.cancel_queued(world.db, world.tenant.id, at(60))
    done = accept(world, 1)
    assert isinstance(world.claim(done.written[0].attempt_id, now=at(120)), Claimed)
    assert attempts.unclaim(world.db, done.written[0].attempt_id, 1, at(121))
    assert replace(of(world, done)[0], sequence=1).created_at > at(60)
