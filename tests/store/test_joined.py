"""A transaction in the place of a database: all parts are kept, or none; a part that fails is undone alone."""

from __future__ import annotations

import pytest

from store import scopes, tenants
from store.joined import Joined, join
from store.scopes import Scope
from tests.store.conftest import World


class _NoMore(Exception):
    pass


def _both(joined: Joined, world: World, *, fail: bool = False) -> None:
    tenants.update(joined, world.tenant.name, weight=7)
    scopes.put(joined, Scope(f"account:{world.tenant.name}", max_channels=1))
    if fail:
        raise _NoMore


def _seen(world: World) -> tuple[int, bool]:
    tenant = tenants.get(world.db, world.tenant.id)
    assert tenant is not None
    return tenant.weight, f"account:{world.tenant.name}" in scopes.get_scopes(world.db, [f"account:{world.tenant.name}"])


def test_all_parts_are_kept_or_none(world: World) -> None:
    with pytest.raises(_NoMore), join(world.db) as joined:
        _both(joined, world, fail=True)
    assert _seen(world) == (1, False)
    with join(world.db) as joined:
        _both(joined, world)
        assert _seen(world) == (1, False), "nobody sees a part"
    assert _seen(world) == (7, True)


def test_a_part_that_fails_is_undone_alone(world: World) -> None:
    with join(world.db) as joined:
        tenants.update(joined, world.tenant.name, weight=9)
        with pytest.raises(tenants.NameTaken):
            tenants.create(joined, name=world.tenant.name)
        assert joined.run(lambda conn: conn.execute("SELECT 1").fetchone()) == (1,)
    assert _seen(world)[0] == 9


def test_one_in_another_is_one(world: World) -> None:
    with join(world.db) as outer:
        with pytest.raises(_NoMore), join(outer) as inner:
            _both(inner, world, fail=True)
        with join(outer) as inner:
            _both(inner, world)
        assert _seen(world) == (1, False), "the inner one keeps nothing by itself"
    assert _seen(world) == (7, True)
