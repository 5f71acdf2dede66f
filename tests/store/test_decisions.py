"""What was decided of each dial comes into the ledger, each once, also of claims that were under way while it was read."""

from __future__ import annotations

import threading
from collections import Counter

import psycopg
import pytest

from store import attempts, audit, decisions
from store.attempts import Claimed
from store.decisions import hash_of
from store.reschedule import reschedule
from tests.store.conftest import World, at
from tests.store.threads import wait_for, waits_for_lock


def told(world: World) -> list[tuple[str, str, str]]:
    """(attempt, what became of it, hash of what was decided), in order."""
    while audit.seal(world.db):
        pass
    entries = [one for one in audit.sealed(world.db) if one.action == decisions.ACTION]
    return [tuple(one) for entry in entries for one in entry.data["decisions"]]


def read_on(world: World, times: int = 3) -> None:
    for _ in range(times):
        decisions.record(world.db)


def decision(world: World, attempt: object) -> object:
    ((said,),) = world.rows("SELECT decision FROM attempts WHERE id = %s", attempt)
    return said


@pytest.fixture(autouse=True)
def _all_read(world: World) -> None:
    wait_for(lambda: decisions.record(world.db) == 0 and world.rows("SELECT read_id = until_id FROM audit_read")[0][0])


def test_a_dial_and_a_block_are_put_down_with_what_was_decided(world: World) -> None:
    dialed, waits = world.dialing(), world.accept()
    blocked = world.accept(to_number="+4915112345999")
    world.execute(
        "INSERT INTO suppressions (id, number, origin, source, obtained_at, created_by, created_at)"
        " VALUES (gen_random_uuid(), '+4915112345999', 'operator', 'x', now(), 'x', now()) ON CONFLICT DO NOTHING"
    )
    assert not isinstance(world.claim(blocked.attempt_id), Claimed)
    before = len(told(world))
    read_on(world)
    found = told(world)[before:]
    assert found == [
        (str(dialed.attempt_id), "dialed", hash_of(decision(world, dialed.attempt_id))),
        (str(blocked.attempt_id), "blocked", hash_of(decision(world, blocked.attempt_id))),
    ]
    assert str(waits.attempt_id) not in str(found)
    read_on(world)
    assert len(told(world)) == before + 2
    assert decisions.verify(world.db) == []
    world.execute("UPDATE attempts SET decision = decision || '{\"permitted\": false}' WHERE id = %s", dialed.attempt_id)
    assert [str(dialed.attempt_id) in one.what for one in decisions.verify(world.db)] == [True]


def test_a_decision_that_was_taken_back_counts_by_the_one_that_followed(world: World) -> None:
    call = world.dialing()
    before = len(told(world))
    read_on(world)
    assert attempts.unclaim(world.db, call.attempt_id, 1, at(2))
    assert isinstance(world.claim(call.attempt_id, fence=2, now=at(3)), Claimed)
    read_on(world)
    assert Counter(one[0] for one in told(world)[before:]) == {str(call.attempt_id): 2}
    assert str(call.attempt_id) not in str(decisions.verify(world.db))


def test_what_was_taken_back_and_decided_anew_is_no_tampering(world: World) -> None:
    waits, again = world.dialing(), world.dialing()
    read_on(world)
    told(world)
    ids = [waits.attempt_id, again.attempt_id]
    before = [decision(world, attempt) for attempt in ids]

    def faults() -> list[str]:
        return [one.what for one in decisions.verify(world.db) if any(str(attempt) in one.what for attempt in ids)]

    for attempt in ids:
        assert attempts.unclaim(world.db, attempt, 1, at(2))
    assert reschedule(world.db, ids, pdd_s=5, now=at(3), clock=at(30)) == 0
    assert all(decision(world, attempt) != said for attempt, said in zip(ids, before, strict=True))
    assert faults() == []
    # Dialed again, and not put down yet; then put down and sealed; then changed.
    assert isinstance(world.claim(again.attempt_id, fence=2, now=at(31)), Claimed)
    assert faults() == []
    read_on(world)
    told(world)
    assert faults() == []
    world.execute("UPDATE attempts SET decision = '{}' WHERE id = %s", again.attempt_id)
    assert [str(again.attempt_id) in one for one in faults()] == [True]


def test_a_claim_that_is_under_way_while_others_are_read_is_not_left_out(world: World) -> None:
    slow, quick = world.accept(), world.accept()
    before = len(told(world))
    with psycopg.connect(world.url) as other:
        # The slow claim has drawn the number of its event when it waits to write its webhook.
        other.execute("LOCK TABLE outbox IN SHARE MODE")
        claiming = threading.Thread(target=lambda: world.claim(slow.attempt_id))
        claiming.start()
        wait_for(lambda: waits_for_lock(world.url))
        world.execute("UPDATE tenants SET webhook_url = NULL WHERE id = %s", world.tenant.id)  # the quick one writes none
        assert isinstance(world.claim(quick.attempt_id), Claimed)
        read_on(world, 6)
        assert told(world)[before:] == []  # the quick one's number is behind that of one that is not certain yet
    claiming.join(30)
    read_on(world, 6)
    assert [one[0] for one in told(world)[before:]] == [str(slow.attempt_id), str(quick.attempt_id)]


def test_whoever_reads_at_once_puts_down_each_once(world: World) -> None:
    ids = [str(world.dialing().attempt_id) for _ in range(20)]
    before = len(told(world))
    readers = [threading.Thread(target=lambda: read_on(world, 8)) for _ in range(4)]
    for one in readers:
        one.start()
    for one in readers:
        one.join(30)
    read_on(world)
    assert sorted(one[0] for one in told(world)[before:]) == sorted(ids)
