"""/v1/operator/pools: what cannot be is refused by name, and nothing of it is done."""

from __future__ import annotations

from uuid import uuid4

from calls.ids import tenant_ref
from store import agent_pools, agents
from tests.web.conftest import Api, World, named
from tests.web.operators import fresh, operator

__all__ = ["operator"]  # a fixture


def test_a_pool_that_others_have_is_not_given_to_one_tenant(operator: Api, world: World) -> None:
    pool = fresh("pool")
    at = f"/v1/operator/pools/{pool}"
    agent_pools.update(world.database, pool)
    agents.create(world.database, tenant_id=world.theirs.id, name=fresh("seated"), kind="fleet", pool=pool)
    refused = operator.send("PATCH", at, json={"tenant_id": tenant_ref(world.ours.id), "inbound_reserved": 3})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "pool_in_use")
    kept = agent_pools.get(world.database, pool)
    assert kept is not None
    assert (kept.tenant_id, kept.inbound_reserved) == (None, 0)
    assert operator.send("PATCH", at, json={"tenant_id": tenant_ref(world.theirs.id)}).status_code == 200


def test_a_pool_is_not_given_to_a_tenant_that_is_not_there(operator: Api, world: World) -> None:
    pool = fresh("pool")
    refused = operator.send("PATCH", f"/v1/operator/pools/{pool}", json={"tenant_id": tenant_ref(uuid4())})
    assert (refused.status_code, named(refused)) == (422, {"/tenant_id": "unknown_tenant"})
    assert agent_pools.get(world.database, pool) is None
