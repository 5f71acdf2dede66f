"""What a callee chooses by a key: kept with the attempt, once; whoever opts out is called no more by the tenant, at once."""

from __future__ import annotations

from uuid import UUID

from store import call_list, menus, suppressions
from store.relay import agent_for
from store.suppressions import Suppression
from tests.store.conftest import World, at


def holding(world: World, tenant_id: UUID | None) -> list[Suppression]:
    return suppressions.list_page(world.db, tenant_id, 10)


def test_an_opt_out_is_a_suppression_of_the_tenants_and_stays_what_it_was(world: World) -> None:
    claimed = world.dialing()
    for outcome, key in (("opted_out", "9"), ("opted_out", "9"), ("confirmed", "1")):
        menus.chosen(world.db, claimed.attempt_id, outcome, key, at(5), at(5))  # type: ignore[arg-type]
    (found,) = holding(world, world.tenant.id)
    assert (found.number, found.origin, found.call_id) == (claimed.call.to_number, "keypad", claimed.call.id)
    assert found.created_by.startswith(f"agent:{world.tenant.name}/")
    assert holding(world, None) == [], "other tenants may call"
    seen = agent_for(world.db, claimed.attempt_id)
    assert seen is not None
    assert seen.menu == "opted_out"
    events = world.rows("SELECT data FROM call_events WHERE type = 'relay.menu' AND attempt_id = %s", claimed.attempt_id)
    assert events == [({"key": "9", "outcome": "opted_out"},)]
    shown = call_list.get(world.db, world.tenant.id, claimed.call.id)
    assert shown is not None
    assert shown.dial is not None
    assert shown.dial.menu == "opted_out"


def test_other_choices_suppress_nobody(world: World) -> None:
    for outcome, key in (("confirmed", "1"), ("no_key", None)):
        menus.chosen(world.db, world.dialing().attempt_id, outcome, key, at(5), at(5))  # type: ignore[arg-type]
    assert holding(world, world.tenant.id) == []
