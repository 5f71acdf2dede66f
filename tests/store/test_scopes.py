"""Limits of scopes, carriers, routes and tenants: changed one field at a time, heard of at once, refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from store import carriers, scopes, tenants
from store.carriers import Serving
from store.scopes import Scope
from tests.store.conftest import World, at


def carrier_name(world: World) -> str:
    return next(carrier.name for carrier in carriers.list_limits(world.db) if carrier.id == world.carrier_id)


def test_a_scope_is_put_changed_and_removed(world: World) -> None:
    pool = f"account:p{uuid4().hex[:8]}"
    made = scopes.put(world.db, Scope(pool, max_channels=30, cps=2.5))
    assert made == Scope(pool, 30, 2.5, 1000, 1, False)
    assert scopes.update(world.db, pool, cps=None, window_ms=2000) == Scope(pool, 30, None, 2000)
    assert scopes.update(world.db, pool, paused=True) == Scope(pool, 30, None, 2000, paused=True)
    assert scopes.put(world.db, Scope(pool, cps=1)) == Scope(pool, cps=1.0)
    assert Scope(pool, cps=1.0) in scopes.list_scopes(world.db)
    assert scopes.get_scopes(world.db, [pool, "global"]).keys() <= {pool, "global"}
    assert scopes.remove(world.db, pool)
    assert not scopes.remove(world.db, pool)
    # One that has no row gets one by its first change.
    assert scopes.update(world.db, pool, weight=5) == Scope(pool, weight=5)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("global", "global"),
        ("ip:2001:0DB8::0001", "ip:2001:db8::1"),
        ("ip:192.0.2.7", "ip:192.0.2.7"),
        ("tenant:0190B2C3D4E57F60718293A4B5C6D7E8", "tenant:0190b2c3-d4e5-7f60-7182-93a4b5c6d7e8"),
        ("campaign:0190B2C3-D4E5-7F60-7182-93A4B5C6D7E8:spring", "campaign:0190b2c3d4e57f60718293a4b5c6d7e8:spring"),
        (f"caller:{'a' * 32}:berlin", f"caller:{'a' * 32}:berlin"),
        ("switch:fs1", "switch:fs1"),
        ("agents:voice-2", "agents:voice-2"),
        ("account:Acme.1", "account:Acme.1"),
    ],
)
def test_a_scope_is_written_in_one_way(world: World, given: str, kept: str) -> None:
    assert scopes.put(world.db, Scope(given)).scope == kept
    assert scopes.remove(world.db, given)


@pytest.mark.parametrize(
    "scope",
    ["", "Global", "global:x", "ip:example.com", "switch:", "tenant:me", f"campaign:{'a' * 32}", "agents:a b", "account:-x"],
)
def test_what_is_no_scope_is_refused(world: World, scope: str) -> None:
    for change in (lambda: scopes.put(world.db, Scope(scope)), lambda: scopes.update(world.db, scope, cps=1)):
        with pytest.raises(ValueError, match=r"global, account:<name>"):
            change()
    with pytest.raises(ValueError, match="trunkline carriers set"):
        scopes.put(world.db, Scope(f"carrier:{uuid4()}"))


def test_a_tenants_scopes_are_its_own(world: World) -> None:
    own, other = world.tenant.id, uuid4()
    for scope in (f"tenant:{own}", f"campaign:{own.hex}:b", f"campaign:{own.hex}:a", f"caller:{own.hex}:x"):
        scopes.put(world.db, Scope(scope))
    scopes.put(world.db, Scope(f"campaign:{other.hex}:a"))
    found = [scope.scope for scope in scopes.of_tenant(world.db, own)]
    assert found == [f"campaign:{own.hex}:a", f"campaign:{own.hex}:b", f"tenant:{own}"]


def test_a_carrier_is_changed_in_what_is_named_alone(world: World) -> None:
    name = carrier_name(world)
    before = next(carrier for carrier in carriers.list_limits(world.db) if carrier.name == name)
    assert (before.account, before.source_ip, before.urgent_share, before.bulk_floor) == (None, None, 0.3, 0.1)
    changed = carriers.update(world.db, name, cps=7.5, account="acme", source_ip="2001:0db8::1", bulk_floor=0.25)
    assert changed is not None
    assert (changed.cps, changed.account, changed.source_ip, changed.bulk_floor) == (7.5, "acme", "2001:db8::1", 0.25)
    assert (changed.max_channels, changed.window_ms) == (before.max_channels, before.window_ms)
    again = carriers.update(world.db, name, account=None, source_ip=None, paused=True)
    assert again is not None
    assert (again.account, again.source_ip, again.cps, again.paused) == (None, None, 7.5, True)
    assert carriers.update(world.db, "nobody", cps=1) is None
    with pytest.raises(TypeError, match="id"):
        carriers.update(world.db, name, id=uuid4())


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"urgent_share": 1.1}, "urgent_share must be 0 to 1"),
        ({"bulk_floor": 0.6}, "bulk_floor must be 0 to 0.5"),
        ({"cps": -1}, "cps must be 0 to"),
        ({"cps": None}, "cps must be 0 to"),
        ({"cps": 1e9}, "cps must be 0 to"),
        ({"window_ms": 1}, "window_ms must be 100 to 60000"),
        ({"account": "a b"}, "account must be"),
        ({"source_ip": "sip.example"}, "source_ip: 'sip.example' is no literal"),
    ],
)
def test_a_carriers_value_out_of_range_is_named(world: World, changes: dict[str, Any], rule: str) -> None:
    before = carriers.list_limits(world.db)
    with pytest.raises(ValueError, match=rule):
        carriers.update(world.db, carrier_name(world), **changes)
    assert carriers.list_limits(world.db) == before


def test_a_routes_prices_and_its_end(world: World) -> None:
    name = f"r{uuid4().hex[:8]}"
    other = carriers.put_carrier(world.db, name=f"p-{name}", max_channels=1, cps=1)
    prefix = str(uuid4().int)[:12]
    order = [Serving(world.carrier_id, 1, 3, 0.0125), Serving(other.id, 1, 9), Serving(uuid4(), 2)]
    with pytest.raises(ValueError, match="carriers"):
        carriers.put_route(world.db, name=name, prefixes=[prefix], carriers=order)
    (route,) = carriers.put_route(world.db, name=name, prefixes=[prefix], carriers=order[:2])
    assert route.serving == (order[1], order[0])
    assert route.carriers == (other.id, world.carrier_id)
    assert route in carriers.list_routes(world.db)
    for price in (-1, 1e9):
        with pytest.raises(ValueError, match="price"):
            carriers.put_route(world.db, name=name, prefixes=[prefix], carriers=[Serving(other.id, price=price)])
    assert carriers.remove_route(world.db, name)
    assert not carriers.remove_route(world.db, name)
    assert route not in carriers.list_routes(world.db)


def test_a_tenant_is_changed_in_what_is_named_alone(world: World) -> None:
    name = world.tenant.name
    assert (world.tenant.max_queued, world.tenant.requests_per_s, world.tenant.canceled_before) == (None, None, None)
    changed = tenants.update(world.db, name, weight=4, max_queued=100, requests_per_s=2.5, max_channels=8, cps=1.5)
    assert changed is not None
    assert (changed.weight, changed.max_queued, changed.requests_per_s) == (4, 100, 2.5)
    assert changed.webhook_url == world.tenant.webhook_url
    assert scopes.of_tenant(world.db, changed.id) == [Scope(f"tenant:{changed.id}", 8, 1.5)]
    again = tenants.update(world.db, name, requests_per_s=None, webhook_url=None, cps=None)
    assert again is not None
    assert (again.weight, again.requests_per_s, again.webhook_url) == (4, None, None)
    assert scopes.of_tenant(world.db, changed.id) == [Scope(f"tenant:{changed.id}", 8, None)]
    for bad, rule in (
        ({"weight": 0}, "weight must be 1 to 1000"),
        ({"requests_per_s": 0}, "requests_per_s must be more than 0"),
        ({"max_queued": -1}, "max_queued must be at least 0"),
        ({"weight": 9, "max_channels": -1}, "max_channels must be at least 0"),
    ):
        with pytest.raises(ValueError, match=rule):
            tenants.update(world.db, name, **bad)
    assert tenants.get_by_name(world.db, name) == again
    assert tenants.update(world.db, "nobody", weight=1) is None
    with pytest.raises(TypeError, match="id"):
        tenants.update(world.db, name, id=uuid4())


def changes(world: World) -> dict[str, Callable[[], object]]:
    name = f"n{uuid4().hex[:8]}"
    scope = Scope(f"account:{name}")
    return {
        "a scope is put": lambda: scopes.put(world.db, scope),
        "a scope is changed": lambda: scopes.update(world.db, scope.scope, cps=1),
        "a scope is removed": lambda: scopes.remove(world.db, scope.scope),
        "a carrier is put": lambda: carriers.put_carrier(world.db, name=name, max_channels=1, cps=1),
        "a carrier is changed": lambda: carriers.update(world.db, name, cps=2),
        "a carrier is paused": lambda: carriers.set_paused(world.db, world.carrier_id, False),
        "a route is put": lambda: carriers.put_route(world.db, name="told", prefixes=["881"], carriers=[world.carrier_id]),
        "a route is removed": lambda: carriers.remove_route(world.db, "told"),
        "a tenant is made": lambda: tenants.create(world.db, name=name),
        "a tenant is changed": lambda: tenants.update(world.db, name, weight=2),
        "a tenant is paused": lambda: tenants.set_paused(world.db, world.tenant.id, False),
        "a tenant cancels": lambda: tenants.cancel_queued(world.db, world.tenant.id, at(0)),
    }


def test_every_change_is_told(world: World) -> None:
    with psycopg.connect(world.url, autocommit=True) as listener:
        listener.execute("LISTEN limits")
        for what, change in changes(world).items():
            change()
            assert list(listener.notifies(timeout=30, stop_after=1)), what
        world.accept()
        assert list(listener.notifies(timeout=0.1, stop_after=1)) == [], "a call changes no limit"
