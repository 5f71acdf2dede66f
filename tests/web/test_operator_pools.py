"""/v1/operator/pools: what cannot be is refused by name, and nothing of it is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from calls.ids import tenant_ref
from store import agent_pools, agents
from store.changes import Change
from tests.web.conftest import Api, World, named
from tests.web.operators import Noted, fresh, noted, operator
from web.operator.blueprint import changing

__all__ = ["noted", "operator"]  # fixtures


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


def test_a_pools_key_is_renewed_once_under_a_key_and_told_to_nobody(operator: Api, world: World, noted: Noted) -> None:
    pool = fresh("pool")
    at, key = f"/v1/operator/pools/{pool}/actions/renew_key", {"Idempotency-Key": fresh("leaked")}
    missing = operator.post(at)
    assert (missing.status_code, missing.get_json()["code"]) == (404, "not_found")
    agent_pools.update(world.database, pool)
    before = agent_pools.keys(world.database, [pool])[pool]
    done = operator.post(at, headers=key)
    assert (done.status_code, done.get_json()["name"]) == (202, pool)
    after = agent_pools.keys(world.database, [pool])[pool]
    assert after != before
    again = operator.post(at, headers=key)
    assert (again.get_json(), again.headers["Idempotent-Replayed"]) == (done.get_json(), "true")
    assert agent_pools.keys(world.database, [pool])[pool] == after, "sent again it is the same renewal"
    assert after not in done.get_data(as_text=True)
    assert [(line[1], line[2]) for line in noted()] == [("pool.key_renewed", f"pool:{pool}")]
    assert operator.post(at).status_code == 202
    assert agent_pools.keys(world.database, [pool])[pool] != after


def test_a_pool_that_is_removed_a_moment_later_had_its_key_renewed(
    operator: Api, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = fresh("pool")
    agent_pools.update(world.database, pool)

    @contextmanager
    def removed_after(*given: Any) -> Iterator[Change]:
        with changing(*given) as change:
            yield change
        assert agent_pools.remove(world.database, pool)

    monkeypatch.setattr("web.operator.agent_pools.changing", removed_after)
    done = operator.post(f"/v1/operator/pools/{pool}/actions/renew_key")
    assert (done.status_code, done.get_json()["name"]) == (202, pool)


def test_a_pool_is_not_given_to_a_tenant_that_is_not_there(operator: Api, world: World) -> None:
    pool = fresh("pool")
    refused = operator.send("PATCH", f"/v1/operator/pools/{pool}", json={"tenant_id": tenant_ref(uuid4())})
    assert (refused.status_code, named(refused)) == (422, {"/tenant_id": "unknown_tenant"})
    assert agent_pools.get(world.database, pool) is None
