"""Webhooks wait until they are delivered, given up, or taken over from a dispatcher that died."""

from __future__ import annotations

import psycopg

from store import outbox
from store.outbox import Outcome
from tests.store.conftest import World, at
from tests.store.threads import results, together


def claimed(world: World, seconds: float, lease_s: float = 30, limit: int = 1000) -> list[outbox.Delivery]:
    """As a dispatcher does it: what is due again, and what is new."""
    due = outbox.claim_due(world.db, at(seconds), limit, lease_s)
    _, new = outbox.expand(world.db, at(seconds), 1000, max(0, limit - len(due)), lease_s)
    return [item for item in (*due, *new) if item.tenant_id == world.tenant.id]


def tried(seconds: float, code: int | None, error: str | None = None) -> outbox.Tried:
    return outbox.Tried(at(seconds), code, error, 5, "said")


def test_a_delivery_has_what_signing_needs(world: World) -> None:
    accepted = world.dialing()
    first, second = claimed(world, 2)
    assert (first.call_id, first.sequence, first.type, first.tries) == (accepted.call.id, 1, "call.queued", 1)
    assert (second.sequence, second.type) == (2, "call.dialing")
    assert first.secrets == [world.tenant.webhook_secret]
    assert first.url == world.tenant.webhook_url
    assert first.body["data"]["status"] == "queued"


def test_a_lease_that_ends_goes_to_the_next_with_the_same_id(world: World) -> None:
    world.accept()
    (first,) = claimed(world, 1, lease_s=30)
    assert claimed(world, 30) == []
    (again,) = claimed(world, 31)
    assert (again.id, again.tries) == (first.id, 2)


def test_delivered_failed_and_given_up(world: World) -> None:
    for _ in range(3):
        world.accept()
    good, slow, bad = claimed(world, 1)
    outbox.record(world.db, [Outcome(good.id, tried(2, 204))])
    outbox.record(world.db, [Outcome(slow.id, tried(2, 500, "server error"), at(50))])
    outbox.record(world.db, [Outcome(bad.id, tried(2, None, "no such host\x00"), None)])
    assert claimed(world, 49) == []
    (again,) = claimed(world, 50)
    assert (again.id, again.tries) == (slow.id, 2)
    outbox.record(world.db, [Outcome(slow.id, tried(51, 200))])
    outbox.record(world.db, [Outcome(slow.id, tried(52, 500, "late news of an earlier try"), at(53))])
    outbox.record(world.db, [Outcome(slow.id, tried(52, 500, "late news of an earlier try"), None)])
    assert claimed(world, 1000) == []
    rows = world.rows(
        "SELECT id, last_code, status, ended_at, jsonb_array_length(attempts) FROM webhook_deliveries WHERE tenant_id = %s",
        world.tenant.id,
    )
    assert {row[0]: row[1:] for row in rows} == {
        good.id: (204, "delivered", at(2), 1),
        slow.id: (200, "delivered", at(51), 2),
        bad.id: (None, "failed", at(2), 1),
    }


def test_dispatchers_share_without_doubles(world: World) -> None:
    accepted = [world.accept() for _ in range(40)]
    found = results(together(*[lambda: claimed(world, 1, limit=10)] * 8))
    ids = [item.id for batch in found for item in batch]
    assert len(ids) == len(set(ids))
    rest = [item.id for item in claimed(world, 1)]
    assert len({*ids, *rest}) == len(accepted)
    assert outbox.backlog(world.db) >= len(accepted)


def test_what_another_is_claiming_is_passed_over(world: World) -> None:
    first, second = world.accept(), world.accept()
    with psycopg.connect(world.url) as other:
        other.execute("SELECT 1 FROM outbox WHERE call_id = %s FOR NO KEY UPDATE", [first.call.id])
        assert [item.call_id for item in claimed(world, 1)] == [second.call.id]


def test_a_new_webhook_wakes_the_dispatcher(world: World) -> None:
    with psycopg.connect(world.url, autocommit=True) as listener:
        listener.execute("LISTEN outbox")
        world.accept()
        assert [notice.channel for notice in listener.notifies(timeout=20, stop_after=1)] == ["outbox"]
