"""A call's place as Postgres knows it: exact to a thousand, and never dearer than that."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg

from store import attempts, backlog, laning, place, tenants
from tests.store.conftest import RULES, T0, TIMERS, World, at


def waiting(world: World, call_id: UUID) -> place.Waiting:
    found = place.waiting(world.db, world.tenant.id, call_id)
    assert found is not None
    return found


def before(world: World, call_id: UUID, laned: list[UUID] | None = None) -> tuple[int, int]:
    """Unlaned and queued ones before the call."""
    one = waiting(world, call_id)
    assert one.attempt_id is not None
    assert one.due_at is not None
    told = (world.db, world.tenant.id, one.lane, one.due_at, one.attempt_id)
    return place.unlaned_before(*told, laned or []), place.queued_before(*told)


def flood(world: World, lane: str, count: int, seconds: float, *, created: float = 0) -> None:
    """So many queued attempts in one go, due at that moment."""
    world.execute(
        "WITH c AS (INSERT INTO calls (id, tenant_id, agent_id, to_number, from_number, priority, route, lane, status,"
        " status_at, max_attempts, ring_timeout_s, max_duration_s, due_at, expires_at, metadata, agent_variables, sequence,"
        " created_at) SELECT gen_random_uuid(), %s, %s, '+4915112345678', '+493012345678', 'normal', 'all', %s, 'queued',"
        " %s, 3, 30, 600, %s, %s, '{}', '{}', 0, %s FROM generate_series(1, %s) RETURNING id, due_at, created_at)"
        " INSERT INTO attempts (id, call_id, number, lane, due_at, created_at)"
        " SELECT gen_random_uuid(), id, 1, %s, due_at, created_at FROM c",
        world.tenant.id, world.agent_id, lane, T0, at(seconds), at(86_400), at(created), count, lane,
    )  # fmt: skip


def test_only_its_tenant_sees_a_call(world: World) -> None:
    mine = world.accept()
    assert waiting(world, mine.call.id).attempt_id == mine.attempt_id
    assert place.waiting(world.db, uuid4(), mine.call.id) is None
    assert place.waiting(world.db, world.tenant.id, uuid4()) is None


def test_those_due_earlier_are_before_it_and_ties_go_by_id(world: World) -> None:
    late = world.accept(due_at=at(9))
    same = [world.accept(due_at=at(5)) for _ in range(3)]
    world.accept(due_at=at(1), priority="bulk")  # another lane
    order = sorted(same, key=lambda one: one.attempt_id)
    assert [before(world, one.call.id) for one in order] == [(0, 0), (1, 1), (2, 2)]
    assert before(world, late.call.id) == (3, 3)


def test_what_is_laned_or_parked_is_not_counted_again(world: World) -> None:
    calls = [world.accept(due_at=at(n)) for n in range(5)]
    last = calls[-1].call.id
    epoch = world.rows("SELECT epoch FROM budget_epoch")[0][0]
    assert laning.mark_pushed(world.db, [calls[0].attempt_id], epoch, at(9)) == 1
    assert before(world, last) == (3, 4)
    assert laning.park(world.db, [calls[1].attempt_id]) == 1
    assert before(world, last) == (2, 3)
    # In a lane already, but nobody has written that down yet.
    assert before(world, last, [calls[2].attempt_id])[0] == 1
    assert waiting(world, calls[0].call.id).pushed_epoch == epoch


def test_a_thousand_is_counted_and_no_more(world: World) -> None:
    first = world.accept(due_at=at(100))
    flood(world, first.call.lane, place.EXACT - 1, 1)
    assert before(world, first.call.id) == (place.EXACT - 1, place.EXACT - 1)
    flood(world, first.call.lane, 50, 1)
    assert before(world, first.call.id) == (place.EXACT, place.EXACT)


def test_what_was_canceled_with_the_whole_queue_is_not_before_anybody(world: World) -> None:
    lane = world.accept(due_at=at(1)).call.lane
    flood(world, lane, 300, 2)
    assert tenants.cancel_queued(world.db, world.tenant.id, T0) is not None
    flood(world, lane, 20, 400, created=50)
    row = world.rows("SELECT id, due_at FROM attempts WHERE lane = %s ORDER BY due_at DESC, id DESC LIMIT 1", lane)[0]
    told = (world.db, world.tenant.id, lane, row[1], row[0])
    assert (place.unlaned_before(*told), place.queued_before(*told)) == (19, 19)
    flood(world, lane, place.WALK, 3)
    assert (place.unlaned_before(*told), place.queued_before(*told)) == (place.EXACT, place.EXACT)


def test_it_reads_a_piece_of_the_index_and_nothing_else(world: World) -> None:
    first = world.accept(due_at=at(100))
    flood(world, first.call.lane, 5000, 1)
    flood(world, first.call.lane, 3000, 200)
    queries = {"unlaned_before": "attempts_unlaned", "queued_before": "attempts_backlog"}
    with psycopg.connect(world.url) as conn:
        conn.execute(place._SQL["by_index"])
        for name, index in queries.items():
            params = {
                "tenant_id": world.tenant.id, "lane": first.call.lane, "due_at": first.call.due_at, "id": first.attempt_id,
                "laned": [], "walk": place.WALK, "exact": place.EXACT, "held": None,
            }  # fmt: skip
            plan = "\n".join(row[0] for row in conn.execute(b"EXPLAIN (ANALYZE, COSTS OFF) " + place._SQL[name], params))
            found = re.search(rf"Index (?:Only )?Scan using {index} on attempts a \(actual time=\S+ rows=(\d+)", plan)
            assert found is not None, plan
            assert int(found[1]) <= place.EXACT + 1, plan


def test_a_call_that_is_not_queued_has_no_attempt_that_waits(world: World) -> None:
    live = world.dialing()
    found = waiting(world, live.call.id)
    assert (found.attempt_id, found.status) == (None, "dialing")
    retried = world.dialing()
    attempts.apply_evidence(world.db, [world.busy(retried.attempt_id, 5)], rules=RULES, timers=TIMERS, now=at(6))
    found = waiting(world, retried.call.id)
    assert (found.number, found.status) == (2, "queued")
    assert found.due_at is not None
    assert found.due_at > at(6)


def test_canceled_and_expired_calls_say_so(world: World) -> None:
    gone = world.accept(expires_at=at(1))
    assert waiting(world, gone.call.id).expired  # the database's clock is long past it
    kept = world.accept(expires_at=at(100_000_000))
    assert not waiting(world, kept.call.id).expired
    assert not waiting(world, kept.call.id).canceled
    tenants.cancel_queued(world.db, world.tenant.id, T0)
    assert waiting(world, kept.call.id).canceled


def test_how_long_channels_are_kept(world: World) -> None:
    now = world.rows("SELECT now()")[0][0]
    done, live, elsewhere = (world.dialing() for _ in range(3))
    world.execute(
        "UPDATE attempts SET state = 'ended', claimed_at = %s, ended_at = %s WHERE id = %s",
        now - timedelta(seconds=100), now - timedelta(seconds=40), done.attempt_id,
    )  # fmt: skip
    world.execute("UPDATE attempts SET claimed_at = %s WHERE id = %s", now - timedelta(seconds=30), live.attempt_id)
    world.execute("UPDATE attempts SET carrier_id = NULL WHERE id = %s", elsewhere.attempt_id)
    ended, running = sorted(place.spans(world.db, [world.carrier_id]), key=lambda span: not span.over)
    assert (ended.over, ended.priority, ended.seen_s) == (True, "normal", 0)
    assert abs(ended.until_s - 60) < 0.01
    assert 40 <= ended.ago_s < 60
    assert (running.over, running.ago_s) == (False, 0)
    assert 30 <= running.until_s < 60
    assert place.spans(world.db, [uuid4()]) == []


def test_what_tenants_have_queued(world: World) -> None:
    for _ in range(3):
        world.accept()
    backlog.fold(world.db)
    world.accept()
    stranger = uuid4()
    assert place.queued_of(world.db, [world.tenant.id, stranger]) == {world.tenant.id: 4, stranger: 0}
