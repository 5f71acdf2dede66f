"""/v1/operator: lists of destinations, the house's and a tenant's, do not grow without end."""

from __future__ import annotations

import pytest

from calls.destinations import ENTRIES_MAX
from store import tenants
from tests.web.conftest import Api, World, named
from tests.web.operators import fresh, operator

__all__ = ["operator"]  # a fixture

AT = "/v1/operator"


@pytest.mark.parametrize("whose", ["house", "tenant"])
def test_a_list_of_destinations_is_bounded(operator: Api, world: World, whose: str) -> None:
    tenant = tenants.create(world.database, name=fresh("ruled")).name
    at = f"{AT}/destinations" if whose == "house" else f"{AT}/tenants/{tenant}/destinations"
    full = [f"+49{index:05d}" for index in range(ENTRIES_MAX)]
    try:
        assert operator.send("PATCH", at, json={"entries": [{"match": one} for one in full]}).status_code == 200
        refused = operator.send("PATCH", at, json={"entries": [{"match": "DE"}]})
        assert (refused.status_code, named(refused)) == (422, {"/entries": "not_possible"})
        assert f"{ENTRIES_MAX} at most: remove some" in refused.get_json()["errors"][0]["detail"]
        changed = operator.send("PATCH", at, json={"remove": full[:1], "entries": [{"match": "DE"}]})
        assert len(changed.get_json()["data"]) == ENTRIES_MAX
    finally:
        operator.send("PATCH", at, json={"remove": full})
        operator.send("PATCH", at, json={"remove": ["DE"]})
