"""Caps and prices as they are set: checked, named where they are wrong, and put down in the ledger. On real Postgres."""

from __future__ import annotations

from typing import Any

import pytest

from calls.caps import Caps
from store import audit, caps, prices
from store.prices import Price
from tests.store.conftest import World


def capped(world: World, **changes: Any) -> Caps:
    return caps.set_caps(world.db, world.tenant.id, actor="operator:test", **changes)


def test_changes_are_checked_named_and_put_down(world: World) -> None:
    with pytest.raises(ValueError, match="calls_per_minute must be 1 or more"):
        capped(world, calls_per_minute=0)
    with pytest.raises(TypeError, match="no cap calls"):
        capped(world, calls=3)
    with pytest.raises(ValueError, match="time_zone"):
        capped(world, time_zone="Mars/Olympus")
    assert caps.get_caps(world.db, world.tenant.id).none
    assert capped(world, calls_per_minute=5, spend_per_day=10) == Caps(calls_per_minute=5, spend_per_day=10)
    assert capped(world, calls_per_minute=None) == Caps(spend_per_day=10)
    assert caps.all_caps(world.db)[world.tenant.id] == Caps(spend_per_day=10)
    (told, *_) = audit.list_entries(world.db, 1, subject=f"tenant:{world.tenant.id}")
    assert (told.actor, told.action, told.data) == ("operator:test", "tenant.caps_changed", {"calls_per_minute": None})


def test_prices_are_checked_and_the_longest_prefix_holds(world: World) -> None:
    with pytest.raises(ValueError, match="increment_s must be 1 to 3600"):
        prices.put(world.db, [Price("44", 1, 0, 0)], actor="x")
    with pytest.raises(ValueError, match="'44' is there twice"):
        prices.put(world.db, [Price("44", 1), Price("44", 2)], actor="x")
    prices.put(world.db, [Price("", 9), Price("44", 1), Price("4420", 2)], actor="x")
    assert prices.price_of(world.db, "+442079460000") == Price("4420", 2)
    assert prices.price_of(world.db, "+33142685300") == Price("", 9)
    assert prices.remove(world.db, "4420", actor="x")
    assert not prices.remove(world.db, "4420", actor="x")
    assert prices.price_of(world.db, "+442079460000") == Price("44", 1)
