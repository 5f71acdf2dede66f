"""Calls in pages: whole, in order, and never more looked at than allowed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from calls.evidence import State
from store import call_list
from store.call_list import Filters, Page
from tests.store.conftest import World, at
from tests.store.test_sql import prepared


def ids(page: Page) -> list[UUID]:
    return [shown.call.id for shown in page.calls]


def placed(world: World, **changes: Any) -> UUID:
    return world.accept(**changes).call.id


def pages(world: World, limit: int, filters: Filters, **more: Any) -> list[list[UUID]]:
    """What a client reads who follows the cursors from the newest on."""
    found, cursor = [], None
    while True:
        page = call_list.page(world.db, world.tenant.id, limit, filters, after=cursor, **more)
        found.append(ids(page))
        if page.cursor is None:
            return found
        assert cursor is None or page.cursor < cursor
        cursor = page.cursor


def test_a_look_is_bounded_and_nothing_is_left_out_or_told_twice(world: World) -> None:
    made = [placed(world, client_reference="odd" if n % 5 == 0 else None) for n in range(24)]
    wanted = [made[n] for n in range(23, -1, -1) if n % 5 == 0]
    filters = Filters(status="queued", agent_id=world.agent_id)
    assert [id_ for page in pages(world, 7, filters, scan=4) for id_ in page] == made[::-1]
    # None of the newest four fits: the page is empty, and says where to go on.
    world.execute("UPDATE calls SET end_reason = 'busy' WHERE id = ANY(%s)", made[:2])
    seen = pages(world, 50, Filters(end_reason="busy"), scan=4)
    assert seen[0] == []
    assert [id_ for page in seen for id_ in page] == made[1::-1]
    assert len(seen) == 6
    assert [id_ for page in pages(world, 2, Filters(client_reference="odd")) for id_ in page] == wanted
    assert [
        id_ for page in pages(world, 2, Filters(client_reference="odd", status="queued"), scan=2) for id_ in page
    ] == wanted


@pytest.mark.parametrize("filters", [Filters(), Filters(status="queued"), Filters(to_number="+4915112345678")])
def test_towards_the_newest_the_nearest_come_first(world: World, filters: Filters) -> None:
    made = [placed(world) for _ in range(10)]
    page = call_list.page(world.db, world.tenant.id, 3, filters, before=made[2], scan=100)
    assert (ids(page), page.cursor) == ([made[5], made[4], made[3]], made[5])
    rest = call_list.page(world.db, world.tenant.id, 4, filters, before=page.cursor)
    assert (ids(rest), rest.cursor) == ([made[9], made[8], made[7], made[6]], None)
    if filters.looks:
        short = call_list.page(world.db, world.tenant.id, 9, filters, before=made[2], scan=3)
        assert ids(short) == [made[5], made[4], made[3]]
        assert short.cursor is not None
        assert ids(call_list.page(world.db, world.tenant.id, 1, filters, before=short.cursor)) == [made[6]]


def test_the_time_of_creation_is_exact(world: World) -> None:
    made = [placed(world) for _ in range(4)]
    # Ids tell when they were made; what is asked for is when the call was accepted.
    for n, id_ in enumerate(made):
        world.execute("UPDATE calls SET created_at = to_timestamp((('x' || substr(%s, 1, 12))::bit(48)::bigint) / 1000.0)"
                      " + %s WHERE id = %s", id_.hex, timedelta(seconds=n * 10 - 15), id_)  # fmt: skip
    times = [world.call(id_).created_at for id_ in made]

    def within(after: Any, before: Any) -> list[UUID]:
        return ids(call_list.page(world.db, world.tenant.id, 50, Filters(created_after=after, created_before=before)))

    assert within(times[1], times[3]) == [made[2], made[1]]
    assert within(times[3], None) == [made[3]]
    assert within(None, times[0] + timedelta(microseconds=1)) == [made[0]]
    assert within(at(-1e9), at(-1e8)) == []


def test_a_call_is_shown_with_the_dial_that_it_follows(world: World) -> None:
    accepted = world.dialing()
    shown = call_list.get(world.db, world.tenant.id, accepted.call.id)
    assert shown is not None
    ((carrier,),) = world.rows("SELECT name FROM carriers WHERE id = %s", world.carrier_id)
    assert (shown.dial.id, shown.dial.carrier) == (accepted.attempt_id, carrier)
    world.apply(world.seen(accepted.attempt_id, State.IN_PROGRESS, 3, "answer"))
    # A later one beside it was spared: whose talk it is stays the first's.
    world.execute(
        "INSERT INTO attempts (id, call_id, number, lane, state, due_at, created_at)"
        " SELECT gen_random_uuid(), call_id, 2, lane, 'ended', due_at, created_at FROM attempts WHERE id = %s",
        accepted.attempt_id,
    )
    again = call_list.get(world.db, world.tenant.id, accepted.call.id)
    assert again is not None
    assert again.dial.answered_at == at(3)
    assert call_list.get(world.db, UUID(int=1), accepted.call.id) is None


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("older", "calls_tenant"),
        ("newer_end", "calls_tenant"),
        ("older_to", "calls_to"),
        ("older_reference", "calls_reference"),
        ("newer_reference_end", "calls_reference"),
    ],
)
def test_each_list_walks_its_own_index(world: World, statement: str, index: str) -> None:
    """With so many calls that any other way would be the longer one."""
    world.accept()
    with psycopg.connect(world.url) as conn:
        conn.execute("SET plan_cache_mode = force_generic_plan")
        conn.execute(
            "INSERT INTO calls (id, tenant_id, agent_id, to_number, from_number, route, lane, status_at, max_attempts,"
            " ring_timeout_s, max_duration_s, due_at, expires_at, created_at, client_reference, status)"
            " SELECT gen_random_uuid(), tenant_id, agent_id, '+4930' || 1000000 + n, from_number, route, lane, status_at, 1,"
            " 30, 60, due_at, expires_at, created_at, 'r' || n, 'completed'"
            " FROM generate_series(1, 5000) n, (SELECT * FROM calls LIMIT 1) c"
        )
        conn.execute("ANALYZE calls")
        run = prepared(conn, "call_list", statement, call_list._SQL[statement])
        plan = "\n".join(line for (line,) in conn.execute(f"EXPLAIN {run}".encode()).fetchall())
        conn.rollback()
    assert f"using {index}" in plan, plan
    assert "Sort Key: c.id" not in plan.replace("calls_", ""), plan
