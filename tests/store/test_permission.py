"""The rules about outbound calls at the claim, on real Postgres: what changed since the accept counts, and is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from calls.consent import Consent
from calls.destinations import Entry
from calls.outbound_rules import UNSET_WAIT
from calls.places import Numbered, Recipient
from store import agents, house, numbers, outbound, permission, tenants
from store.attempts import Claimed, Refused, Wanted, claim_all
from store.calls import Accepted
from tests.store.conftest import World
from tests.store.ruled import DAY, NOON, claim, dialed, ended, events, new_number, the_queued, waiting

#: A Wednesday evening in Germany, 20:30 there: an hour and a half before the day's data say that nobody is called any more.
EVENING = NOON.replace(hour=19, minute=30)
MORNING = NOON.replace(hour=7) + DAY  # 08:00 in Germany


def decision(world: World, accepted: Accepted) -> Any:
    return permission.decisions(world.db, world.tenant.id, accepted.call.id)[accepted.attempt_id]


def end_of(world: World, accepted: Accepted) -> tuple[str, str | None]:
    call = world.call(accepted.call.id)
    return call.status, call.end_reason


def keep_hours(world: World) -> None:
    outbound.update(world.db, world.tenant.id, hours="country")


def test_a_claim_that_is_permitted_keeps_why(world: World) -> None:
    accepted = waiting(world)
    dialed(world, accepted.attempt_id)
    said = decision(world, accepted)
    assert said["permitted"] is True
    assert (said["country"], said["zones"], said["hours"], said["caller_id"]) == (
        "DE",
        ["Europe/Berlin"],
        "none",
        "assigned",
    )
    assert said["consent"] == {"by": "tenant", "basis": "express", "at": None, "reference": "laboratory"}
    assert said["at"] == NOON.isoformat()


def test_what_the_plan_says_of_a_number_is_asked_once(world: World) -> None:
    """It costs more than all rules together; what was kept with the call is believed."""
    kept = Recipient(number=Numbered("FR", ("Europe/Paris",)))
    accepted = waiting(world, recipient=kept)
    dialed(world, accepted.attempt_id)
    assert (decision(world, accepted)["country"], decision(world, accepted)["zones"]) == ("FR", ["Europe/Paris"])
    # A zone that is not known here any more is no zone.
    keep_hours(world)
    lost = waiting(world, recipient=Recipient(number=Numbered("FR", ("Mars/Base",))))
    assert claim(world, lost.attempt_id, NOON) == Refused("rules")
    assert end_of(world, lost) == ("blocked", "blocked_zone")


@pytest.mark.parametrize("rule", ["destination", "caller_id", "consent"])
def test_what_was_taken_away_while_the_call_waited_ends_it_and_it_says_which_rule(world: World, rule: str) -> None:
    accepted = waiting(world, to_number="+14155552671")
    if rule == "destination":
        outbound.forget(world.db, world.tenant.id, ["+"])
    elif rule == "caller_id":
        assert outbound.remove_caller_id(world.db, world.tenant.id, "+4")
    else:
        outbound.update(world.db, world.tenant.id, consent=None)
    assert claim(world, accepted.attempt_id, NOON) == Refused("rules")
    assert end_of(world, accepted) == ("blocked", f"blocked_{rule}")
    assert dict(outbound.blocked(world.db))[f"blocked_{rule}"] >= 1
    assert [kind for _, kind in world.told(accepted.call.id)] == ["call.queued", "call.blocked"]
    said = decision(world, accepted)
    assert [one["rule"] for one in said["findings"]] == [rule]
    (attempt,) = world.attempt_list(accepted.call.id)
    assert (attempt.state, attempt.claimed_at, attempt.retry_class) == ("ended", None, "policy")
    assert attempt.note is not None


def test_what_nobody_dials_any_more_ends_what_waits(world: World) -> None:
    """The tenant's own list allows every number."""
    accepted = waiting(world, to_number="+14155552671")
    try:
        assert house.allow(world.db, [Entry("+1415", allow=False)]).destinations == {
            "+1415": {"allow": False, "risk": "low"}
        }
        assert claim(world, accepted.attempt_id, NOON) == Refused("rules")
        assert end_of(world, accepted) == ("blocked", "blocked_destination")
        (found,) = decision(world, accepted)["findings"]
        assert "+1415 are dialed by nobody" in found["detail"]
    finally:
        assert house.forget(world.db, ["+1415"]).destinations == {}
    dialed(world, waiting(world, to_number="+14155552671").attempt_id)


def test_an_account_for_which_nothing_was_ever_set_loses_nothing(world: World) -> None:
    """As a house comes from a version that knew no rules: its calls wait until somebody sets them."""
    tenant = tenants.create(world.db, name=f"old-{uuid4().hex[:8]}")
    agent = agents.create(world.db, tenant_id=tenant.id, name="bot", kind="announcement", audio="a.wav")
    accepted = waiting(world, tenant_id=tenant.id, agent_id=agent.id)
    assert (tenant.id, tenant.name) in outbound.without_rules(world.db)
    assert claim(world, accepted.attempt_id, NOON) == Refused("rules")
    assert the_queued(world, accepted) == (NOON + UNSET_WAIT, None, False)
    outbound.allow(world.db, tenant.id, [Entry("DE")])
    outbound.update(world.db, tenant.id, hours="none", hours_reason="reminders of appointments alone")
    outbound.put_caller_id(world.db, tenant.id, accepted.call.from_number, how="verified", reference="letter of 3 May")
    assert tenant.id not in dict(outbound.without_rules(world.db))
    dialed(world, accepted.attempt_id, NOON + UNSET_WAIT)


def test_at_night_a_call_is_put_back_to_the_morning_there(world: World) -> None:
    keep_hours(world)
    accepted = waiting(world)
    assert claim(world, accepted.attempt_id, EVENING) == Refused("hours")
    due_at, until, laned = the_queued(world, accepted)
    assert (due_at, laned) == (MORNING, False)
    # 20:00 there, less 25 s to ring and 30 s of ring.
    assert until == NOON.replace(hour=19) + DAY - timedelta(seconds=55)
    assert events(world, accepted, "attempt.rescheduled") == [{"reason": "hours", "due_at": MORNING.isoformat()}]
    said = decision(world, accepted)
    assert [(one["rule"], one["until"]) for one in said["findings"]] == [("hours", MORNING.isoformat())]
    assert claim(world, accepted.attempt_id, MORNING - timedelta(microseconds=1)) == Refused("not_due")
    dialed(world, accepted.attempt_id, MORNING)
    assert decision(world, accepted)["local_times"] == ["2026-01-22T08:00+01:00"]


def test_a_claim_delayed_to_the_edge_is_refused_at_the_first_moment_behind_it(world: World) -> None:
    keep_hours(world)
    last = NOON.replace(hour=19) - timedelta(seconds=55)
    late = waiting(world)
    assert claim(world, late.attempt_id, last + timedelta(microseconds=1)) == Refused("hours")
    at_last = waiting(world)
    assert claim(world, at_last.attempt_id, last, pdd_s=26) == Refused("hours")  # its carrier takes longer to ring
    on_time = waiting(world)
    dialed(world, on_time.attempt_id, last)


def test_hours_that_leave_no_moment_before_it_expires_let_it_expire(world: World) -> None:
    keep_hours(world)
    accepted = waiting(world, expires_at=MORNING)
    assert claim(world, accepted.attempt_id, EVENING) == Refused("hours")
    assert end_of(world, accepted) == ("expired", "expired")


def test_a_retry_is_planned_into_the_hours_without_asking(world: World) -> None:
    """So that no permit is spent on what the claim would refuse."""
    keep_hours(world)
    accepted = waiting(world, recipient=Recipient(hours="country"), due_at=NOON)
    last = NOON.replace(hour=19) - timedelta(seconds=55)
    dialed(world, accepted.attempt_id, last)
    found = ended(world, accepted.attempt_id, last + timedelta(seconds=20))
    assert found.retry is not None
    assert found.retry.due_at == MORNING


def test_one_that_is_blocked_holds_up_none_of_its_batch(world: World) -> None:
    fine, wrong = waiting(world), waiting(world, to_number="+18765550123")
    outbound.allow(world.db, world.tenant.id, [Entry("+"), Entry("JM", allow=False)])
    wanted = [Wanted(one.attempt_id, 1, 0, world.carrier_id) for one in (fine, wrong)]
    first, second = claim_all(world.db, wanted, switch="fs1", pdd_s=25, clock=NOON)
    assert isinstance(first, Claimed)
    assert second == Refused("rules")
    assert end_of(world, wrong) == ("blocked", "blocked_destination")
    assert decision(world, fine)["permitted"] is True


def test_a_batch_keeps_each_decision(world: World) -> None:
    some = [waiting(world) for _ in range(3)]
    wanted = [Wanted(one.attempt_id, 1, 0, world.carrier_id) for one in some]
    assert all(isinstance(one, Claimed) for one in claim_all(world.db, wanted, switch="fs1", pdd_s=25, clock=NOON))
    assert [decision(world, one)["permitted"] for one in some] == [True] * 3


def test_what_is_stored_and_cannot_be_read_is_never_dialed(world: World) -> None:
    for column, value in (("recipient", '{"timezone": 7}'), ("consent", '{"basis": "none"}')):
        accepted = waiting(world)
        world.execute(f"UPDATE calls SET {column} = %s::jsonb WHERE id = %s", value, accepted.call.id)
        assert claim(world, accepted.attempt_id, NOON) == Refused("unreadable")
        assert end_of(world, accepted) == ("blocked", "blocked")


def test_which_numbers_a_tenant_may_show(world: World) -> None:
    def how(caller: str, tenant: tenants.Tenant) -> str | None:
        known = permission.ask(world.db, tenant.id, world.agent_id, "+4930123456", caller)
        (same,) = permission.ask_all(world.db, tenant.id, [("+4930123456", caller)])
        assert same == known.standing
        return known.standing.caller_id

    mine = tenants.create(world.db, name=f"mine-{uuid4().hex[:8]}")
    other = tenants.create(world.db, name=f"other-{uuid4().hex[:8]}")
    outbound.put_caller_id(world.db, mine.id, "+493012345678", how="verified", reference="letter")
    outbound.put_caller_id(world.db, mine.id, "+4930999", block=True)
    agent = agents.create(world.db, tenant_id=mine.id, name="bot", kind="announcement", audio="a.wav")
    called_on = new_number()
    numbers.put(world.db, number=called_on, tenant_id=mine.id, agent_id=agent.id)
    assert [how(one, mine) for one in ("+493012345678", "+493099912345", called_on)] == ["verified", "assigned", "inbound"]
    assert how("+493012345679", mine) is None
    assert how("+4930123456781", mine) is None, "a number is no block"
    assert [how(one, other) for one in ("+493012345678", "+493099912345", called_on)] == [None] * 3
    listed = outbound.list_caller_ids(world.db, mine.id)
    assert [(one.number, one.block, one.how) for one in listed] == sorted(
        [("+493012345678", False, "verified"), ("+4930999", True, "assigned"), (called_on, False, "inbound")]
    )
    assert outbound.list_caller_ids(world.db, mine.id, 1, after=listed[0].number) == listed[1:2]
    assert outbound.list_caller_ids(world.db, other.id) == []


def test_what_is_asked_before_a_call_is_accepted(world: World) -> None:
    known = permission.ask(world.db, world.tenant.id, world.agent_id, "+4930123456", "+493012345678")
    assert known.agent_kind == "websocket"
    assert permission.ask(world.db, world.tenant.id, uuid4(), "+4930123456", "+493012345678").agent_kind is None
    assert permission.ask(world.db, uuid4(), world.agent_id, "+4930123456", "+49301234567").standing.configured is False
    many = permission.ask_all(world.db, world.tenant.id, [("+4930123456", "+493012345678"), ("+33142685300", "+99")])
    assert [one.caller_id for one in many] == ["assigned", "assigned"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hours": "none"}, "hours_reason"),
        ({"hours": "none", "hours_reason": " "}, "hours_reason"),
        ({"hours": "country", "hours_reason": "x"}, "hours_reason"),
        ({"hours_reason": "x"}, "hours_reason"),
        ({"hours": "always"}, "hours"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"consent": Consent("express")}, "reference"),
        ({"consent": Consent("wish", reference="x")}, "basis"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(world: World, changes: dict[str, Any], field: str) -> None:
    before = outbound.get(world.db, world.tenant.id)
    with pytest.raises(ValueError, match=field):
        outbound.update(world.db, world.tenant.id, **changes)
    assert outbound.get(world.db, world.tenant.id) == before


def test_only_what_is_named_is_changed(world: World) -> None:
    outbound.update(world.db, world.tenant.id, time_zone="Europe/Berlin")
    outbound.allow(world.db, world.tenant.id, [Entry("FR", risk="special"), Entry("+4930", allow=False)])
    rules = outbound.forget(world.db, world.tenant.id, ["+"])
    assert rules is not None
    assert set(rules.destinations) == {"FR", "+4930"}
    assert (rules.hours, rules.time_zone) == ("none", "Europe/Berlin")
    assert rules.consent is not None
    cleared = outbound.update(world.db, world.tenant.id, consent=None)
    assert (cleared.consent, cleared.time_zone, set(cleared.destinations)) == (None, "Europe/Berlin", {"FR", "+4930"})


def test_nobodys_rules_are_nobodys(world: World) -> None:
    with pytest.raises(outbound.NoTenant):
        outbound.allow(world.db, uuid4(), [Entry("DE")])
    with pytest.raises(outbound.NoTenant):
        outbound.put_caller_id(world.db, uuid4(), "+493012345678")
    for match in ("XX", "+0", "49", "DEU", "de"):
        with pytest.raises(ValueError, match="destination"):
            outbound.allow(world.db, world.tenant.id, [Entry(match)])
    for number, block in (
        ("+49", False),
        ("493012345678", True),
        ("+", True),
        ("+1", True),
        ("+4930", True),
        ("+49 30 1", True),
    ):
        with pytest.raises(ValueError, match=r"number|block"):
            outbound.put_caller_id(world.db, world.tenant.id, number, block=block)
