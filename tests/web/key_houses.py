"""What tests of keys share: an account with one key that may everything, and others of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from store import keys, tenants
from tests.web.conftest import Api, World


@pytest.fixture
def account(app: Flask, world: World) -> Api:
    """A tenant with nothing but one key that may everything."""
    tenant = tenants.create(world.database, name=f"keys-{uuid4().hex[:12]}")
    return Api(app, keys.create(world.database, tenant_id=tenant.id, name="first")[1])


def tenant_id(world: World, api: Api) -> UUID:
    given = keys.parse_key(api.key)
    assert given is not None
    found = keys.authenticate(world.database, given, datetime.now(UTC))
    assert found is not None
    return found[0].id


def other(world: World, api: Api, **what: Any) -> tuple[keys.ApiKey, Api]:
    """Another key of the same tenant, with what it is made by."""
    made, plaintext = keys.create(world.database, tenant_id=tenant_id(world, api), **what)
    return made, Api(api.app, plaintext)
