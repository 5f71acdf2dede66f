"""Transfers in Postgres: the second leg is a call with rules and a permit of its own, and is asked for once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from calls.evidence import State
from calls.ids import agent_ref
from calls.transfers import ENTRY, allowed
from store import (
    agent_pools,
    agent_trunks,
    agents,
    attempts,
    carriers,
    claim,
    commands,
    numbers,
    outbound,
    tenants,
    transfers,
)
from store.hangup import OtherAction
from store.joined import join
from store.lent import InUse, NoTenant
from store.pool import Database
from store.relay import agent_for
from store.transfers import Asked, Terms
from tests.store.conftest import World, at
from tests.store.threads import wait_for, waits_for_lock

TO, TERMS = "+4930987654", Terms(30, 20, 25, "Europe/Berlin")


@pytest.fixture
def talking(world: World) -> UUID:
    """A call that is in progress, whose agent may transfer to +4930*. Its id."""
    agents.change(world.db, world.tenant.id, world.agent_id, transfer_to=["+4930*"])
    accepted = world.dialing()
    world.apply(world.seen(accepted.attempt_id, State.IN_PROGRESS, 5))
    world.execute(
        "INSERT INTO routes (id, name, prefix, carrier_id) VALUES (gen_random_uuid(), 'all', '', %s) ON CONFLICT DO NOTHING",
        world.carrier_id,
    )
    return accepted.call.id


def ask(world: World, call: UUID, to: str = TO, action: str | None = None, by: str = "customer") -> Asked:
    return transfers.request_transfer(world.db, world.tenant.id, call, to, by, at(6), TERMS, action=action)


def leg_of(world: World, asked: Asked) -> UUID:
    (row,) = world.rows("SELECT (args ->> 'call')::uuid FROM call_commands WHERE id = %s", asked.command_id)
    return UUID(str(row[0]))


def under_way(world: World, call: UUID) -> list[transfers.Open]:
    """Other tests' are not its business."""
    (attempt,) = world.attempt_list(call)
    return [one for one in transfers.list_open(world.db, "fs1") if one.attempt_id == attempt.id]


def claimed(world: World, leg: UUID, switch: str = "fs1") -> claim.Claimed | claim.Refused:
    (attempt,) = world.attempt_list(leg)
    return attempts.claim(
        world.db, attempt.id, fence=1, epoch=0, switch=switch, carrier_id=world.carrier_id, pdd_s=25, clock=at(8)
    )


def test_the_second_leg_is_a_call_of_its_own_and_waits_for_a_permit(world: World, talking: UUID) -> None:
    first = world.call(talking)
    asked = ask(world, talking, action="once")
    assert asked.kind == "requested"
    leg = world.call(leg_of(world, asked))
    assert (leg.status, leg.to_number, leg.from_number) == ("queued", TO, first.from_number)
    assert (leg.priority, leg.max_attempts, leg.transfer_of) == ("urgent", 1, talking)
    assert leg.expires_at == at(36)
    assert world.told(leg.id) == [(1, "call.queued")]
    (attempt,) = world.attempt_list(leg.id)
    (decision,) = world.rows("SELECT decision FROM attempts WHERE id = %s", attempt.id)
    assert decision[0]["permitted"] is True
    # Asked again under its name it is the same; another number under it is not, nor a second transfer beside it.
    assert ask(world, talking, action="once") == asked
    with pytest.raises(OtherAction):
        ask(world, talking, "+4930987655", action="once")
    assert ask(world, talking, action="twice").kind == "pending"
    assert ask(world, leg.id).kind == "not_in_progress"
    assert asked.command_id not in [row.id for row in commands.list_open(world.db, "fs1")], "it is no controller's"
    (action,) = commands.list_actions(world.db, world.tenant.id, talking)
    assert (action.verb, action.leg_id) == ("transfer", leg.id)


def test_it_is_dialed_on_the_switch_of_the_first_and_while_that_lasts(world: World, talking: UUID) -> None:
    leg = leg_of(world, ask(world, talking))
    assert claimed(world, leg, "fs2") == claim.Refused("elsewhere")
    had = claimed(world, leg)
    assert isinstance(had, claim.Claimed)
    assert had.agent_kind == "sip", "no fork is opened for it, and no consent to a machine's voice asked"
    (attempt,) = world.attempt_list(leg)
    found = agent_for(world.db, attempt.id)
    assert found is not None
    (first,) = world.attempt_list(talking)
    assert (found.transfer_of, found.first_attempt) == (talking, first.id)
    (row,) = under_way(world, talking)
    assert (row.attempt_id, row.leg_id, row.ended) == (first.id, leg, False)
    transfers.bridged(world.db, attempt.id, at(9))
    assert under_way(world, talking) == []
    assert [one.result for one in commands.list_actions(world.db, world.tenant.id, talking)] == ["transferred"]
    assert ask(world, talking).kind == "pending", "it was put through"


def hangups(world: World, attempt: UUID) -> list[tuple[str, str | None]]:
    """(who wanted it, where it is to be carried out) of those that nobody has carried out."""
    open_ = commands.open_for_attempt(world.db, attempt)
    return [(one.requested_by, one.switch) for one in open_ if one.verb == "hangup"]


def test_when_the_first_is_over_nobody_is_rung_for_it(world: World, talking: UUID) -> None:
    (first,) = world.attempt_list(talking)
    leg = leg_of(world, ask(world, talking))
    world.apply(world.answered_end(first.id, 7, 5))
    assert (world.call(leg).status, world.call(leg).hangup_by) == ("canceled", "platform"), "no relay has to see it"
    assert claimed(world, leg) == claim.Refused("canceled")
    assert world.told(leg)[-1] == (2, "call.canceled")
    assert [one.result for one in commands.list_actions(world.db, world.tenant.id, talking)] == ["ended"]
    assert [one.result for one in commands.list_actions(world.db, world.tenant.id, leg)] == ["canceled"]
    assert ask(world, talking).kind == "not_in_progress"
    transfers.call_off(world.db, first.id, at(8))
    assert world.told(leg)[-1] == (2, "call.canceled"), "a relay that saw it too changes nothing"


@pytest.mark.parametrize("state", [State.DIALING, State.RINGING])
def test_a_phone_that_rings_for_a_call_that_is_over_is_hung_up(world: World, talking: UUID, state: State) -> None:
    (first,) = world.attempt_list(talking)
    leg = leg_of(world, ask(world, talking))
    had = claimed(world, leg)
    assert isinstance(had, claim.Claimed)
    if state is State.RINGING:
        world.apply(world.seen(had.attempt_id, State.RINGING, 9))
    assert hangups(world, had.attempt_id) == []
    world.apply(world.answered_end(first.id, 10, 5))
    assert hangups(world, had.attempt_id) == [("platform", "fs1")]
    assert world.rows("SELECT cancel_requested FROM calls WHERE id = %s", leg) == [(True,)]
    transfers.call_off(world.db, first.id, at(11))
    assert len(hangups(world, had.attempt_id)) == 1, "one wish, whoever has it too"
    world.apply(world.ended(had.attempt_id, "ORIGINATOR_CANCEL", 12))
    assert world.call(leg).ended
    assert hangups(world, had.attempt_id) == []


def test_legs_that_end_together_leave_no_wish_behind(world: World, talking: UUID) -> None:
    (first,) = world.attempt_list(talking)
    leg = leg_of(world, ask(world, talking))
    had = claimed(world, leg)
    assert isinstance(had, claim.Claimed)
    world.apply(world.busy(had.attempt_id, 9), world.answered_end(first.id, 9, 5))
    assert (world.call(leg).status, world.call(talking).status) == ("busy", "completed")
    assert commands.list_actions(world.db, world.tenant.id, leg) == []


def test_a_leg_that_was_put_through_is_the_switchs_to_end(world: World, talking: UUID) -> None:
    (first,) = world.attempt_list(talking)
    leg = leg_of(world, ask(world, talking))
    had = claimed(world, leg)
    assert isinstance(had, claim.Claimed)
    world.apply(world.seen(had.attempt_id, State.IN_PROGRESS, 9))
    transfers.bridged(world.db, had.attempt_id, at(9))
    world.apply(world.answered_end(first.id, 20, 5))
    assert hangups(world, had.attempt_id) == []


def test_a_leg_that_came_to_nothing_leaves_room_for_another(world: World, talking: UUID) -> None:
    asked = ask(world, talking)
    had = claimed(world, leg_of(world, asked))
    assert isinstance(had, claim.Claimed)
    world.apply(world.busy(had.attempt_id, 9))
    (row,) = under_way(world, talking)
    assert (row.ended, row.status, row.end_reason) == (True, "busy", "busy")
    commands.finish(world.db, row.command_id, f"{transfers.NOT_TRANSFERRED}: busy", at(9))
    assert ask(world, talking).kind == "requested"


def test_asked_again_by_its_name_it_is_said_that_it_came_to_nothing(world: World, talking: UUID) -> None:
    asked = ask(world, talking, action="once")
    assert asked.failed is None
    commands.finish(world.db, UUID(str(asked.command_id)), f"{transfers.NOT_TRANSFERRED}: no_answer", at(9))
    assert ask(world, talking, action="once") == replace(asked, failed="no_answer")


def test_what_is_not_on_the_list_or_against_a_rule_is_refused_and_nothing_is_written(world: World, talking: UUID) -> None:
    before = world.rows("SELECT count(*) FROM calls")
    assert ask(world, talking, "+4940123456").kind == "not_allowed"
    assert ask(world, talking, "+4940123456", by="agent").kind == "not_allowed"
    outbound.forget(world.db, world.tenant.id, ["+"])
    refused = ask(world, talking)
    assert (refused.kind, [one.code for one in refused.findings]) == ("forbidden", ["destination_not_allowed"])
    agents.change(world.db, world.tenant.id, world.agent_id, transfer_to=[])
    assert ask(world, talking).kind == "not_allowed", "an empty list allows nothing"
    assert world.rows("SELECT count(*) FROM calls") == before


def test_another_agent_of_the_tenants_may_take_over(world: World, talking: UUID) -> None:
    expert = agents.create(world.db, tenant_id=world.tenant.id, name="expert", kind="websocket", url="wss://x.example/")
    tone = agents.create(world.db, tenant_id=world.tenant.id, name="tone", kind="announcement", audio="a.wav")

    def ask_for(agent_id: UUID, action: str | None = None) -> Asked:
        return transfers.request_agent(world.db, world.tenant.id, talking, agent_id, "agent", at(6), action=action)

    assert ask_for(expert.id).kind == "not_allowed"
    entries = [agent_ref(expert.id), agent_ref(tone.id)]
    agents.change(world.db, world.tenant.id, world.agent_id, transfer_to=entries)
    assert ask_for(tone.id).kind == "unknown_agent", "an announcement talks to nobody in mid-call"
    asked = ask_for(expert.id, "agent:1")
    assert asked.kind == "requested"
    assert ask_for(expert.id, "agent:1") == asked
    with pytest.raises(OtherAction):
        ask(world, talking, action="agent:1")
    (row,) = under_way(world, talking)
    assert (row.agent_id, row.agent_name, row.agent_url, row.leg_id) == (expert.id, "expert", "wss://x.example/", None)
    transfers.handed_on(world.db, row, at(8))
    assert world.call(talking).agent_id == expert.id, "the call is that one's"
    assert under_way(world, talking) == []
    assert ask_for(expert.id).kind == "not_allowed", "whose own list counts from now on"


def test_handed_on_to_the_fleet_a_call_counts_in_that_pool(world: World, talking: UUID) -> None:
    agent_pools.update(world.db, "sales")
    seller = agents.create(world.db, tenant_id=world.tenant.id, name="seller", kind="fleet", pool="sales")
    expert = agents.create(world.db, tenant_id=world.tenant.id, name="expert-2", kind="websocket", url="wss://x.example/")
    agents.change(world.db, world.tenant.id, world.agent_id, transfer_to=[agent_ref(seller.id)])
    agents.change(world.db, world.tenant.id, seller.id, transfer_to=[agent_ref(expert.id)])
    # Its route may be named like the mark of a pool.
    before = f"dial.normal.{world.tenant.id.hex}.o-net"
    world.execute("UPDATE attempts SET lane = %s WHERE call_id = %s", before, talking)
    for agent, lane in ((seller, f"{before}.f-sales"), (expert, before)):
        asked = transfers.request_agent(world.db, world.tenant.id, talking, agent.id, "agent", at(6))
        assert asked.kind == "requested"
        (row,) = under_way(world, talking)
        assert (row.agent_kind, row.agent_pool) == (agent.kind, agent.pool)
        assert row.agent_pool_key == (agent_pools.keys(world.db, ["sales"])["sales"] if agent is seller else None)
        transfers.handed_on(world.db, row, at(8))
        assert world.attempt_list(talking)[0].lane == lane, "by its name it counts after a rebuild"


def test_the_platform_never_rings_a_number_whose_calls_come_in_here(world: World, talking: UUID) -> None:
    other = tenants.create(world.db, name=f"other-{talking.hex}")
    theirs = agents.create(world.db, tenant_id=other.id, name="desk", kind="websocket", url="wss://x.example/")
    own, foreign = "+4930987111", "+4930987222"
    before = world.rows("SELECT count(*) FROM calls")
    for number, tenant_id, agent_id in ((own, world.tenant.id, world.agent_id), (foreign, other.id, theirs.id)):
        numbers.put(world.db, number=number, tenant_id=tenant_id, agent_id=agent_id)
    try:
        assert [ask(world, talking, to, by="platform") for to in (own, foreign)] == [Asked("inbound_number")] * 2
        assert world.rows("SELECT count(*) FROM calls") == before
        numbers.put(world.db, number=own, tenant_id=world.tenant.id, agent_id=world.agent_id, enabled=False)
        assert ask(world, talking, own, by="platform").kind == "requested", "its callers hear that there is no such number"
    finally:
        assert numbers.remove(world.db, own)
        assert numbers.remove(world.db, foreign)


@pytest.mark.parametrize("by", ["customer", "agent"])
def test_whoever_decides_on_each_call_may_ring_a_number_that_comes_in_here(world: World, talking: UUID, by: str) -> None:
    numbers.put(world.db, number=TO, tenant_id=world.tenant.id, agent_id=world.agent_id)
    try:
        assert ask(world, talking, by=by).kind == "requested"
    finally:
        assert numbers.remove(world.db, TO)


@pytest.mark.parametrize(
    ("number", "entries", "result"),
    [
        (TO, [], False),
        (TO, [TO], True),
        (TO, [TO[:-1]], False),
        (TO, ["+49301*", "+4930*"], True),
        (TO, ["+4931*"], False),
    ],
)
def test_the_list_allows_whole_numbers_and_what_begins_so(number: str, entries: list[str], result: bool) -> None:
    assert allowed(number, entries) is result


def test_no_entry_allows_everything() -> None:
    assert [entry for entry in ("*", "+*", "+0*", "49*", "+49**", "+4930", "+49301\n") if ENTRY.fullmatch(entry)] == []


def test_a_person_behind_a_trunk_is_dialed_there_by_another_name(world: World, talking: UUID) -> None:
    name = f"pbx-{world.tenant.id.hex[-8:]}"
    agent_trunks.put(world.db, name, carrier_id=world.carrier_id, tenant_id=world.tenant.id)
    person = agents.create(
        world.db, tenant_id=world.tenant.id, name="person", kind="sip", number=TO, trunk=name, trunk_user="desk.2"
    )
    world.execute("UPDATE calls SET agent_id = %s WHERE id = %s", person.id, talking)
    # The switchboard is behind that number, also where its calls come in here.
    numbers.put(world.db, number=TO, tenant_id=world.tenant.id, agent_id=world.agent_id)
    try:
        asked = ask(world, talking, by="platform")
    finally:
        assert numbers.remove(world.db, TO)
    leg = world.call(leg_of(world, asked))
    assert (leg.route, leg.to_number) == (name, TO), "the rules are asked of the number"
    had = claimed(world, leg.id)
    assert isinstance(had, claim.Claimed)
    assert had.user == "desk.2"
    # The same number in a call of another kind of agent's is dialed as every number is.
    agents.change(world.db, world.tenant.id, person.id, cleared=["trunk", "trunk_user"])
    assert agents.get(world.db, world.tenant.id, person.id) == replace(person, trunk=None, trunk_user=None)


def test_a_trunk_that_is_anothers_by_now_is_not_the_way(world: World, talking: UUID) -> None:
    name = f"lost-{world.tenant.id.hex[-8:]}"
    agent_trunks.put(world.db, name, carrier_id=world.carrier_id)
    person = agents.create(
        world.db, tenant_id=world.tenant.id, name="person", kind="sip", number=TO, trunk=name, trunk_user="200"
    )
    world.execute("UPDATE calls SET agent_id = %s WHERE id = %s", person.id, talking)
    # As where the agent is written while the operator gives the trunk away: neither sees the other.
    other = tenants.create(world.db, name=f"{name}-other")
    world.execute("UPDATE agent_trunks SET tenant_id = %s WHERE name = %s", other.id, name)
    leg = world.call(leg_of(world, ask(world, talking, by="platform")))
    assert (leg.route != name, leg.to_number) == (True, TO), "the number, by its own route"
    had = claimed(world, leg.id)
    assert isinstance(had, claim.Claimed)
    assert had.user is None, "who is another's behind the trunk, and nobody behind the number"


@pytest.mark.parametrize("lost", ["given away", "another trunk", "another number", "no trunk, and none of that name"])
def test_a_leg_that_waits_is_not_dialed_by_a_trunk_that_was_lost(world: World, talking: UUID, lost: str) -> None:
    name = f"gone-{talking.hex[-8:]}"
    for trunk in (name, f"{name}-2"):
        agent_trunks.put(world.db, trunk, carrier_id=world.carrier_id)
    person = agents.create(
        world.db, tenant_id=world.tenant.id, name=name, kind="sip", number=TO, trunk=name, trunk_user="200"
    )
    world.execute("UPDATE calls SET agent_id = %s WHERE id = %s", person.id, talking)
    leg = leg_of(world, ask(world, talking, by="platform"))
    assert world.call(leg).route == name
    if lost == "given away":
        other = tenants.create(world.db, name=f"{name}-other")
        world.execute("UPDATE agent_trunks SET tenant_id = %s WHERE name = %s", other.id, name)
    elif lost == "another number":
        agents.change(world.db, world.tenant.id, person.id, number="+4930987655")
    elif lost == "another trunk":
        agents.change(world.db, world.tenant.id, person.id, trunk=f"{name}-2", trunk_user="300")
    else:
        agents.change(world.db, world.tenant.id, person.id, cleared=["trunk", "trunk_user"])
        assert agent_trunks.remove(world.db, name), "its route stays, and its lane"
    assert claimed(world, leg) == claim.Refused("rules")
    call = world.call(leg)
    assert (call.status, call.end_reason, call.ended_at is not None) == ("blocked", "blocked_trunk", True)
    assert world.told(leg)[-1] == (2, "call.blocked"), "and no call.dialing"
    (row,) = under_way(world, talking)
    assert (row.ended, row.end_reason) == (True, "blocked_trunk"), "what the relay says to whoever asked for it"


def test_a_trunk_is_given_away_before_or_after_an_agent_has_it(world: World) -> None:
    name, url = f"race-{world.tenant.id.hex[-8:]}", world.url
    agent_trunks.put(world.db, name, carrier_id=world.carrier_id)
    other = tenants.create(world.db, name=f"{name}-other")

    def choose(db: Database) -> agents.Agent:
        return agents.create(db, tenant_id=world.tenant.id, name=name, kind="sip", number=TO, trunk=name)

    def give(db: Database) -> object:
        return agent_trunks.put(db, name, carrier_id=world.carrier_id, tenant_id=other.id)

    with ThreadPoolExecutor(1) as pool:
        with join(world.db) as joined:
            choose(joined)
            giving = pool.submit(give, world.db)
            wait_for(lambda: waits_for_lock(url) or giving.done())
        with pytest.raises(InUse, match=name):
            giving.result(30)
        world.execute("DELETE FROM agents WHERE trunk = %s", name)
        with join(world.db) as joined:
            give(joined)
            choosing = pool.submit(choose, world.db)
            wait_for(lambda: waits_for_lock(url) or choosing.done())
        with pytest.raises(agents.UnknownTrunk):
            choosing.result(30)


def test_a_pool_is_given_away_before_or_after_an_agent_has_it(world: World) -> None:
    name, url = f"race-{world.tenant.id.hex[-8:]}", world.url
    agent_pools.update(world.db, name)
    other = tenants.create(world.db, name=f"{name}-else")

    def choose(db: Database) -> agents.Agent:
        return agents.create(db, tenant_id=world.tenant.id, name=name, kind="fleet", pool=name)

    with ThreadPoolExecutor(1) as pool:
        with join(world.db) as joined:
            choose(joined)
            giving = pool.submit(agent_pools.update, world.db, name, tenant_id=other.id)
            wait_for(lambda: waits_for_lock(url) or giving.done())
        with pytest.raises(InUse, match=name):
            giving.result(30)
        world.execute("DELETE FROM agents WHERE pool = %s", name)
        with join(world.db) as joined:
            agent_pools.update(joined, name, tenant_id=other.id)
            choosing = pool.submit(choose, world.db)
            wait_for(lambda: waits_for_lock(url) or choosing.done())
        with pytest.raises(agents.UnknownPool):
            choosing.result(30)


def test_whoever_is_rung_by_its_number_is_dialed_by_it(world: World, talking: UUID) -> None:
    had = claimed(world, leg_of(world, ask(world, talking)))
    assert isinstance(had, claim.Claimed)
    assert had.user is None


def test_a_trunk_is_a_route_that_no_number_leads_to_and_one_tenants(world: World) -> None:
    name = f"hq-{world.tenant.id.hex[-8:]}"
    made = agent_trunks.put(world.db, name, carrier_id=world.carrier_id, tenant_id=world.tenant.id)
    assert made in agent_trunks.list_trunks(world.db)
    (route,) = [one for one in carriers.list_routes(world.db) if one.name == name]
    assert route.prefix.startswith("0"), "as no country's code does"
    assert route.carriers == (world.carrier_id,)
    other = tenants.create(world.db, name=f"{name}-other")

    def take() -> agents.Agent:
        return agents.create(world.db, tenant_id=other.id, name="thief", kind="sip", number=TO, trunk=name)

    with pytest.raises(agents.UnknownTrunk):
        take()
    agent_trunks.put(world.db, name, carrier_id=world.carrier_id)
    assert take().trunk == name
    with pytest.raises(InUse, match="thief"):
        agent_trunks.put(world.db, name, carrier_id=world.carrier_id, tenant_id=world.tenant.id)
    with pytest.raises(InUse):
        agent_trunks.remove(world.db, name)
    carriers.put_route(world.db, name=f"{name}-x", prefixes=["990"], carriers=[world.carrier_id])
    with pytest.raises(ValueError, match="numbers lead to"):
        agent_trunks.put(world.db, f"{name}-x", carrier_id=world.carrier_id)
    with pytest.raises(ValueError, match="name"):
        agent_trunks.put(world.db, "A B", carrier_id=world.carrier_id)
    with pytest.raises(NoTenant, match=name):
        agent_trunks.put(world.db, name, carrier_id=world.carrier_id, tenant_id=uuid4())
    with pytest.raises(NoTenant, match=name):
        agent_pools.update(world.db, name, tenant_id=uuid4())
    assert agent_pools.get(world.db, name) is None, "nor is it made"
    agent_trunks.put(world.db, f"{name}-y", carrier_id=world.carrier_id)
    assert agent_trunks.remove(world.db, f"{name}-y")
    assert not agent_trunks.remove(world.db, f"{name}-y")
