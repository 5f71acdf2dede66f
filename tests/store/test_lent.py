"""What is lent to agents and removed: whoever chooses it at the same moment waits, and is told that it is gone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from psycopg import errors

from store import agent_pools, agent_trunks, agents
from store.joined import join
from store.lent import NoTenant
from store.pool import Database
from tests.store.conftest import World
from tests.store.threads import DEADLINE_S, wait_for, waits_for_lock


def _pool(world: World) -> tuple[str, Callable[[Database], bool]]:
    name = f"pool-{uuid4().hex[:8]}"
    agent_pools.update(world.db, name)
    return name, lambda db: agent_pools.remove(db, name)


def _trunk(world: World) -> tuple[str, Callable[[Database], bool]]:
    name = f"hq-{uuid4().hex[:8]}"
    agent_trunks.put(world.db, name, carrier_id=world.carrier_id)
    return name, lambda db: agent_trunks.remove(db, name)


def _removed_meanwhile(world: World, remove: Callable[[Database], bool], choose: Callable[[], object]) -> None:
    """``choose`` is asked while it is removed, which nobody else can see yet."""
    with ThreadPoolExecutor(1) as thread:
        with join(world.db) as removing:
            assert remove(removing)
            chosen = thread.submit(choose)
            wait_for(lambda: waits_for_lock(world.url))
        chosen.result(DEADLINE_S)


def test_a_pool_that_is_being_removed_is_no_new_agents(world: World) -> None:
    name, remove = _pool(world)
    with pytest.raises(agents.UnknownPool):
        _removed_meanwhile(
            world,
            remove,
            lambda: agents.create(world.db, tenant_id=world.tenant.id, name="seated", kind="fleet", pool=name),
        )


@pytest.mark.parametrize("changed", [False, True])
def test_a_trunk_that_is_being_removed_is_no_agents(world: World, *, changed: bool) -> None:
    name, remove = _trunk(world)
    tenant, number = world.tenant.id, "+442079460123"
    there = agents.create(world.db, tenant_id=tenant, name="person", kind="sip", number=number)

    def choose() -> object:
        if changed:
            return agents.change(world.db, tenant, there.id, trunk=name)
        return agents.create(world.db, tenant_id=tenant, name="behind", kind="sip", number=number, trunk=name)

    with pytest.raises(agents.UnknownTrunk):
        _removed_meanwhile(world, remove, choose)


def test_only_a_tenant_that_is_not_there_is_said_to_be_none(world: World) -> None:
    name, _ = _pool(world)
    with pytest.raises(NoTenant):
        agent_pools.update(world.db, name, tenant_id=uuid4())
    agents.create(world.db, tenant_id=world.tenant.id, name="seated", kind="fleet", pool=name)
    with pytest.raises(errors.ForeignKeyViolation), agent_pools.POOLS.giving(world.db, name) as conn:
        conn.execute(agent_pools.POOLS.queries["remove"], {"name": name})
