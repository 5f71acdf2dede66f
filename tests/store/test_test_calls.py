"""Calls of test keys: dialed in the laboratory and nowhere else, where nothing else is dialed; no rule of a tenant holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from calls.permission import facts_of, judge
from calls.test_numbers import NO_NUMBER, TEST_ROUTE
from calls.windows import Limits, zone
from lab.liberty import give_the_world
from store import (
    agents,
    attempts,
    call_list,
    calls,
    caps,
    carriers,
    gateways,
    keys,
    permission,
    switches,
    tenants,
    test_lab,
    trunks,
)
from store.attempts import Claimed, Refused
from store.pool import Database
from store.reschedule import reschedule
from tests.store.conftest import World, at

BUSY = "+12025550101"


def lab_carrier(world: World) -> UUID:
    """One of the laboratory's, with a gateway."""
    made = carriers.put_carrier(world.db, name=f"lab-{uuid4().hex[:8]}", max_channels=5, cps=5, lab=True)
    carriers.put_endpoint(world.db, carrier_id=made.id, gateway=f"labgw-{uuid4().hex[:6]}", address="127.0.0.1:5070")
    return made.id


def placed(world: World) -> UUID:
    """The attempt of a call that was placed with a test key."""
    return world.accept(test=True, route=TEST_ROUTE, to_number=BUSY).attempt_id


def test_the_laboratory_and_nothing_else(world: World) -> None:
    """Of call, carrier and switch either all are the laboratory's, or none is. Every other combination is refused."""
    places = {True: lab_carrier(world), False: world.carrier_id}
    for test in (True, False):
        for carrier in (True, False):
            for switch in (True, False):
                attempt = placed(world) if test else world.accept().attempt_id
                found = world.claim(attempt, carrier_id=places[carrier], lab=switch)
                if test == carrier == switch:
                    assert isinstance(found, Claimed), (test, carrier, switch, found)
                    assert found.carrier_id == places[carrier]
                else:
                    assert found == Refused("lab"), (test, carrier, switch, found)


def test_many_claims_at_once_keep_to_it_too(world: World) -> None:
    lab, people, tests = lab_carrier(world), world.accept().attempt_id, [placed(world), placed(world)]
    wanted = [attempts.Wanted(one, n, 0, lab) for n, one in enumerate((people, *tests))]
    found = attempts.claim_all(world.db, wanted, switch="fs1", pdd_s=25, clock=at(1), lab=True)
    assert found[0] == Refused("lab")
    assert all(isinstance(one, Claimed) for one in found[1:])


def test_no_test_call_can_name_anything_but_a_number_kept_for_fiction(world: World) -> None:
    for number in ("+4915112345678", "+12025551101", "+120255501010"):
        with pytest.raises(psycopg.errors.CheckViolation):
            world.accept(test=True, route=TEST_ROUTE, to_number=number)


def test_it_is_told_and_listed_apart(world: World) -> None:
    live, test = world.accept(), world.accept(test=True, route=TEST_ROUTE, to_number=BUSY)
    assert (live.call.test, test.call.test) == (False, True)
    assert (world.call(live.call.id).test, world.call(test.call.id).test) == (False, True)
    for wanted, here in ((False, live), (True, test)):
        for status in (None, "queued"):
            filters = call_list.Filters(status=status, test=wanted)
            found = call_list.page(world.db, world.tenant.id, 10, filters)
            assert [one.call.id for one in found.calls] == [here.call.id]
    bodies = world.rows("SELECT body -> 'data' -> 'test' FROM outbox WHERE call_id = ANY(%s) ORDER BY call_id",
                        [live.call.id, test.call.id])  # fmt: skip
    assert [row[0] for row in bodies] == [False, True]
    assert calls.is_test(world.db, world.tenant.id, test.call.id)
    assert not calls.is_test(world.db, world.tenant.id, live.call.id)
    stranger = tenants.create(world.db, name=f"stranger-{uuid4().hex[:8]}")
    assert not calls.is_test(world.db, stranger.id, test.call.id)


def test_a_tenant_for_which_nothing_was_set_may_test(world: World) -> None:
    """At the accept, at the claim, and when it is looked at again; a live call of it may nothing."""
    tenant = tenants.create(world.db, name=f"bare-{uuid4().hex[:8]}")
    agent = agents.create(world.db, tenant_id=tenant.id, name="bot", kind="websocket", url="ws://127.0.0.1:9000/")
    said = {}
    for test in (True, False):
        known = permission.ask(world.db, tenant.id, agent.id, BUSY, "+493012345678", test=test)
        facts = facts_of(
            to=BUSY, caller="+493012345678", agent_kind="websocket", standing=known.standing,
            limits=Limits(zone("UTC"), timedelta(seconds=55)),
        )  # fmt: skip
        night = datetime(2026, 1, 21, 8, 0, tzinfo=UTC)  # 3:00 in Washington
        said[test] = judge(facts, night)
    assert said[True].permitted
    assert not said[False].permitted
    lab = lab_carrier(world)
    own = {"tenant_id": tenant.id, "agent_id": agent.id}
    one = world.accept(**own, test=True, route=TEST_ROUTE, to_number=BUSY)
    assert isinstance(world.claim(one.attempt_id, carrier_id=lab, lab=True), Claimed)
    assert world.claim(world.accept(**own).attempt_id) == Refused("rules")
    two = world.accept(**own, test=True, route=TEST_ROUTE, to_number=BUSY)
    assert reschedule(world.db, [two.attempt_id], pdd_s=25, now=at(1), clock=at(1)) == 0
    assert isinstance(world.claim(two.attempt_id, carrier_id=lab, lab=True), Claimed)
    # The number is asked for again: not every number of the fiction has a meaning.
    three = world.accept(**own, test=True, route=TEST_ROUTE, to_number="+12025550199")
    assert world.claim(three.attempt_id, carrier_id=lab, lab=True) == Refused("rules")
    ended = calls.get_call(world.db, tenant.id, three.call.id)
    assert ended is not None
    assert (ended.status, ended.end_reason) == ("blocked", "blocked_number")


def test_test_calls_count_in_no_cap_and_wait_for_none(world: World) -> None:
    caps.set_caps(world.db, world.tenant.id, actor="operator:test", calls_per_minute=1, new_prefixes_per_hour=1)
    lab = lab_carrier(world)
    for _ in range(3):
        assert isinstance(world.claim(placed(world), carrier_id=lab, lab=True), Claimed)
    assert isinstance(world.claim(world.accept().attempt_id), Claimed)
    assert world.claim(world.accept().attempt_id) == Refused("rules")
    assert isinstance(world.claim(placed(world), carrier_id=lab, lab=True), Claimed)
    assert world.rows("SELECT count(*) FROM cap_uses WHERE tenant_id = %s", world.tenant.id) == [(1,)]


def test_routes_lead_to_the_laboratory_or_to_people(world: World) -> None:
    lab, name = lab_carrier(world), f"r-{uuid4().hex[:8]}"
    for serving in ([lab], [lab, world.carrier_id]):
        with pytest.raises(ValueError, match="is the laboratory's"):
            carriers.put_route(world.db, name=name, prefixes=["99900"], carriers=serving)
    for serving in ([world.carrier_id], [lab, world.carrier_id]):
        with pytest.raises(ValueError, match="route 'test'"):
            carriers.put_route(world.db, name=TEST_ROUTE, prefixes=[NO_NUMBER], carriers=serving)
    with pytest.raises(ValueError, match="prefixes: no number"):
        carriers.put_route(world.db, name=TEST_ROUTE, prefixes=["1"], carriers=[lab])
    assert not [route for route in carriers.list_routes(world.db) if route.name in (name, TEST_ROUTE)]


def test_a_carrier_stays_of_its_kind(world: World) -> None:
    name = f"kind-{uuid4().hex[:8]}"
    for first, words in ((True, "the laboratory's"), (False, "no carrier of the laboratory")):
        carriers.put_carrier(world.db, name=f"{name}-{first}".lower(), max_channels=1, cps=1, lab=first)
        with pytest.raises(ValueError, match=f"and it is {words}"):
            carriers.put_carrier(world.db, name=f"{name}-{first}".lower(), max_channels=1, cps=1, lab=not first)
        with pytest.raises(TypeError):
            carriers.update(world.db, f"{name}-{first}".lower(), lab=not first)


@pytest.fixture
def nothing_set_up(db: Database) -> Iterator[None]:
    """Without the laboratory of other tests, before and after."""

    def clear() -> None:
        carriers.remove_route(db, TEST_ROUTE)
        trunks.remove_endpoint(db, test_lab.CARRIER, test_lab.ENDPOINT)

    clear()
    yield
    clear()


@pytest.mark.usefixtures("nothing_set_up")
def test_setting_up_is_safe_twice_and_takes_no_route_of_anybody(world: World) -> None:
    assert not test_lab.look(world.db, at(0)).routed
    assert permission.ask(world.db, world.tenant.id, world.agent_id, BUSY, BUSY, test=True).route is None
    world.execute(
        "INSERT INTO routes (id, name, prefix, carrier_id) VALUES (%s, 'test', '99901', %s)", uuid4(), world.carrier_id
    )
    with pytest.raises(ValueError, match="it leads elsewhere"):
        test_lab.set_up(world.db, address="127.0.0.1:5090", max_channels=5, cps=5)
    assert not test_lab.look(world.db, at(0)).routed
    assert permission.ask(world.db, world.tenant.id, world.agent_id, BUSY, BUSY, test=True).route is None
    carriers.remove_route(world.db, TEST_ROUTE)
    for channels in (5, 7):
        test_lab.set_up(world.db, address="127.0.0.1:5090", max_channels=channels, cps=5)
    (carrier,) = [one for one in carriers.list_limits(world.db) if one.name == test_lab.CARRIER]
    assert (carrier.lab, carrier.max_channels) == (True, 7)
    assert test_lab.look(world.db, at(0)).routed
    assert permission.ask(world.db, world.tenant.id, world.agent_id, BUSY, BUSY, test=True).route == TEST_ROUTE
    assert permission.ask(world.db, world.tenant.id, world.agent_id, BUSY, BUSY).route != TEST_ROUTE
    ends = carriers.list_endpoints(world.db, lab=True)
    assert carrier.id in {end.carrier_id for end in ends}
    assert carrier.id not in {end.carrier_id for end in carriers.list_endpoints(world.db, lab=False)}


@pytest.mark.usefixtures("nothing_set_up")
def test_gateways_are_where_they_belong_and_wait_for_their_own_switches(world: World) -> None:
    """A switch that is not the laboratory does not hold up the laboratory's gateway, nor the other way round."""
    test_lab.set_up(world.db, address="127.0.0.1:5090", max_channels=5, cps=5)
    now = datetime.now(UTC)
    (carrier,) = [one for one in carriers.list_limits(world.db) if one.name == test_lab.CARRIER]
    (made,) = [one for one in gateways.plan(world.db, now) if one.carrier_id == carrier.id]
    live, lab = f"live-{uuid4().hex[:8]}", f"lab-{uuid4().hex[:8]}"
    switches.seen(world.db, live, uuid4().hex, now)
    switches.seen(world.db, lab, uuid4().hex, now, lab=True)
    assert made.gateway in [one.gateway for one in gateways.wanted(world.db, lab, lab=True)]
    assert made.gateway not in [one.gateway for one in gateways.wanted(world.db, live)]
    assert made.gateway in gateways.not_dialed(world.db)
    gateways.put_loads(world.db, lab, {made.gateway: ("loaded", "")}, now)
    assert made.gateway not in gateways.not_dialed(world.db)
    assert lab in switches.live(world.db, now - timedelta(seconds=1), lab=True)
    assert lab not in switches.live(world.db, now - timedelta(seconds=1), lab=False)
    world.execute("DELETE FROM switches WHERE name = ANY(%s)", [live, lab])
    world.execute("DELETE FROM gateway_loads WHERE switch = ANY(%s)", [live, lab])


def test_a_test_key_may_have_few_scopes(world: World) -> None:
    give_the_world(world.db, world.tenant.id)
    key, text = keys.create(world.db, tenant_id=world.tenant.id, mode="test")
    assert text.startswith("tl_test_")
    assert sorted(key.scopes) == ["agents:read", "calls:read", "calls:write", "limits:read"]
    with pytest.raises(ValueError, match="a test key has some of"):
        keys.create(world.db, tenant_id=world.tenant.id, mode="test", scopes=["agents:write"])
