"""Accepting a call: all of it or nothing, and once per idempotency key."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from calls.ids import call_ref
from calls.lanes import parse_lane
from store import agents, attempts, calls, tenants
from store.calls import Accepted, IdempotencyInFlight, IdempotencyKey, IdempotencyMismatch
from store.queries import load
from store.queries import shared_parts as parts
from store.rows import Attempt, Call
from store.snapshot import snapshot
from tests.store.conftest import T0, World, at, listed
from tests.store.threads import results, together


def key(text: str = "k1", body: bytes = b"body") -> IdempotencyKey:
    return IdempotencyKey(text, body.ljust(32, b"."), ttl_s=72 * 3600)


def test_everything_of_it_is_written_at_once(world: World) -> None:
    accepted = world.accept(metadata={"crm": "42", "text": "naïve ☎"}, priority="urgent", client_reference="order-7")
    call = world.call(accepted.call.id)
    assert call == accepted.call
    assert (call.status, call.attempt_count, call.sequence, call.metadata["text"]) == ("queued", 1, 1, "naïve ☎")
    assert parse_lane(accepted.lane).tenant_id == world.tenant.id
    (attempt,) = world.attempt_list(call.id)
    assert (attempt.id, attempt.state, attempt.number, attempt.lane) == (accepted.attempt_id, "queued", 1, accepted.lane)
    assert world.logged(call.id) == ["call.queued"]
    ((body, url),) = world.rows("SELECT body, url FROM outbox WHERE call_id = %s", call.id)
    assert url == world.tenant.webhook_url
    assert body["type"] == "call.queued"
    assert body["timestamp"] == "2026-01-21T12:00:00.123456Z"
    assert body["data"]["id"] == call_ref(call.id)
    assert body["data"]["sequence"] == 1
    assert body["data"]["attempt"]["id"] == str(attempt.id)
    assert {name: body["data"][name] for name in snapshot(call)} == snapshot(call)


def test_the_calls_own_address_goes_before_the_tenants(world: World) -> None:
    accepted = world.accept(webhook_url="https://elsewhere.example/x")
    assert world.rows("SELECT url FROM outbox WHERE call_id = %s", accepted.call.id) == [("https://elsewhere.example/x",)]


def test_without_an_address_nothing_is_told_and_no_sequence_used(world: World) -> None:
    tenants.set_webhook_url(world.db, world.tenant.id, None)
    accepted = world.accept()
    assert accepted.call.sequence == 0
    assert world.told(accepted.call.id) == []


def test_another_tenants_agent_is_unknown(world: World) -> None:
    other = tenants.create(world.db, name=f"other-{uuid4().hex[:8]}")
    theirs = agents.create(world.db, tenant_id=other.id, name="bot", kind="announcement", audio="a.wav")
    with pytest.raises(calls.UnknownAgent, match="agent_id"):
        world.accept(agent_id=theirs.id)
    with pytest.raises(calls.UnknownTenant):
        world.accept(tenant_id=uuid4())
    assert listed(world.db, world.tenant.id, 10) == []


def test_what_validation_let_through_leaves_no_trace(world: World) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        calls.accept_call(world.db, world.new(to_number="112"), idempotency=key(), now=T0)
    assert listed(world.db, world.tenant.id, 10) == []
    assert world.rows("SELECT 1 FROM outbox WHERE tenant_id = %s", world.tenant.id) == []
    # The key is free for the corrected request.
    assert calls.accept_call(world.db, world.new(), idempotency=key(), now=T0).replay is None


def test_the_same_call_given_again_after_a_lost_connection_is_the_same_call(world: World) -> None:
    new = world.new()
    for idempotency in (None, key()):
        again = world.new() if idempotency else new
        first = calls.accept_call(world.db, again, idempotency=idempotency, now=T0)
        second = calls.accept_call(world.db, again, idempotency=idempotency, now=T0)
        assert second == first
        assert second.replay is None
        assert world.told(first.call.id) == [(1, "call.queued")]


def test_same_key_same_body_is_answered_as_the_first_time(world: World) -> None:
    first = calls.accept_call(
        world.db, world.new(), idempotency=key(), now=T0, respond=lambda call: {"id": str(call.id), "extra": 1}
    )
    world.claim(first.attempt_id)
    again = calls.accept_call(world.db, world.new(), idempotency=key(), now=at(100))
    assert again.replay == {"id": str(first.call.id), "extra": 1}
    assert (again.call.id, again.attempt_id) == (first.call.id, first.attempt_id)
    assert len(listed(world.db, world.tenant.id, 10)) == 1


def test_same_key_other_body_is_refused(world: World) -> None:
    calls.accept_call(world.db, world.new(), idempotency=key(), now=T0)
    with pytest.raises(IdempotencyMismatch, match="use a new key"):
        calls.accept_call(world.db, world.new(), idempotency=key(body=b"other"), now=T0)


def test_a_key_is_the_tenants_own(world: World) -> None:
    other = tenants.create(world.db, name=f"other-{uuid4().hex[:8]}")
    agent = agents.create(world.db, tenant_id=other.id, name="bot", kind="announcement", audio="a.wav")
    calls.accept_call(world.db, world.new(), idempotency=key(), now=T0)
    theirs = calls.accept_call(
        world.db, world.new(tenant_id=other.id, agent_id=agent.id), idempotency=key(body=b"theirs"), now=T0
    )
    assert theirs.replay is None


def test_an_old_key_is_forgotten(world: World) -> None:
    calls.accept_call(world.db, world.new(), idempotency=key(), now=T0)
    later = T0 + timedelta(hours=73)
    again = calls.accept_call(world.db, world.new(), idempotency=key(body=b"new"), now=later)
    assert again.replay is None
    assert calls.forget_keys(world.db, later, 1000) >= 0
    kept = world.rows("SELECT fingerprint FROM idempotency_keys WHERE tenant_id = %s", world.tenant.id)
    assert kept == [(key(body=b"new").fingerprint,)]
    assert calls.forget_keys(world.db, later + timedelta(seconds=1), 1000) >= 1
    assert world.rows("SELECT key FROM idempotency_keys WHERE tenant_id = %s", world.tenant.id) == []


def test_old_keys_are_forgotten_in_pieces_the_oldest_first(world: World) -> None:
    calls.forget_keys(world.db, T0 + timedelta(hours=1), 10_000)
    for number in range(5):
        once = IdempotencyKey(f"piece-{number}", b"x")
        calls.accept_call(world.db, world.new(), idempotency=once, now=T0 - timedelta(days=number))

    def left() -> list[str]:
        sql = "SELECT key FROM idempotency_keys WHERE tenant_id = %s ORDER BY key"
        return [row[0] for row in world.rows(sql, world.tenant.id)]

    before = T0 - timedelta(hours=1)
    assert calls.forget_keys(world.db, before, 3) == 3
    assert left() == ["piece-0", "piece-1"]
    assert calls.forget_keys(world.db, before, 3) == 1
    assert calls.forget_keys(world.db, before, 3) == 0
    assert left() == ["piece-0"]


def test_due_at_once_is_due_by_the_clock_of_the_claim(world: World) -> None:
    """The web host's clock is ahead: the call is not for later, and not late."""
    ahead = datetime.now(UTC) + timedelta(seconds=600)
    new = world.new(due_at=ahead, expires_at=ahead + timedelta(hours=1))
    answers: list[Any] = []

    def respond(call: Call) -> dict[str, Any]:
        answers.append(call.due_at)
        return {}

    accepted = calls.accept_call(world.db, new, idempotency=key(), now=ahead, respond=respond)
    assert accepted.call.due_at < ahead - timedelta(seconds=500)
    assert answers == [accepted.call.due_at]
    assert world.call(accepted.call.id) == accepted.call
    assert isinstance(world.claim(accepted.attempt_id, now=datetime.now(UTC), clock=None), attempts.Claimed)
    later = world.new(due_at=ahead + timedelta(seconds=1), expires_at=ahead + timedelta(hours=1))
    accepted = calls.accept_call(world.db, later, idempotency=None, now=ahead)
    assert accepted.call.due_at == later.due_at


def test_racing_requests_with_one_key_make_one_call(world: World) -> None:
    def post() -> Accepted:
        return calls.accept_call(world.db, world.new(), idempotency=key(), now=T0)

    found = together(*[post] * 12)
    refused = [item for item in found if isinstance(item, IdempotencyInFlight)]
    answered = results([item for item in found if not isinstance(item, IdempotencyInFlight)])
    assert len([item for item in answered if item.replay is None]) == 1
    assert len(answered) + len(refused) == 12
    assert {item.call.id for item in answered} == {call.id for call in listed(world.db, world.tenant.id, 50)}


def test_a_key_in_work_is_in_flight(world: World) -> None:
    with psycopg.connect(world.url) as other:
        other.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, hashtextextended(%s::uuid::text, 0)))",
            ["k1", world.tenant.id],
        )
        with pytest.raises(IdempotencyInFlight):
            calls.accept_call(world.db, world.new(), idempotency=key(), now=T0)
    assert calls.accept_call(world.db, world.new(), idempotency=key(), now=T0).replay is None


def test_reading_is_the_tenants_own(world: World) -> None:
    accepted = world.accept()
    stranger = uuid4()
    assert calls.get_call(world.db, stranger, accepted.call.id) is None
    assert calls.list_attempts(world.db, stranger, accepted.call.id) == []
    assert calls.list_events(world.db, stranger, accepted.call.id) == []
    assert listed(world.db, stranger, 10) == []
    assert calls.request_hangup(world.db, stranger, accepted.call.id, "customer", at(1)).kind == "not_found"
    assert world.call(accepted.call.id).status == "queued"


def test_pages_are_newest_first_and_whole(world: World) -> None:
    ids = [world.accept().call.id for _ in range(5)]
    calls.request_hangup(world.db, world.tenant.id, ids[2], "customer", at(1))
    first = listed(world.db, world.tenant.id, 2)
    second = listed(world.db, world.tenant.id, 10, before=first[-1].id)
    assert [call.id for call in [*first, *second]] == ids[::-1]
    assert [call.id for call in listed(world.db, world.tenant.id, 10, status="canceled")] == [ids[2]]


def test_what_is_written_is_named_in_one_order() -> None:
    """Whoever adds a column to what is inserted adds it to what is selected."""
    statement = load("accept")["insert_calls"]
    found = re.search(rb"INSERT INTO calls \(([^)]*)\)\s*SELECT\s+([^)]*?)\s*FROM", statement)
    assert found
    assert re.findall(rb"\w+", found[1]) == re.findall(rb"\w+", found[2])


def test_rows_have_the_columns_order(world: World) -> None:
    """claim() reads both rows of one statement by position."""
    columns = parts()
    for row, part, source in ((Call, "call", "calls c"), (Attempt, "attempt", "attempts a")):
        with psycopg.connect(world.url) as conn:
            found = conn.execute(f"SELECT {columns[part]} FROM {source} LIMIT 0".encode()).description
        assert found is not None
        assert [column.name for column in found] == list(row.__dataclass_fields__)
