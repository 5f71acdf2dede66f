"""The kill switch's rows: one command for each call that is up, by the operator, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from calls.evidence import State
from store import agents, attempts, calls, carriers, commands, kill, switches, tenants
from store.kill import Target
from tests.store.conftest import World, at, enterprise

NOW = at(20)


def asked(world: World) -> list[tuple[UUID, str]]:
    rows = commands.list_open(world.db, "fs1")
    return [(row.attempt_id, row.requested_by) for row in rows if row.verb == "hangup"]


def test_it_asks_for_what_is_up_and_for_nothing_else(world: World) -> None:
    dialing, talking, waiting = world.dialing(), world.dialing(), world.accept()
    world.apply(world.seen(talking.attempt_id, State.IN_PROGRESS, 5))
    foreign = enterprise(world.db, world.url).dialing()
    target = Target(tenant_id=world.tenant.id)
    assert kill.live(world.db, target) == 2
    assert kill.kill(world.db, target, NOW) == 2
    mine = [one for one in asked(world) if one[0] != foreign.attempt_id]
    assert mine == [(dialing.attempt_id, "operator"), (talking.attempt_id, "operator")]
    assert [world.call(one.call.id).cancel_requested for one in (dialing, talking, waiting)] == [True, True, False]
    assert "call.hangup_requested" in world.logged(dialing.call.id)


def test_again_it_asks_for_nothing_new(world: World) -> None:
    world.dialing()
    target = Target(tenant_id=world.tenant.id)
    assert (kill.kill(world.db, target, NOW), kill.kill(world.db, target, NOW)) == (1, 0)
    (row,) = [one for one in commands.list_open(world.db, "fs1") if one.call_id in ids(world)]
    commands.finish(world.db, row.id, "killed", NOW)
    assert kill.kill(world.db, target, at(21)) == 0, "its end is on the way"
    assert kill.kill(world.db, target, at(40)) == 1, "it is not: asked once more"


def ids(world: World) -> set[UUID]:
    return {row[0] for row in world.rows("SELECT id FROM calls WHERE tenant_id = %s", world.tenant.id)}


def test_each_target_is_its_own(world: World) -> None:
    other = agents.create(world.db, tenant_id=world.tenant.id, name="other", kind="websocket", url="ws://127.0.0.1:1/").id
    first, second = world.dialing(), world.dialing(agent_id=other)
    third = world.accept()
    world.claim(third.attempt_id, switch="fs9")
    assert kill.live(world.db, Target(agent_id=other)) == 1
    assert kill.live(world.db, Target(switch="fs9")) == 1
    assert kill.live(world.db, Target(carrier_id=world.carrier_id)) == 3
    assert kill.kill(world.db, Target(agent_id=other), NOW) == 1
    assert kill.kill(world.db, Target(switch="fs9"), NOW) == 1
    assert kill.kill(world.db, Target(carrier_id=world.carrier_id), NOW) == 1
    assert {one[0] for one in asked(world)} >= {first.attempt_id, second.attempt_id}


def test_many_are_asked_for_in_portions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill, "PORTION", 2)
    for _ in range(5):
        world.dialing()
    assert kill.kill(world.db, Target(tenant_id=world.tenant.id), NOW) == 5


def test_nothing_is_dialed_again_after_it(world: World) -> None:
    accepted = world.dialing()
    kill.kill(world.db, Target(tenant_id=world.tenant.id), NOW)
    world.apply(world.ended(accepted.attempt_id, "NORMAL_CLEARING", 25, requested_by="operator", disposition="send_cancel"))
    call = world.call(accepted.call.id)
    assert (call.status, call.hangup_by) == ("canceled", "operator")
    assert len(world.attempt_list(accepted.call.id)) == 1


def test_a_call_whose_claim_was_given_back_in_between_is_canceled(world: World) -> None:
    accepted = world.dialing()
    world.execute("UPDATE attempts SET state = 'queued' WHERE id = %s", accepted.attempt_id)
    sibling = world.dialing()
    # As if it had still been up when the calls were chosen.
    world.execute("UPDATE attempts SET call_id = call_id, state = 'dialing' WHERE id = %s", sibling.attempt_id)
    params = {"calls": [accepted.call.id], "ids": [UUID(int=1)], "now": NOW}
    with world.db.connection() as conn:
        gone = conn.execute(kill._SQL["gone_back"], params).fetchall()
        added = conn.execute(kill._SQL["add_commands"], params).rowcount
    assert (gone, added) == ([(accepted.call.id, world.tenant.id)], 0)


def test_no_claim_passes_a_pause_of_anything(world: World) -> None:
    waits = world.accept()
    now = datetime.now(UTC)
    switches.seen(world.db, "fs1", "core", now)

    def refused() -> str:
        claim = world.claim(waits.attempt_id)
        assert isinstance(claim, attempts.Refused)
        return claim.reason

    tenants.set_paused(world.db, world.tenant.id, True)
    assert refused() == "paused"
    tenants.set_paused(world.db, world.tenant.id, False)
    carriers.set_paused(world.db, world.carrier_id, True)
    assert refused() == "paused"
    carriers.set_paused(world.db, world.carrier_id, False)
    agents.set_paused(world.db, world.agent_id, True)
    assert refused() == "agent_paused"
    agents.set_paused(world.db, world.agent_id, False)
    since = switches.drain(world.db, "fs1", now)
    assert (switches.drained(world.db, "fs1"), switches.drain(world.db, "fs1", at(99))) == (True, since)
    assert refused() == "drained"
    assert switches.drain(world.db, "fs1", None) is None
    assert isinstance(world.claim(waits.attempt_id), attempts.Claimed)
    assert switches.calls_left(world.db, "fs1") >= 1
    with pytest.raises(LookupError):
        switches.drain(world.db, "fs99", now)


def test_an_action_is_its_calls_own(world: World) -> None:
    one, two = world.dialing(), world.dialing()
    first = calls.request_hangup(world.db, world.tenant.id, one.call.id, "customer", NOW, action="same")
    other = calls.request_hangup(world.db, world.tenant.id, two.call.id, "customer", NOW, action="same")
    assert first.command_id != other.command_id
    assert calls.request_hangup(world.db, world.tenant.id, one.call.id, "customer", NOW, action="same") == first
