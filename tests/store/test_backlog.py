"""The count of what a tenant has queued is exact at any moment, and its bound holds against any number at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from store import attempts, backlog, calls, tenants
from store.attempts import Claimed
from store.backlog import SAMPLE, QueueFull, retry_after_s
from store.calls import IdempotencyKey
from store.migrate import migrate, read_migrations
from store.pool import Conn, Database
from tests.store.conftest import T0, World, at
from tests.store.threads import results, together
from trunkline import guests
from trunkline.servers import Server


def really(world: World) -> int:
    sql = "SELECT count(*) FROM attempts a JOIN calls c ON c.id = a.call_id WHERE c.tenant_id = %s AND a.state = 'queued'"
    return int(world.rows(sql, world.tenant.id)[0][0])


def bound(world: World, most: int | None) -> None:
    tenants.update(world.db, world.tenant.name, max_queued=most)


def test_the_count_is_exact_whatever_happens(world: World) -> None:
    choose = random.Random(7)
    queued: list[tuple[UUID, UUID]] = []
    dialing: list[tuple[UUID, UUID]] = []
    for step in range(150):
        what = choose.choice(["accept", "accept", "claim", "unclaim", "cancel", "busy", "fold"])
        if what == "accept":
            accepted = world.accept()
            queued.append((accepted.call.id, accepted.attempt_id))
        elif what == "claim" and queued:
            call_id, attempt_id = queued.pop(choose.randrange(len(queued)))
            if isinstance(world.claim(attempt_id, fence=step, now=at(1000)), Claimed):
                dialing.append((call_id, attempt_id))
        elif what == "unclaim" and dialing:
            one = dialing.pop()
            (fence,) = world.rows("SELECT fence FROM attempts WHERE id = %s", one[1])[0]
            assert attempts.unclaim(world.db, one[1], fence, at(2))
            queued.append(one)
        elif what == "cancel" and queued:
            calls.request_hangup(world.db, world.tenant.id, queued.pop()[0], "customer", at(3))
        elif what == "busy" and dialing:
            call_id, attempt_id = dialing.pop()
            (applied,) = world.apply(world.busy(attempt_id, 5))
            if applied.retry is not None:
                queued.append((call_id, applied.retry.attempt_id))
        elif what == "fold":
            backlog.fold(world.db, limit=choose.choice([1, 3, 100_000]))
        assert backlog.queued(world.db, world.tenant.id) == really(world) == len(queued), f"step {step}: {what}"
        assert backlog.all_queued(world.db).get(world.tenant.id, 0) == len(queued)
    while backlog.fold(world.db):
        pass
    assert world.rows("SELECT count(*) FROM queue_deltas") == [(0,)]
    assert backlog.queued(world.db, world.tenant.id) == len(queued)
    world.execute("DELETE FROM call_events WHERE call_id = %s", queued[0][0])
    world.execute("DELETE FROM attempts WHERE id = %s", queued[0][1])
    assert backlog.queued(world.db, world.tenant.id) == len(queued) - 1


def test_no_reader_sees_a_delta_twice_or_not_at_all_while_it_is_folded(world: World) -> None:
    for _ in range(60):
        world.accept()

    def read() -> list[int]:
        return [backlog.queued(world.db, world.tenant.id) for _ in range(100)]

    def fold() -> list[int]:
        for _ in range(60):
            backlog.fold(world.db, limit=1)
        return []

    seen = {count for counts in results(together(read, fold, read, fold)) for count in counts}
    assert seen == {60}


def test_what_was_folded_is_cleared_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise each count walks over all that was folded since the server's own last round."""
    monkeypatch.setattr(backlog, "VACUUM_AFTER", 500)

    def rounds() -> int:
        sql = "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'queue_deltas'"
        return int(world.rows(sql)[0][0])

    while backlog.fold(world.db):
        pass
    backlog._dead.pop(world.db, None)
    before = rounds()
    world.execute("INSERT INTO queue_deltas SELECT %s, 1 FROM generate_series(1, 400)", world.tenant.id)
    backlog.fold(world.db)
    assert rounds() == before
    world.execute("INSERT INTO queue_deltas SELECT %s, -1 FROM generate_series(1, 400)", world.tenant.id)
    backlog.fold(world.db)
    assert rounds() == before + 1
    assert backlog.queued(world.db, world.tenant.id) == 0
    world.accept()
    assert backlog.queued(world.db, world.tenant.id) == 1


def test_what_was_rolled_back_was_never_counted(world: World) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        world.accept(to_number="112")
    assert backlog.queued(world.db, world.tenant.id) == 0
    assert backlog.queued(world.db, uuid4()) == 0


def test_at_the_bound_a_call_is_refused_and_nothing_is_written(world: World) -> None:
    bound(world, 3)
    ids = [world.accept() for _ in range(3)]
    with pytest.raises(QueueFull, match="3 calls are queued, 3 may be") as refused:
        world.accept()
    assert (refused.value.limit, refused.value.current) == (3, 3)
    assert really(world) == 3
    calls.request_hangup(world.db, world.tenant.id, ids[0].call.id, "customer", at(1))
    world.accept()
    # Another tenant's queue is another's, and without a bound of its own the given one counts.
    bound(world, None)
    with pytest.raises(QueueFull):
        calls.accept_call(world.db, world.new(), idempotency=None, now=T0, max_queued=3)
    calls.accept_call(world.db, world.new(), idempotency=None, now=T0, max_queued=4)


def test_a_bound_of_nothing_takes_nothing(world: World) -> None:
    bound(world, 0)
    with pytest.raises(QueueFull):
        world.accept()


def test_a_repetition_is_answered_though_the_queue_is_full(world: World) -> None:
    bound(world, 1)
    key = IdempotencyKey("full", b"x" * 32)
    first = calls.accept_call(world.db, world.new(), idempotency=key, now=T0)
    again = calls.accept_call(world.db, world.new(), idempotency=key, now=T0)
    assert again.replay is not None
    assert again.call.id == first.call.id
    with pytest.raises(QueueFull):
        calls.accept_call(world.db, world.new(), idempotency=IdempotencyKey("other", b"x" * 32), now=T0)


def test_any_number_at_once_stay_within_the_bound(world: World) -> None:
    bound(world, 7)
    found = together(*[world.accept] * 14)
    refused = [item for item in found if isinstance(item, QueueFull)]
    assert len(results([item for item in found if not isinstance(item, QueueFull)])) == 7
    assert len(refused) == 7
    assert really(world) == 7


class Losing(Database):
    """A database whose connection is lost once, after the first commit."""

    def __init__(self, db: Database) -> None:
        self._inner = db
        self.lost = False

    @contextmanager
    def connection(self, *, pipeline: bool = False) -> Iterator[Conn]:
        with self._inner.connection(pipeline=pipeline) as conn:
            yield conn
        if not self.lost:
            self.lost = True
            raise psycopg.OperationalError("the connection is lost")


def test_a_call_that_took_the_last_place_before_its_connection_was_lost_is_no_refusal(world: World) -> None:
    bound(world, 1)
    new = world.new()
    accepted = calls.accept_call(Losing(world.db), new, idempotency=None, now=T0)
    assert accepted.call.id == new.id
    assert really(world) == 1
    with pytest.raises(QueueFull):
        calls.accept_call(Losing(world.db), world.new(), idempotency=None, now=T0)


def test_the_pace_of_leaving_is_told(world: World) -> None:
    def look(seconds: float) -> float:
        found = backlog.look(world.db, world.tenant.id, now=at(seconds))
        assert found is not None
        return found.leaving_per_s

    def leave(how_many: int, seconds: float) -> None:
        for _ in range(how_many):
            world.claim(waiting.pop().attempt_id)
        while backlog.fold(world.db, now=at(seconds)):
            pass

    while backlog.fold(world.db, now=at(-100)):
        pass
    waiting = [world.accept() for _ in range(40)]
    assert look(0) == 0
    leave(0, 0)
    assert look(5) == 0
    leave(10, 5)
    assert look(5) == pytest.approx(2)
    leave(10, 16)
    leave(10, 20)
    # Since the moment before the latest sample, not since ever.
    assert look(20) == pytest.approx(30 / 20)
    assert look(200) == pytest.approx(10 / 184)
    leave(1, 20 + 10 * SAMPLE.total_seconds())
    leave(5, 21 + 10 * SAMPLE.total_seconds())
    assert look(21 + 10 * SAMPLE.total_seconds()) == pytest.approx(5)


@pytest.mark.parametrize(
    ("limit", "current", "pace", "wait"),
    [(10, 10, 0.0, 5), (10, 10, 2.0, 1), (10, 10, 0.1, 10), (10, 29, 2.0, 10), (10, 10, 0.00001, 3600), (0, 0, 1000, 1)],
)
def test_retry_after_is_the_time_until_one_more_fits(limit: int, current: int, pace: float, wait: int) -> None:
    assert retry_after_s(limit, current, pace) == wait
    assert QueueFull(limit, current, pace).retry_after_s == wait


def test_what_waited_before_the_count_began_is_in_it(postgres: Server) -> None:
    url = guests.create_database(postgres.url, "before")
    try:
        files = read_migrations()
        before = next(number for number, file in enumerate(files) if file.name == "0003_scopes")
        migrate(url, migrations=files[:before])
        tenant, agent, call = uuid4(), uuid4(), uuid4()
        with psycopg.connect(url) as conn:
            _one_queued(conn, tenant, agent, call)
        migrate(url, migrations=files)
        with psycopg.connect(url) as conn:
            counted = conn.execute("SELECT tenant_id, n FROM queue_counts").fetchall()
        assert counted == [(tenant, 1)]
    finally:
        guests.drop_database(postgres.url, url)


def _one_queued(conn: psycopg.Connection[Any], tenant: UUID, agent: UUID, call: UUID) -> None:
    conn.execute("INSERT INTO tenants (id, name, webhook_secret) VALUES (%s, 'old', %s)", [tenant, b"x" * 32])
    conn.execute(
        "INSERT INTO agents (id, tenant_id, name, kind, audio) VALUES (%s, %s, 'a', 'announcement', 'a.wav')",
        [agent, tenant],
    )
    conn.execute(
        "INSERT INTO calls (id, tenant_id, agent_id, to_number, from_number, route, lane, status_at, max_attempts,"
        " ring_timeout_s, max_duration_s, due_at, expires_at, created_at) VALUES (%s, %s, %s, '+4930123456', '+4930123457',"
        " 'all', 'x', %s, 3, 30, 600, %s, %s, %s)",
        [call, tenant, agent, T0, T0, T0 + timedelta(hours=1), T0],
    )
    for number, state in enumerate(("ended", "queued"), 1):
        conn.execute(
            "INSERT INTO attempts (id, call_id, number, lane, state, due_at, created_at)"
            " VALUES (%s, %s, %s, 'x', %s, %s, %s)",
            [uuid4(), call, number, state, T0, T0],
        )
