"""From the backlog into the lanes and back: what the feeder is told, and how little is read for it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from calls.lanes import lane_name
from store import attempts, laning, tenants
from store import epoch as store_epoch
from store.laning import PARKED, Ask
from store.pool import Database
from tests.store.conftest import World, at, enterprise
from trunkline import guests
from trunkline.servers import Server


def lane(world: World, priority: str = "normal") -> str:
    return lane_name(priority, world.tenant.id, "all")


def due(world: World, seconds: float = 30) -> list[str]:
    """The lanes of this test's tenant of which something is due."""
    return [name for name in laning.due_lanes(world.db, clock=at(seconds)) if world.tenant.id.hex in name]


def waiting(world: World, want: int = 500, seconds: float = 30, name: str | None = None) -> list[UUID]:
    rows = laning.refill(world.db, [Ask(name or lane(world), want)], clock=at(seconds))
    return [row.attempt_id for row in rows if not row.gone]


def epoch(world: World) -> int:
    return store_epoch.get(world.db).epoch


def test_due_attempts_come_in_order_and_once_per_epoch(world: World) -> None:
    late, soon = world.accept(due_at=at(20)).attempt_id, world.accept(due_at=at(10)).attempt_id
    never, same = world.accept(due_at=at(1000)).attempt_id, world.accept(due_at=at(10)).attempt_id
    assert due(world, 5) == waiting(world, seconds=5) == []
    assert due(world) == [lane(world)]
    assert waiting(world) == [*sorted([soon, same]), late]
    assert waiting(world, 2) == sorted([soon, same])
    assert waiting(world, seconds=2000) == [*sorted([soon, same]), late, never]
    now = epoch(world)
    assert attempts.mark_pushed(world.db, [soon, same, late], now, at(30)) == 3
    assert due(world) == waiting(world) == []
    pushed = [item.attempt_id for item in attempts.list_pushed(world.db, now, at(31), 500) if item.lane == lane(world)]
    assert pushed == sorted([soon, same, late])
    assert attempts.list_pushed(world.db, now, at(30), 500) == []


def test_lanes_are_asked_for_together_each_for_its_own_number(world: World) -> None:
    urgent = [world.accept(priority="urgent").attempt_id for _ in range(3)]
    normal = [world.accept().attempt_id for _ in range(3)]
    world.accept(priority="bulk", due_at=at(1000))
    assert due(world) == [lane(world), lane(world, "urgent")]
    names = [lane(world), "dial.normal.nobody.all", lane(world, "urgent"), lane(world, "bulk")]
    asks = [Ask(name, want) for name, want in zip(names, (2, 5, 500, 5), strict=True)]
    rows = laning.refill(world.db, asks, clock=at(30))
    assert [row.attempt_id for row in rows if row.ask == 0] == sorted(normal)[:2]
    assert [row.attempt_id for row in rows if row.ask == 2] == sorted(urgent)
    assert {row.ask for row in rows} == {0, 2}
    assert all(row.lane == asks[row.ask].lane for row in rows)


def test_what_expired_or_was_canceled_with_the_queue_is_named_and_put_out_of_the_way(world: World) -> None:
    expired, canceled = world.accept(expires_at=at(5)).attempt_id, world.accept().attempt_id
    tenants.cancel_queued(world.db, world.tenant.id, at(0))
    mark = world.rows("SELECT canceled_before FROM tenants WHERE id = %s", world.tenant.id)[0][0]
    fresh = world.accept(due_at=mark + timedelta(seconds=1)).attempt_id  # accepted after the mark
    rows = laning.refill(world.db, [Ask(lane(world), 10)], clock=at(30))
    assert {row.attempt_id: row.gone for row in rows} == {expired: True, canceled: True, fresh: False}
    before, after = laning.refill(world.db, [Ask(lane(world), 10, upto=mark)], clock=at(30)), [fresh]
    assert [row.attempt_id for row in before] == sorted([expired, canceled])
    assert [row.attempt_id for row in laning.refill(world.db, [Ask(lane(world), 10, after=mark)], clock=at(30))] == after
    assert laning.park(world.db, [expired, canceled, fresh][:2]) == 2
    assert waiting(world) == [fresh]
    assert [row.gone for row in laning.refill(world.db, [Ask(lane(world), 10)], clock=at(30))] == [False]
    # No rebuild and no emptied lane brings it back, and both are still to be ended.
    laning.forget_pushed(world.db, epoch(world) + 1, 500)
    laning.unlane(world.db, [lane(world)])
    assert waiting(world) == [fresh]
    assert {expired, canceled} <= set(attempts.list_condemned(world.db, 500))
    assert fresh not in attempts.list_condemned(world.db, 500)
    assert expired in attempts.list_expired(world.db, at(30), 500)
    assert world.rows("SELECT pushed_epoch FROM attempts WHERE id = %s", expired) == [(PARKED,)]


def test_neither_claimed_nor_live_attempts_are_brought_or_condemned(world: World) -> None:
    talking = world.dialing()
    queued = world.accept()
    assert waiting(world) == [queued.attempt_id]
    assert attempts.mark_pushed(world.db, [talking.attempt_id], epoch(world), at(1)) == 0
    assert laning.park(world.db, [talking.attempt_id]) == 0
    tenants.cancel_queued(world.db, world.tenant.id, at(10))
    # However many are on the line, older than all that is queued: they do not use up what is asked for.
    condemned = laning.list_condemned(world.db, 500)
    assert queued.attempt_id in condemned
    assert talking.attempt_id not in condemned
    (one,) = laning.list_condemned(world.db, 1)
    assert one != talking.attempt_id


def test_tenants_that_cancel_share_each_look(world: World, db: Database, postgres_url: str) -> None:
    world.execute("UPDATE tenants SET canceled_before = NULL")
    second, idle = (enterprise(db, postgres_url) for _ in range(2))
    idle.dialing()
    of = {one.accept().attempt_id: one.tenant.name for one in (world, second) for _ in range(6)}
    for one in (world, idle):
        tenants.cancel_queued(world.db, one.tenant.id, at(10))
    assert len(laning.list_condemned(world.db, 4)) == 4  # who has nothing queued takes no share
    tenants.cancel_queued(world.db, second.tenant.id, at(10))
    shares = Counter(of[attempt] for attempt in laning.list_condemned(world.db, 4))
    assert shares == {world.tenant.name: 2, second.tenant.name: 2}
    assert len(laning.list_condemned(world.db, 1)) == 1
    assert set(laning.list_condemned(world.db, 500)) == of.keys()


def test_a_given_back_attempt_is_brought_again(world: World) -> None:
    attempt = world.accept().attempt_id
    attempts.mark_pushed(world.db, [attempt], epoch(world), at(1))
    world.claim(attempt)
    attempts.unclaim(world.db, attempt, 1, at(2))
    assert waiting(world) == [attempt]


def test_a_new_epoch_has_nothing_in_its_lanes(world: World) -> None:
    old, laned, unlaned = (world.accept().attempt_id for _ in range(3))
    now = epoch(world)
    attempts.mark_pushed(world.db, [old, laned], now, at(1))
    world.execute("UPDATE attempts SET pushed_epoch = %s WHERE id = %s", now + 7, laned)
    assert laning.forget_pushed(world.db, now, 500) == 1
    assert waiting(world) == sorted([laned, unlaned])
    while laning.forget_pushed(world.db, now + 1, 1):
        pass
    assert waiting(world) == sorted([old, laned, unlaned])


def test_a_leader_whose_epoch_is_over_marks_nothing(world: World) -> None:
    attempt = world.accept().attempt_id
    assert attempts.mark_pushed(world.db, [attempt], epoch(world) - 1, at(1)) == 0
    assert waiting(world) == [attempt]


def test_an_emptied_lane_is_filled_again_and_no_other(world: World) -> None:
    normal, urgent = world.accept().attempt_id, world.accept(priority="urgent").attempt_id
    attempts.mark_pushed(world.db, [normal, urgent], epoch(world), at(1))
    assert laning.unlane(world.db, [lane(world)]) == 1
    assert waiting(world) == [normal]
    assert waiting(world, name=lane(world, "urgent")) == []


def test_the_next_moment_at_which_any_is_due(world: World) -> None:
    far = at(500_000_000)  # by its clock nothing of other tests lies ahead
    assert laning.next_due_s(world.db, clock=far) is None
    for seconds in (500_000_060, 500_000_007):
        world.accept(due_at=at(seconds), expires_at=at(600_000_000))
    assert laning.next_due_s(world.db, clock=far) == pytest.approx(7)
    assert laning.next_due_s(world.db, clock=at(500_000_007)) == pytest.approx(53)


def test_due_by_the_databases_clock_unless_another_is_given(world: World) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=100)
    attempt = world.accept(due_at=soon, expires_at=soon + timedelta(hours=1)).attempt_id
    assert laning.refill(world.db, [Ask(lane(world), 5)]) == []
    assert lane(world) not in laning.due_lanes(world.db)
    rows = laning.refill(world.db, [Ask(lane(world), 5)], clock=soon)
    assert [row.attempt_id for row in rows] == [attempt]


ROWS = 20_000
FLOOD = """
WITH tenant AS (
    INSERT INTO tenants (id, name, webhook_secret) VALUES (gen_random_uuid(), 'flood', decode(repeat('00', 32), 'hex'))
    RETURNING id
), agent AS (
    INSERT INTO agents (id, tenant_id, name, kind, url)
    SELECT gen_random_uuid(), id, 'bot', 'websocket', 'ws://x' FROM tenant
    RETURNING id, tenant_id
), call AS (
    INSERT INTO calls (id, tenant_id, agent_id, to_number, from_number, route, lane, status_at, max_attempts, ring_timeout_s,
                       max_duration_s, due_at, expires_at, created_at)
    SELECT gen_random_uuid(), tenant_id, id, '+12125550100', '+12125550101', 'all',
           'dial.normal.' || replace(tenant_id::text, '-', '') || '.all', now(), 1, 30, 60, at, now() + interval '1 day', at
    FROM agent, generate_series(now() - interval '1 hour', now(), interval '1 hour' / {rows}) at
    RETURNING id, lane, due_at, created_at
)
INSERT INTO attempts (id, call_id, number, lane, due_at, created_at)
SELECT gen_random_uuid(), id, 1, lane, due_at, created_at FROM call
"""


@pytest.mark.parametrize("analyzed", [False, True])
def test_a_question_reads_what_it_returns_and_little_else(postgres: Server, migrated_template: str, analyzed: bool) -> None:
    """Whatever the planner believes: by the pages touched, with 20,000 rows (800 pages) behind one lane's first."""
    url = guests.create_database(postgres.url, "flood", template=migrated_template)
    try:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(FLOOD.format(rows=ROWS).encode())
            if analyzed:
                conn.execute("ANALYZE")
            conn.execute("UPDATE tenants SET canceled_before = now()")
            name = conn.execute("SELECT lane FROM calls LIMIT 1").fetchall()[0][0]
            refill = {"lanes": [name, "dial.normal.x.all"], "wants": [20, 20], "after": [None] * 2, "upto": [None] * 2}
            questions: dict[str, dict[str, object]] = {
                "due_lanes": {"clock": None},
                "refill": {**refill, "clock": None},
                "next_due": {"clock": None},
                "list_condemned": {"limit": 20},
                "unlane_lanes": {"lanes": [name]},
                "forget_pushed": {"epoch": 1, "limit": 20},
            }
            read = {query: pages(conn, query, params) for query, params in questions.items()}
            assert max(read.values()) < 200, read
    finally:
        guests.drop_database(postgres.url, url)


def pages(conn: psycopg.Connection[tuple[object, ...]], query: str, params: dict[str, object]) -> int:
    """Shared buffers that the query touches."""
    sql = laning._SQL
    with conn.transaction():
        conn.execute(sql["by_index"])
        row = conn.execute(b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + sql[query], params).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]  # type: ignore[index]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
