"""The watchdog's process: what an outage of Postgres means to it, and old idempotency keys."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from calls.evidence import State
from jobs import watchdog as module
from jobs.watchdog import FORGET_EVERY_S, FORGET_MARGIN, OUTAGE_S, PROBES, Watchdog, sweep
from store import attempts, audit, backlog, calls, decisions, suppressions
from store.calls import IdempotencyKey
from tests.jobs.test_watchdog import options
from tests.store.conftest import T0, World, at


class Time:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def watchdog(world: World) -> Watchdog:
    # Nothing that other tests left behind.
    world.execute("UPDATE attempts SET deadline_at = NULL WHERE state <> 'ended'")
    return Watchdog(world.db, options(world))


def look(watchdog: Watchdog, clock: Time, seconds: float) -> int:
    """One look at T0 + ``seconds``, half a second after the one before."""
    clock.now += 0.5
    return watchdog.look(at(seconds), clock)


def test_after_an_outage_what_is_overdue_is_asked_anew_and_later(world: World, watchdog: Watchdog, clock: Time) -> None:
    call = world.dialing()

    def row() -> tuple[int, object]:
        (attempt,) = world.attempt_list(call.call.id)
        return attempt.probes, attempt.deadline_at

    look(watchdog, clock, 20)
    for seconds in (26, 30):
        look(watchdog, clock, seconds)
    assert row() == (PROBES, at(33))
    clock.now += OUTAGE_S + 0.5
    assert look(watchdog, clock, 40) == 0
    assert row() == (0, at(43))
    assert look(watchdog, clock, 42.9) == 0
    assert row() == (0, at(43))
    # Evidence that had waited in the controller for Postgres comes in time.
    world.apply(world.seen(call.attempt_id, State.RINGING, 27), seconds=42.9)
    look(watchdog, clock, 43)
    assert (world.call(call.call.id).status, row()[0]) == ("ringing", 0)


def test_after_an_outage_nobody_who_stays_silent_is_forgotten(world: World, watchdog: Watchdog, clock: Time) -> None:
    call = world.dialing()
    look(watchdog, clock, 20)
    clock.now += 60
    ended = [look(watchdog, clock, 80 + 3 * n) for n in range(PROBES + 2)]
    assert ended == [0] * (PROBES + 1) + [1]
    assert world.call(call.call.id).end_reason == "carrier_silence"


def test_the_first_look_of_a_process_concludes_nothing(world: World, watchdog: Watchdog, clock: Time) -> None:
    call = world.dialing()
    world.execute("UPDATE attempts SET probes = %s WHERE id = %s", PROBES, call.attempt_id)
    assert look(watchdog, clock, 27) == 0
    assert world.attempt_list(call.call.id)[0].deadline_at == at(30)


def test_a_long_look_is_no_outage_and_a_failed_one_is_no_look(
    world: World, watchdog: Watchdog, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    graces: list[object] = []
    original = attempts.grant_grace

    def noted(*args: Any) -> int:
        graces.append(args[1])
        return original(*args)

    def slow(*args: Any) -> int:
        clock.now += 60
        return sweep(*args)

    def failing(*_: object) -> int:
        clock.now += 2
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(attempts, "grant_grace", noted)
    look(watchdog, clock, 1)
    monkeypatch.setattr(module, "sweep", slow)
    for seconds in (2, 3, 4):
        look(watchdog, clock, seconds)
    assert len(graces) == 1
    monkeypatch.setattr(module, "sweep", failing)
    for seconds in (5, 8):
        with pytest.raises(psycopg.OperationalError):
            look(watchdog, clock, seconds)
    monkeypatch.setattr(module, "sweep", sweep)
    look(watchdog, clock, 11)
    assert graces == [at(1 + 3), at(11 + 3)]


def test_old_idempotency_keys_go_piece_by_piece(
    world: World, watchdog: Watchdog, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FORGET_BATCH", 2)
    ttl = timedelta(seconds=options(world).idempotency_ttl_s)
    made = {"young": T0 - ttl - FORGET_MARGIN + timedelta(seconds=1)}
    made |= {f"old-{n}": T0 - ttl - FORGET_MARGIN - timedelta(seconds=n + 1) for n in range(3)}
    for key, when in made.items():
        calls.accept_call(world.db, world.new(), idempotency=IdempotencyKey(key, b"x"), now=when)

    def left() -> list[str]:
        sql = "SELECT key FROM idempotency_keys WHERE tenant_id = %s ORDER BY key"
        return [row[0] for row in world.rows(sql, world.tenant.id)]

    look(watchdog, clock, 0)
    assert left() == ["old-0", "young"]
    look(watchdog, clock, 0)
    assert left() == ["young"]
    calls.accept_call(world.db, world.new(), idempotency=IdempotencyKey("old-9", b"x"), now=T0 - ttl - timedelta(days=1))
    look(watchdog, clock, 0)
    assert left() == ["old-9", "young"]
    clock.now += FORGET_EVERY_S
    look(watchdog, clock, 0)
    assert left() == ["young"]


def test_what_is_queued_is_counted_up_without_redis(world: World, watchdog: Watchdog, clock: Time) -> None:
    """The feeder does nothing while Redis is away; every count would walk over all that was accepted meanwhile."""
    for _ in range(3):
        world.accept(expires_at=T0 + timedelta(days=3650))
    look(watchdog, clock, 0)
    assert world.rows("SELECT count(*) FROM queue_deltas") == [(0,)]
    assert backlog.queued(world.db, world.tenant.id) == 3


def test_keys_that_cannot_be_forgotten_hold_up_no_judgement(
    watchdog: Watchdog, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(*_: object) -> int:
        raise psycopg.errors.QueryCanceled("too slow")

    monkeypatch.setattr(calls, "forget_keys", stuck)
    look(watchdog, clock, 1)
    monkeypatch.setattr(attempts, "grant_grace", stuck)  # no second first look
    for seconds in (2, 3):
        look(watchdog, clock, seconds)


def test_books_that_take_long_are_no_outage(watchdog: Watchdog, clock: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    graces: Counter[str] = Counter()

    def slow(*_: object) -> int:
        clock.now += OUTAGE_S + 1
        return 0

    def too_slow(*_: object) -> int:
        clock.now += OUTAGE_S + 1
        raise psycopg.errors.QueryCanceled("too slow")

    monkeypatch.setattr(attempts, "grant_grace", lambda *_: graces.update(["grace"]))
    for book in (slow, too_slow):
        monkeypatch.setattr(decisions, "record", book)
        monkeypatch.setattr(audit, "seal", book)
        for seconds in (1, 2, 3):
            look(watchdog, clock, seconds)
    assert graces.total() == 1


def test_postgres_gone_under_the_books_is_an_outage(
    watchdog: Watchdog, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    graces: Counter[str] = Counter()

    def away(*_: object) -> int:
        clock.now += OUTAGE_S + 1
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(attempts, "grant_grace", lambda *_: graces.update(["grace"]))
    monkeypatch.setattr(audit, "seal", away)
    with pytest.raises(psycopg.OperationalError):
        look(watchdog, clock, 1)
    monkeypatch.undo()
    monkeypatch.setattr(attempts, "grant_grace", lambda *_: graces.update(["grace"]))
    look(watchdog, clock, 2)
    assert graces.total() == 2


@pytest.mark.parametrize("fault", [psycopg.errors.QueryCanceled("too slow"), ValueError("no entry")])
def test_a_book_that_fails_stops_no_other(
    watchdog: Watchdog, clock: Time, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    kept: list[str] = []

    def fails(*_: object) -> int:
        raise fault

    monkeypatch.setattr(backlog, "fold", fails)
    monkeypatch.setattr(suppressions.SecondLook, "look", fails)
    monkeypatch.setattr(decisions, "record", fails)
    monkeypatch.setattr(audit, "seal", lambda *_: kept.append("seal"))
    monkeypatch.setattr(calls, "forget_keys", lambda *_: kept.append("forget"))
    look(watchdog, clock, 1)
    assert kept == ["seal", "forget"]
