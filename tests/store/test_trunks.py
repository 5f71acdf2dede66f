"""Carriers' SIP side and the versions of their gateways, in a real Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from store import attempts, carriers, gateways, switches, trunks
from store.gateways import Version
from store.queue import clock
from tests.store.conftest import World, at


def name_of(world: World) -> str:
    return next(c.name for c in carriers.list_limits(world.db) if c.id == world.carrier_id)


def endpoint(world: World, name: str = "e1", address: str = "192.0.2.1:5060") -> trunks.RenderedEndpoint:
    return trunks.put_endpoint(world.db, carrier_id=world.carrier_id, carrier=name_of(world), name=name, address=address)


def own(world: World, versions: list[Version]) -> list[Version]:
    return [version for version in versions if version.carrier_id == world.carrier_id]


@pytest.fixture
def fs1(world: World) -> Iterator[str]:
    """A switch of this test's own that answers."""
    name = f"fs-{uuid4().hex[:8]}"
    switches.seen(world.db, name, "core", clock(world.db))
    yield name
    world.execute("DELETE FROM switches WHERE name = %s", name)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"auth": "password"}, "auth"),
        ({"auth": "digest"}, "digest"),
        ({"auth": "digest", "username": "u", "secret_env": "TRUNKLINE_SECRET_A", "invite_cost": 1}, "digest"),
        ({"username": 'a"b'}, "username"),
        ({"username": "a b"}, "username"),
        ({"secret_env": "DATABASE_URL"}, "secret_env"),
        ({"secret_env": "TRUNKLINE_ESL_PASSWORD"}, "secret_env"),
        ({"from_user": "x\n"}, "from_user"),
        ({"from_domain": "-x"}, "from_domain"),
        ({"caller_header": "diversion"}, "caller_header"),
        ({"privacy": "id"}, "withheld"),
        ({"number_format": "e164"}, "number_format"),
        ({"number_format": "national"}, "national"),
        ({"country_code": "049"}, "country_code"),
        ({"tech_prefix": "12,34"}, "tech_prefix"),
        ({"codecs": ["G729"]}, "codecs"),
        ({"codecs": ["PCMU", "G722"]}, "codecs"),
        ({"codecs": ["OPUS"]}, "codecs"),
        ({"codecs": []}, "codecs"),
        ({"codecs": ["PCMU", "PCMU"]}, "codecs"),
        ({"transport": "ws"}, "transport"),
        ({"ping_s": 4}, "ping_s"),
        ({"ring_s": 121}, "ring_s"),
        ({"media_timeout_s": 9}, "media_timeout_s"),
        ({"reject_texts": "cps"}, "reject_texts"),
        ({"reject_texts": [{"code": 200, "text": "x", "class": "cps"}]}, "code"),
        ({"reject_texts": [{"code": 503, "text": "", "class": "cps"}]}, "text"),
        ({"reject_texts": [{"code": 503, "text": "x", "class": "slow"}]}, "class"),
        ({"reject_texts": [{"code": 503, "text": "x", "class": "cps", "more": 1}]}, "reject_texts"),
    ],
)
def test_what_is_no_carrier_is_refused_by_name_and_changes_nothing(
    world: World, changes: dict[str, Any], field: str
) -> None:
    before = trunks.get(world.db, name_of(world))
    with pytest.raises(ValueError, match=field):
        trunks.update(world.db, name_of(world), **changes)
    assert trunks.get(world.db, name_of(world)) == before


def test_a_digest_trunk_costs_two_invites_and_holds_no_password(world: World) -> None:
    name = name_of(world)
    secret = "TRUNKLINE_SECRET_A"
    made = trunks.update(world.db, name, auth="digest", username="acme", realm="sip.example", secret_env=secret)
    assert made is not None
    assert made.invite_cost == 2
    (limits,) = [c for c in carriers.list_limits(world.db) if c.name == name]
    assert limits.invite_cost == 2
    with pytest.raises(ValueError, match="digest"):
        carriers.update(world.db, name, invite_cost=1)
    back = trunks.update(world.db, name, auth="ip")
    assert back is not None
    assert back.invite_cost == 2, "its gateways may be challenged still"
    assert trunks.update(world.db, name, auth="ip", invite_cost=1) is not None, "it has none"


def test_two_invites_are_counted_until_the_last_gateway_with_a_password_is_killed(world: World, fs1: str) -> None:
    name = name_of(world)
    trunks.update(world.db, name, auth="digest", username="acme", secret_env="TRUNKLINE_SECRET_A")
    endpoint(world)
    gateways.plan(world.db, at(0))
    one, two = f"{name}-e1-v1", f"{name}-e1-v2"
    gateways.put_loads(world.db, fs1, {one: ("loaded", "")}, at(1))
    trunks.update(world.db, name, auth="ip")

    def cost() -> int:
        return next(c.invite_cost for c in carriers.list_limits(world.db) if c.name == name)

    def lowering_is_refused() -> None:
        with pytest.raises(ValueError, match=f"invite_cost.*{one};"):
            trunks.update(world.db, name, auth="ip", invite_cost=1)
        with pytest.raises(ValueError, match=one):
            carriers.update(world.db, name, invite_cost=1)
        with pytest.raises(ValueError, match=one):
            carriers.put_carrier(world.db, name=name, max_channels=1, cps=1)
        assert cost() == 2

    lowering_is_refused()
    gateways.plan(world.db, at(2))
    lowering_is_refused()
    assert gateways.put_loads(world.db, fs1, {two: ("loaded", "")}, at(3)) == [two]
    lowering_is_refused()
    gateways.put_loads(world.db, fs1, {one: ("gone", "")}, at(4))
    assert carriers.update(world.db, name, invite_cost=1) is not None
    assert cost() == 1


def test_only_what_is_named_changes(world: World) -> None:
    name = name_of(world)
    texts = [{"code": None, "text": "Quota", "class": "cps"}]
    trunks.update(world.db, name, codecs=["PCMA", "PCMU"], tech_prefix="77#", reject_texts=texts)
    carriers.update(world.db, name, cps=9)
    trunk = trunks.update(world.db, name, number_format="digits")
    assert trunk is not None
    assert (trunk.codecs, trunk.tech_prefix, trunk.number_format, trunk.reject_texts) == (
        ["PCMA", "PCMU"], "77#", "digits", texts
    )  # fmt: skip
    assert trunks.update(world.db, "nobody", number_format="digits") is None


ADDRESSES = ["sip.example:5060", "192.0.2.1", "192.0.2.1:0", "192.0.2.1:70000", "2001:db8::1:5060",
             "[2001:db8::1]", "300.0.0.1:5060", "0.0.0.0:5060", "[ff02::1]:5060", "192.0.2.1:5060;x"]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_endpoints_are_literal_addresses(world: World, address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        endpoint(world, address=address)


def test_versions_are_made_when_something_differs_and_only_then(world: World) -> None:
    name = name_of(world)
    endpoint(world)
    endpoint(world, "six", "[2001:db8::1]:5060")
    first = own(world, gateways.plan(world.db, at(0)))
    assert sorted(v.gateway for v in first) == [f"{name}-e1-v1", f"{name}-six-v1"]
    assert own(world, gateways.plan(world.db, at(1))) == []
    trunks.update(world.db, name, number_format="digits", codecs=["PCMA"])
    assert own(world, gateways.plan(world.db, at(2))) == [], "what is of the call is not of the gateway"
    endpoint(world, address="192.0.2.2:5060")
    (second,) = own(world, gateways.plan(world.db, at(3)))
    assert (second.gateway, second.params["proxy"]) == (f"{name}-e1-v2", "192.0.2.2:5060")
    trunks.update(world.db, name, ping_s=30)
    assert len(own(world, gateways.plan(world.db, at(4)))) == 2
    # New dials take the first until another is loaded; what came in between was never to be, and nobody loads it.
    names = {v.gateway for v in own(world, gateways.wanted(world.db, "any"))}
    assert names == {f"{name}-e1-v1", f"{name}-e1-v3", f"{name}-six-v1", f"{name}-six-v2"}


def test_new_dials_shift_when_every_switch_that_answers_has_it(world: World, fs1: str) -> None:
    name = name_of(world)
    carriers.put_endpoint(
        world.db, carrier_id=world.carrier_id,
        gateway=next(e.gateway for e in carriers.list_endpoints(world.db) if e.carrier_id == world.carrier_id),
        address="127.0.0.1:5060", enabled=False,
    )  # fmt: skip
    other = f"{fs1}-b"
    switches.seen(world.db, other, "core", clock(world.db))
    endpoint(world)
    gateways.plan(world.db, at(0))
    refused = world.claim(world.accept().attempt_id, switch=fs1)
    assert isinstance(refused, attempts.Refused)
    assert refused.reason == "no_endpoint", "nobody has loaded it yet"
    one = f"{name}-e1-v1"
    ahead = clock(world.db) + timedelta(hours=1)
    assert gateways.put_loads(world.db, fs1, {one: ("loaded", "")}, ahead) == []
    assert isinstance(claim := world.claim(world.accept().attempt_id, switch=fs1), attempts.Claimed)
    assert claim.gateway == one
    elsewhere = world.claim(world.accept().attempt_id, switch=other)
    assert isinstance(elsewhere, attempts.Refused), "the other switch does not have it"
    gateways.put_loads(world.db, other, {one: ("loaded", "")}, at(1))

    endpoint(world, address="192.0.2.2:5060")
    gateways.plan(world.db, at(2))
    two = f"{name}-e1-v2"
    assert gateways.put_loads(world.db, fs1, {two: ("loaded", "")}, ahead) == [], "another's clock makes no switch silent"
    gateways.put_loads(world.db, other, {two: ("failed", "no such file")}, at(3))
    assert isinstance(claim := world.claim(world.accept().attempt_id, switch=fs1), attempts.Claimed)
    assert claim.gateway == one, "not before everybody has the new one"
    assert gateways.retired_here(world.db, fs1, 0) == []
    assert gateways.put_loads(world.db, other, {two: ("loaded", "")}, at(4)) == [two]
    assert isinstance(new := world.claim(world.accept().attempt_id, switch=fs1), attempts.Claimed)
    assert new.gateway == two
    # Its calls are still on the old one, by Postgres; another's channel is none of its.
    assert gateways.retired_here(world.db, fs1, 0) == [one]
    assert gateways.users(world.db, fs1, one, []) == 2
    assert gateways.users(world.db, fs1, two, [new.attempt_id, uuid4()]) == 1
    world.execute("DELETE FROM switches WHERE name = %s", other)


def test_a_silent_switch_holds_up_nobody_and_dials_nothing_it_lacks(world: World, fs1: str) -> None:
    silent = f"{fs1}-s"
    switches.seen(world.db, silent, "core", clock(world.db) - timedelta(seconds=gateways.SILENT_S + 10))
    endpoint(world)
    gateways.plan(world.db, at(0))
    name = f"{name_of(world)}-e1-v1"
    gateways.put_loads(world.db, fs1, {name: ("loaded", "")}, at(1))
    endpoint(world, address="192.0.2.9:5060")
    gateways.plan(world.db, at(2))
    assert gateways.put_loads(world.db, fs1, {f"{name[:-1]}2": ("loaded", "")}, at(3)) == [f"{name[:-1]}2"]
    world.execute("DELETE FROM switches WHERE name = %s", silent)


def test_a_removed_endpoint_takes_no_dial_and_a_new_one_of_its_name_is_another_gateway(world: World, fs1: str) -> None:
    name = name_of(world)
    endpoint(world)
    gateways.plan(world.db, at(0))
    gateways.put_loads(world.db, fs1, {f"{name}-e1-v1": ("loaded", "")}, at(1))
    assert trunks.remove_endpoint(world.db, name, "e1")
    assert not trunks.remove_endpoint(world.db, name, "e1")
    assert gateways.retired_here(world.db, fs1, 0) == [f"{name}-e1-v1"]
    assert gateways.retired_here(world.db, fs1, 600) == [], "a claim may be under way"
    assert endpoint(world).gateway == f"{name}-e1-v2"
    (again,) = own(world, gateways.plan(world.db, at(4)))
    assert again.gateway == f"{name}-e1-v2"


def test_orders_are_kept_until_they_are_done_and_a_look_is_no_end_of_an_apply(world: World, fs1: str) -> None:
    applied, asked = gateways.order(world.db, "apply", at(0), fs1)
    assert asked == [fs1]
    looked, _ = gateways.order(world.db, "look", at(1), fs1)
    order = gateways.open_order(world.db, fs1)
    assert order is not None
    assert (order.kind, order.id) == ("apply", looked)
    gateways.done(world.db, fs1, applied, [], at(2))
    assert gateways.open_order(world.db, fs1) is not None, "an older order's end is not this one's"
    gateways.done(world.db, fs1, looked, [{"gateway": "x", "what": "missing", "detail": ""}], at(2))
    assert gateways.open_order(world.db, fs1) is None
    gateways.done(world.db, fs1, None, [], at(3) + timedelta(seconds=1))
    (now,) = [o for o in gateways.orders(world.db) if o.switch == fs1]
    assert now.findings == []
