"""Calls that are asked for at the same moment: one transaction, and each with a fate of its own."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from store import calls, carriers, permission, tenants
from store.backlog import QueueFull
from store.calls import Accepted, Asked, IdempotencyInFlight, IdempotencyKey, IdempotencyMismatch
from store.permission import Known
from tests.store.conftest import T0, World, at, listed
from tests.store.test_backlog import Losing


class Forbidden(ValueError):
    """What the rules say to one of them."""


def asked(world: World, key: str | None = None, body: bytes = b"body", **changes: Any) -> Asked:
    new = world.new(**changes)
    idempotency = None if key is None else IdempotencyKey(key, body.ljust(32, b"."))
    return Asked(new.agent_id, new.to_number, new.from_number, lambda _: new, T0, idempotency=idempotency)


def accept(world: World, *several: Asked, max_queued: int = 1000) -> list[Accepted | Exception]:
    return calls.accept_asked(world.db, world.tenant.id, several, max_queued=max_queued)


def test_all_of_each_is_written_in_one_transaction(world: World) -> None:
    several = [asked(world, key, metadata={"n": number}) for number, key in enumerate(("a", None, "b"))]
    done = accept(world, *several)
    for number, (one, found) in enumerate(zip(several, done, strict=True)):
        assert isinstance(found, Accepted)
        assert (found.call.id, found.attempt_id) == (one.id, one.attempt_id)
        assert world.call(one.id) == found.call
        assert found.call.metadata == {"n": number}
        assert [attempt.id for attempt in world.attempt_list(one.id)] == [one.attempt_id]
        assert world.logged(one.id) == ["call.queued"]
        assert world.told(one.id) == [(1, "call.queued")]
    written = world.rows("SELECT DISTINCT xmin::text FROM calls WHERE tenant_id = %s", world.tenant.id)
    assert len(written) == 1
    again = accept(world, asked(world, "b"), asked(world, "a"))
    assert [found.replay["metadata"] for found in again if isinstance(found, Accepted) and found.replay] == [
        {"n": 2},
        {"n": 0},
    ]


def test_what_is_planned_knows_what_the_transaction_sees(world: World) -> None:
    seen: list[Known] = []
    new = world.new()

    def plan(known: Known) -> calls.NewCall:
        seen.append(known)
        return new

    for name, prefix in (("country", "49"), ("city", "4915")):
        carriers.put_route(world.db, name=name, prefixes=[prefix], carriers=[world.carrier_id])
    accept(world, Asked(new.agent_id, new.to_number, new.from_number, plan, T0))
    assert seen == [permission.ask(world.db, world.tenant.id, new.agent_id, new.to_number, new.from_number)]
    assert seen[0].route == "city"


def test_what_speaks_against_one_is_that_ones_alone(world: World) -> None:
    def refuse(_: Known) -> calls.NewCall:
        raise Forbidden("not at this hour")

    refused = Asked(world.agent_id, "+4915112345678", "+493012345678", refuse, T0)
    accept(world, asked(world, "used"))
    good = [asked(world), asked(world)]
    found = accept(world, good[0], refused, asked(world, agent_id=uuid4()), asked(world, "used", body=b"other"), good[1])
    assert [type(one) for one in found] == [
        Accepted,
        Forbidden,
        calls.UnknownAgent,
        IdempotencyMismatch,
        Accepted,
    ]
    assert {call.id for call in listed(world.db, world.tenant.id, 10)} >= {one.id for one in good}
    assert len(listed(world.db, world.tenant.id, 10)) == 3


def test_what_postgres_refuses_takes_no_other_with_it(world: World) -> None:
    good, bad = [asked(world, "g1"), asked(world)], asked(world, "bad", to_number="112")
    found = accept(world, good[0], bad, good[1])
    assert [type(one) for one in found] == [Accepted, psycopg.errors.CheckViolation, Accepted]
    assert {call.id for call in listed(world.db, world.tenant.id, 10)} == {one.id for one in good}
    assert [world.told(one.id) for one in good] == [[(1, "call.queued")]] * 2
    # Its key is free for the corrected request.
    (corrected,) = accept(world, asked(world, "bad"))
    assert isinstance(corrected, Accepted)
    assert corrected.replay is None


def test_one_key_is_worked_on_once(world: World) -> None:
    found = accept(world, asked(world, "same"), asked(world, "same"), asked(world, "same", body=b"other"))
    assert [type(one) for one in found] == [Accepted, IdempotencyInFlight, IdempotencyInFlight]
    assert len(listed(world.db, world.tenant.id, 10)) == 1


def test_a_key_that_another_holds_holds_up_no_other(world: World) -> None:
    with psycopg.connect(world.url) as other:
        other.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, hashtextextended(%s::uuid::text, 0)))",
            ["held", world.tenant.id],
        )
        found = accept(world, asked(world, "free"), asked(world, "held"), asked(world))
    assert [type(one) for one in found] == [Accepted, IdempotencyInFlight, Accepted]


def test_the_bound_leaves_the_last_ones_out(world: World) -> None:
    tenants.update(world.db, world.tenant.name, max_queued=3)
    accept(world, asked(world, "first"))
    found = accept(world, asked(world), asked(world, "first"), asked(world), asked(world), asked(world))
    assert [type(one) for one in found] == [Accepted, Accepted, Accepted, QueueFull, QueueFull]
    assert isinstance(found[3], QueueFull)
    assert (found[3].limit, found[3].current) == (3, 3)
    assert len(listed(world.db, world.tenant.id, 10)) == 3


def test_a_connection_lost_after_the_commit_changes_nothing(world: World) -> None:
    tenants.update(world.db, world.tenant.name, max_queued=2)
    several = [asked(world), asked(world, "kept")]
    done = calls.accept_asked(Losing(world.db), world.tenant.id, several, max_queued=1000)
    assert [found.call.id for found in done if isinstance(found, Accepted) and found.replay is None] == [
        one.id for one in several
    ]
    assert [world.told(one.id) for one in several] == [[(1, "call.queued")]] * 2


def test_ids_that_are_taken_are_the_calls_own(world: World) -> None:
    several = [asked(world), asked(world)]
    first = accept(world, several[0])
    assert accept(world, *several)[0] == first[0]
    assert {call.id for call in listed(world.db, world.tenant.id, 10)} == {one.id for one in several}


@pytest.mark.parametrize("held", [True, False])
def test_whether_its_agent_is_paused_is_told(world: World, held: bool) -> None:
    world.execute("UPDATE agents SET paused = %s WHERE id = %s", held, world.agent_id)
    (found,) = accept(world, asked(world))
    assert isinstance(found, Accepted)
    assert found.held is held


def test_an_archived_agent_is_unknown(world: World) -> None:
    world.execute("UPDATE agents SET archived_at = %s WHERE id = %s", at(0), world.agent_id)
    assert [type(one) for one in accept(world, asked(world))] == [calls.UnknownAgent]
