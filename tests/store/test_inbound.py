"""Calls that come in, as rows: made once however often they are offered, told in order, and never dialed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from calls.evidence import End, Evidence, RetryClass, Source, State
from calls.inbound import ANONYMOUS
from store import agents, attempts, carriers, inbound, numbers, outcomes, tenants
from store.facts import facts_of
from store.inbound import Asked, Line, Offer, Taken, Terms
from store.queue import clock, list_live
from store.snapshot import snapshot, stamp
from tests.store.conftest import T0, World, at

DID = "+4989111222"
TERMS = Terms(ring_timeout_s=30, max_duration_s=600, pdd_s=25)


@pytest.fixture(autouse=True)
def nobodys(world: World) -> None:
    """The database is every test's; whose a number is, is one test's."""
    world.execute("DELETE FROM numbers")
    world.execute("DELETE FROM callers_refused")


def number(world: World, did: str = DID, **more: Any) -> numbers.Did:
    return numbers.put(world.db, number=did, tenant_id=world.tenant.id, agent_id=world.agent_id, **more)


def line_of(world: World, did: str = DID) -> Line:
    asked = inbound.ask(world.db, offer(dialed=did))
    assert asked.line is not None
    assert not asked.drained
    return asked.line


def offer(**more: Any) -> Offer:
    plain = Offer(uuid4(), "fs1", T0, "+4930123456", DID, "+4930123456", "192.0.2.7", 5060, "abc@carrier")
    return replace(plain, **more)


def accept(
    world: World, one: Offer, *, fence: int | None = 7, carrier: UUID | None = None, clock: datetime | None = T0
) -> Taken:
    line = line_of(world)
    return inbound.accept(world.db, one, line, carrier_id=carrier, fence=fence, terms=TERMS, clock=clock)


def hangup(one: Offer, seconds: float, cause: str = "ORIGINATOR_CANCEL", **more: Any) -> Evidence:
    end = End(cause, at(seconds), inbound=True, **more)
    return Evidence(one.attempt_id, f"end:{one.attempt_id}", Source.EVENT, State.ENDED, at(seconds), end)


def test_a_number_leads_to_its_agent(world: World) -> None:
    number(world, pool="desk")
    line = line_of(world)
    assert (line.tenant_id, line.agent_id, line.pool, line.paused) == (world.tenant.id, world.agent_id, "desk", False)
    assert line.lane == f"dial.inbound.{world.tenant.id.hex}.inbound.a-desk"
    agents.set_paused(world.db, world.agent_id, True)
    assert line_of(world).paused


@pytest.mark.parametrize("change", ["off", "removed"])
def test_what_is_off_or_removed_is_nobodys(world: World, change: str) -> None:
    number(world, enabled=change != "off")
    if change == "removed":
        assert numbers.remove(world.db, DID)
        assert not numbers.remove(world.db, DID)
    assert inbound.ask(world.db, offer()) == Asked(None, False, None, None)
    assert inbound.ask(world.db, offer(dialed="?")) == Asked(None, False, None, None)


def test_a_number_is_never_taken_from_another_tenant(world: World) -> None:
    number(world)
    other = tenants.create(world.db, name="other")
    theirs = agents.create(world.db, tenant_id=other.id, name="bot", kind="websocket", url="wss://bot.example/")
    with pytest.raises(tenants.NameTaken, match="belongs to tenant"):
        numbers.put(world.db, number=DID, tenant_id=other.id, agent_id=theirs.id)
    with pytest.raises(ValueError, match="agent_id: the tenant has no agent"):
        numbers.put(world.db, number="+4989111333", tenant_id=other.id, agent_id=world.agent_id)
    with pytest.raises(ValueError, match=r"number: must be E\.164"):
        number(world, "089111222")
    with pytest.raises(ValueError, match="pool: must be"):
        number(world, pool="De sk")
    with pytest.raises(ValueError, match="carrier_id: there is no carrier"):
        number(world, carrier_id=uuid4())
    assert [one.agent_name for one in numbers.list_numbers(world.db)] == [agents_name(world)]


def agents_name(world: World) -> str:
    found = agents.get(world.db, world.tenant.id, world.agent_id)
    assert found is not None
    return found.name


def test_a_call_is_made_of_it_and_told(world: World) -> None:
    number(world)
    one = offer()
    taken = accept(world, one, carrier=world.carrier_id)
    assert (taken.state, taken.fence, taken.new) == ("dialing", 7, True)
    call, (attempt,) = world.call(taken.call_id), world.attempt_list(taken.call_id)
    assert (call.direction, call.status, call.to_number, call.from_number) == ("inbound", "dialing", DID, "+4930123456")
    assert (attempt.id, attempt.inbound, attempt.gateway, attempt.carrier_id) == (
        one.attempt_id,
        True,
        None,
        world.carrier_id,
    )
    assert attempt.deadline_at == at(TERMS.pdd_s)
    ring = Evidence(one.attempt_id, "ring", Source.EVENT, State.RINGING, at(1))
    answer = Evidence(one.attempt_id, "answer", Source.EVENT, State.IN_PROGRESS, at(2))
    world.apply(ring, answer, hangup(one, 9, "NORMAL_CLEARING", disposition="recv_bye", answered_at=at(2), sip_code=200))
    call = world.call(taken.call_id)
    assert (call.status, call.end_reason, call.hangup_by, call.sip_code) == ("completed", "hangup", "caller", 200)
    kinds = ["call.received", "call.ringing", "call.answered", "call.completed"]
    assert world.told(taken.call_id) == list(enumerate(kinds, 1))
    (facts,) = world.rows("SELECT data FROM call_events WHERE type = 'call.received'")[0]
    assert facts == {
        "switch": "fs1", "dialed": DID, "caller": "+4930123456", "peer": "192.0.2.7:5060", "sip_call_id": "abc@carrier",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("habit", "days", "wanted"),
    [
        ({"recording": "answer"}, 30, {"start": "answer", "notice": None, "days": 30}),
        (
            {
                "recording": "answer",
                "recording_allowed": "after_notice",
                "recording_notice": "told.wav",
                "recording_days": 3,
            },
            30,
            {"start": "after_notice", "notice": "told.wav", "days": 3},
        ),
        ({"recording": "answer", "recording_allowed": "none"}, 30, None),
        ({"recording": "answer"}, None, None),
        ({"recording": "off"}, 30, None),
    ],
)
def test_it_is_recorded_as_its_account_has_it(
    world: World, habit: dict[str, Any], days: int | None, wanted: dict[str, Any] | None
) -> None:
    usual = {"recording": "off", "recording_allowed": "any", "recording_notice": None, "recording_days": None}
    tenants.update(world.db, world.tenant.name, **{**usual, **habit})
    number(world)
    one = offer()
    terms = replace(TERMS, recording_days=days)
    taken = inbound.accept(world.db, one, line_of(world), carrier_id=None, fence=7, terms=terms, clock=T0)
    tenants.update(world.db, world.tenant.name, **usual)
    assert world.call(taken.call_id).recording == wanted


def test_its_times_are_the_databases_whatever_the_hosts_clock_says(world: World) -> None:
    number(world)
    before = clock(world.db)
    taken = accept(world, offer(at=at(-7200)), clock=None)
    after = clock(world.db)
    call, (attempt,) = world.call(taken.call_id), world.attempt_list(taken.call_id)
    received = call.created_at
    assert before <= received <= after
    assert {call.status_at, call.due_at, attempt.claimed_at, attempt.due_at, attempt.created_at} == {received}
    assert call.expires_at == received + timedelta(seconds=TERMS.ring_timeout_s)
    assert attempt.deadline_at == received + timedelta(seconds=TERMS.pdd_s)
    sql = "SELECT body, next_at, created_at FROM outbox WHERE call_id = %s"
    ((told, next_at, created_at),) = world.rows(sql, taken.call_id)
    assert (next_at, created_at, told["timestamp"]) == (received, received, stamp(received))
    shown = snapshot(call)
    assert {name: told["data"][name] for name in shown} == shown


def test_offered_again_it_is_the_same_call(world: World) -> None:
    number(world)
    one = offer()
    first = accept(world, one)
    again = accept(world, one, fence=8)
    assert again == Taken(first.call_id, "dialing", 7, new=False)
    assert inbound.ask(world.db, one).before == again
    assert world.told(first.call_id) == [(1, "call.received")]
    world.apply(hangup(one, 3, disposition="recv_cancel"))
    assert accept(world, one, fence=9).state == "ended"


def test_two_controllers_at_once_make_one_call(world: World) -> None:
    number(world)
    for _ in range(10):
        one = offer()
        with ThreadPoolExecutor(4) as pool:
            taken = list(pool.map(lambda fence, one=one: accept(world, one, fence=fence), range(1, 5)))
        assert sum(each.new for each in taken) == 1
        assert len({(each.call_id, each.fence) for each in taken}) == 1
    assert world.rows("SELECT count(*) FROM calls WHERE tenant_id = %s", world.tenant.id) == [(10,)]


def test_what_is_refused_is_on_record_without_a_lease(world: World) -> None:
    number(world)
    one = offer(from_number=ANONYMOUS)
    taken = accept(world, one, fence=None)
    assert taken.fence is None
    world.apply(hangup(one, 0.1, "USER_BUSY", note="agent_busy", requested_by="platform", sip_code=486))
    call = world.call(taken.call_id)
    assert (call.status, call.end_reason, call.sip_code, call.from_number) == ("busy", "agent_busy", 486, ANONYMOUS)
    assert [kind for _, kind in world.told(taken.call_id)] == ["call.received", "call.busy"]
    (attempt,) = world.attempt_list(taken.call_id)
    assert attempt.decided == "stop: inbound is not retried"
    assert (attempt.retry_class, facts_of(attempt).retry_class) == ("policy", RetryClass.INBOUND), "store/classes.py"


def test_a_caller_shows_no_number_only_where_one_calls(world: World) -> None:
    """A call that we dial has a number to show, and no caller who could hang up."""
    accepted = world.accept()
    for change in ("from_number = 'anonymous'", "hangup_by = 'caller'"):
        with pytest.raises(Exception, match="check constraint"):
            world.execute(f"UPDATE calls SET {change} WHERE id = %s", accepted.call.id)


def test_whose_channel_it_takes_and_whether_that_one_counts(world: World) -> None:
    number(world)
    carriers.put_endpoint(world.db, carrier_id=world.carrier_id, gateway="calls_us", address="203.0.113.77:5070")
    mine = offer(host="203.0.113.77", port=5070)
    strange = offer(host="198.51.100.1")
    assert inbound.ask(world.db, mine).carrier_id == world.carrier_id
    assert inbound.ask(world.db, strange).carrier_id is None
    number(world, carrier_id=world.carrier_id)
    assert inbound.ask(world.db, strange).carrier_id == world.carrier_id
    name = next(one.name for one in carriers.list_limits(world.db) if one.id == world.carrier_id)
    carriers.update(world.db, name, counts_inbound=False)
    assert inbound.ask(world.db, mine).carrier_id is None
    assert inbound.ask(world.db, strange).carrier_id is None
    with pytest.raises(ValueError, match="inbound_reserved must be at least 0"):
        carriers.update(world.db, name, inbound_reserved=-1)


def test_it_lives_on_its_switch_and_says_nothing_of_its_carriers_health(world: World) -> None:
    number(world)
    one = offer()
    accept(world, one, carrier=world.carrier_id)
    (live,) = [row for row in list_live(world.db, "fs1") if row.attempt_id == one.attempt_id]
    assert (live.attempt_id, live.inbound, live.fence, live.carrier_id) == (one.attempt_id, True, 7, world.carrier_id)
    world.apply(hangup(one, 3))
    assert world.carrier_id not in outcomes.recent(world.db, T0 - timedelta(hours=1), at(10))
    assert outcomes.by_route(world.db, world.carrier_id, T0 - timedelta(hours=1)) == []
    assert one.attempt_id in [row.attempt_id for row in attempts.list_lingering(world.db, T0)]


def test_it_is_not_in_any_queue(world: World) -> None:
    number(world)
    taken = accept(world, offer())
    deltas = "SELECT count(*) FROM queue_deltas WHERE tenant_id = %s"
    assert world.rows(deltas, world.tenant.id) == [(0,)]
    (attempt,) = world.attempt_list(taken.call_id)
    assert attempt.id not in attempts.list_expired(world.db, at(10_000), 10_000)
    assert world.call(taken.call_id).status == "dialing"


def test_callers_sent_away_are_counted_by_reason(world: World) -> None:
    inbound.refuse(world.db, "fs1", "unknown_number", "+4989111999", at(1))
    inbound.refuse(world.db, "fs1", "unknown_number", "+4989111998", at(2))
    inbound.refuse(world.db, "fs1", "drained", "+4989111222", at(3))
    found = {one.reason: (one.count, one.last_number, one.last_at) for one in numbers.list_refused(world.db)}
    assert found == {"unknown_number": (2, "+4989111998", at(2)), "drained": (1, "+4989111222", at(3))}
