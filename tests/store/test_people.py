"""Tenants, keys, agents, carriers, routes: what the CLI, the web and the demo make and ask."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from store import agents, carriers, keys, tenants
from store.carriers import RouteCarrier
from tests.store.conftest import T0, World, at


def test_tenants(world: World) -> None:
    assert tenants.get(world.db, world.tenant.id) == world.tenant
    assert tenants.get_by_name(world.db, world.tenant.name) == world.tenant
    assert len(world.tenant.webhook_secret) == 32
    assert world.tenant in tenants.list_tenants(world.db)
    with pytest.raises(tenants.NameTaken, match="choose another name"):
        tenants.create(world.db, name=world.tenant.name)
    with pytest.raises(ValueError, match="name must be"):
        tenants.create(world.db, name="Ünïcode")
    assert tenants.get(world.db, uuid4()) is None
    assert not tenants.set_paused(world.db, uuid4(), True)


def in_use(key: keys.ApiKey) -> keys.KeyInUse:
    return keys.KeyInUse(key.id, key.prefix, key.name, frozenset(key.scopes), key.mode, key.allowed_ips, key.expires_at)


def test_a_key_opens_its_tenant_alone(world: World) -> None:
    key, plaintext = keys.create(world.db, tenant_id=world.tenant.id, name="ci")
    parsed = keys.parse_key(plaintext)
    assert parsed is not None
    assert keys.authenticate(world.db, parsed, T0) == (world.tenant, in_use(key))
    assert keys.authenticate(world.db, replace(parsed, secret_hash=b"\x00" * 32), T0) is None
    assert keys.authenticate(world.db, replace(parsed, prefix="nosuchprefix"), T0) is None
    assert keys.authenticate(world.db, replace(parsed, kind="test"), T0) is None
    assert plaintext.split("_")[2] not in str(world.rows("SELECT api_keys::text FROM api_keys"))
    assert keys.revoke(world.db, key.prefix, at(1))
    assert not keys.revoke(world.db, key.prefix, at(1))
    assert keys.authenticate(world.db, parsed, at(2)) is None


def test_a_key_ends_in_time(world: World) -> None:
    _, plaintext = keys.create(world.db, tenant_id=world.tenant.id, expires_at=at(60))
    parsed = keys.parse_key(plaintext)
    assert parsed is not None
    assert keys.authenticate(world.db, parsed, at(59)) is not None
    assert keys.authenticate(world.db, parsed, at(60)) is None


def test_last_use_is_kept_to_the_minute(world: World) -> None:
    key, plaintext = keys.create(world.db, tenant_id=world.tenant.id)
    parsed = keys.parse_key(plaintext)
    assert parsed is not None
    for seconds, expected in ((0, T0), (30, T0), (61, T0 + timedelta(seconds=61))):
        keys.authenticate(world.db, parsed, at(seconds))
        (shown,) = keys.list_keys(world.db, world.tenant.id)
        assert (shown.id, shown.last_used_at) == (key.id, expected)


@pytest.mark.parametrize(
    "text",
    ["", "tl_", "tl_abc_def", f"xx_abcdefgh_{'a' * 64}", f"tl_abcdefgh_{'A' * 64}", f"tl_abcdefgh_{'a' * 64}\n"],
)
def test_what_is_no_key_is_not_looked_up(text: str) -> None:
    assert keys.parse_key(text) is None


def test_agents(world: World) -> None:
    agent = agents.get(world.db, world.tenant.id, world.agent_id)
    assert agent is not None
    assert agents.get_by_name(world.db, world.tenant.id, "bot") == agent
    assert agents.list_agents(world.db, world.tenant.id) == [agent]
    assert agents.get(world.db, uuid4(), world.agent_id) is None
    with pytest.raises(tenants.NameTaken):
        agents.create(world.db, tenant_id=world.tenant.id, name="bot", kind="announcement", audio="a.wav")
    for bad, field in (
        ({"kind": "robot"}, "kind"),
        ({"kind": "sip"}, "number"),
        ({"kind": "websocket", "url": "http://x/"}, "url"),
        ({"kind": "announcement"}, "audio"),
        ({"kind": "announcement", "audio": "../etc/passwd"}, "audio"),
    ):
        with pytest.raises(ValueError, match=field):
            agents.create(world.db, tenant_id=world.tenant.id, name="second", **bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tenant_id"):
        agents.create(world.db, tenant_id=uuid4(), name="x", kind="announcement", audio="a.wav")


def test_carriers_and_endpoints_are_put(world: World) -> None:
    name = f"put-{uuid4().hex[:8]}"
    first = carriers.put_carrier(world.db, name=name, max_channels=20, cps=2.5, linger_ms=100)
    second = carriers.put_carrier(world.db, name=name, max_channels=30, cps=5, invite_cost=2, pdd_s=35)
    assert (second.id, second.max_channels, second.cps, second.linger_ms, second.pdd_s) == (first.id, 30, 5.0, None, 35)
    assert second in carriers.list_limits(world.db)
    one = carriers.put_endpoint(world.db, carrier_id=first.id, gateway=f"{name}-a", address="10.0.0.1:5060")
    two = carriers.put_endpoint(world.db, carrier_id=first.id, gateway=f"{name}-a", address="10.0.0.2:5060", enabled=False)
    assert (two.id, two.address, two.enabled) == (one.id, "10.0.0.2:5060", False)
    for call, field in (
        (lambda: carriers.put_carrier(world.db, name=name, max_channels=1, cps=1, invite_cost=3), name),
        (lambda: carriers.put_carrier(world.db, name=name, max_channels=1, cps=-1), name),
        (lambda: carriers.put_endpoint(world.db, carrier_id=first.id, gateway="a b", address="1.1.1.1:1"), "gateway"),
        (lambda: carriers.put_endpoint(world.db, carrier_id=first.id, gateway="ab", address="sip.example:1"), "address"),
        (lambda: carriers.put_endpoint(world.db, carrier_id=uuid4(), gateway="ab", address="1.1.1.1:1"), "carrier_id"),
    ):
        with pytest.raises(ValueError, match=field):
            call()


def test_the_longest_prefix_leads(world: World) -> None:
    other = carriers.put_carrier(world.db, name=f"r-{uuid4().hex[:8]}", max_channels=1, cps=1)
    carriers.put_route(world.db, name="all", prefixes=[""], carriers=[world.carrier_id])
    carriers.put_route(
        world.db,
        name="de-mobile",
        prefixes=["4915", "4916", "4917"],
        carriers=[RouteCarrier(world.carrier_id, tier=2), RouteCarrier(other.id, tier=1)],
    )
    assert carriers.route_for(world.db, "+4915112345678") == "de-mobile"
    assert carriers.route_for(world.db, "+493012345678") == "all"
    routes = {(route.name, route.prefix): route.carriers for route in carriers.list_routes(world.db)}
    assert routes[("de-mobile", "4916")] == (other.id, world.carrier_id)
    changed = carriers.put_route(world.db, name="de-mobile", prefixes=["4915"], carriers=[other.id])
    assert [(route.prefix, route.carriers) for route in changed] == [("4915", (other.id,))]
    assert carriers.route_for(world.db, "+4917012345678") == "all"
    for bad, field in (
        ({"name": "second", "prefixes": ["4915"], "carriers": [other.id]}, "belongs to route 'de-mobile'"),
        ({"name": "second", "prefixes": "49", "carriers": [other.id]}, "give a list"),
        ({"name": "second", "prefixes": ["+49"], "carriers": [other.id]}, "prefixes 0 to 15 digits"),
        ({"name": "second", "prefixes": ["44"], "carriers": [uuid4()]}, "carriers"),
        ({"name": "second", "prefixes": ["44"], "carriers": []}, "at least one"),
    ):
        with pytest.raises(ValueError, match=field):
            carriers.put_route(world.db, **bad)
    assert carriers.route_for(world.db, "+4915112345678") == "de-mobile"
