"""/v1/operator/trunks: what cannot be is refused by name, and nothing of it is done."""

from __future__ import annotations

from uuid import uuid4

from calls.ids import tenant_ref
from store import agent_trunks, agents, carriers
from tests.web.conftest import Api, World, named
from tests.web.operators import fresh, operator

__all__ = ["operator"]  # a fixture


def test_a_trunk_is_one_tenants_and_not_taken_from_others(operator: Api, world: World) -> None:
    carrier = carriers.put_carrier(world.database, name=fresh("pbx"), max_channels=5, cps=1)
    trunk = fresh("hq")[:32]
    at, ours = f"/v1/operator/trunks/{trunk}", tenant_ref(world.ours.id)
    for body, fault in (
        ({"carrier": "nobody", "tenant_id": None}, {"/carrier": "unknown_carrier"}),
        ({"carrier": carrier.name, "tenant_id": tenant_ref(uuid4())}, {"/tenant_id": "unknown_tenant"}),
        ({"carrier": carrier.name}, {"/tenant_id": "required"}),
    ):
        refused = operator.send("PUT", at, json=body)
        assert (refused.status_code, named(refused)) == (422, fault)
    made = operator.send("PUT", at, json={"carrier": carrier.name, "tenant_id": ours})
    assert made.get_json() == {"name": trunk, "tenant_id": ours, "carriers": [carrier.name]}
    assert made.get_json() in operator.get("/v1/operator/trunks").get_json()["data"]
    assert operator.send("PUT", at, json={"carrier": carrier.name, "tenant_id": None}).status_code == 200
    agents.create(
        world.database, tenant_id=world.theirs.id, name=fresh("behind"), kind="sip", number="+442079460123", trunk=trunk
    )
    other = carriers.put_carrier(world.database, name=fresh("other"), max_channels=5, cps=1)
    refused = operator.send("PUT", at, json={"carrier": other.name, "tenant_id": ours})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "trunk_in_use")
    (kept,) = [one for one in agent_trunks.list_trunks(world.database) if one.name == trunk]
    assert (kept.tenant_id, list(kept.carriers)) == (None, [carrier.name]), "nothing of it was done"
    assert operator.send("DELETE", at).status_code == 409
