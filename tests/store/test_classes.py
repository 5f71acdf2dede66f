"""Retry classes in the column: what is written can be read by the version before, and what a later one wrote by this one."""

from __future__ import annotations

import pytest

from calls.dialed import Kind, dialed
from calls.evidence import RetryClass, Source, State
from store import outcomes
from store.classes import read, written
from store.facts import facts_of, with_facts
from tests.store.conftest import World, at

#: All that a version before migration 0012 can read; it raises on everything else.
BEFORE = {
    "answered", "busy", "no_answer", "declined", "bad_number", "carrier_capacity", "carrier_fault", "carrier_block",
    "switch_local", "not_sent", "canceled", "policy", "unknown",
}  # fmt: skip


@pytest.mark.parametrize("retry_class", RetryClass)
def test_every_class_is_written_as_one_that_the_version_before_can_read(retry_class: RetryClass) -> None:
    reason = "incompatible_media" if retry_class is RetryClass.CONFIGURATION else "some"
    column = written(retry_class)
    assert column in BEFORE
    assert read(column, reason, inbound=retry_class is RetryClass.INBOUND) is retry_class


def test_a_refused_form_is_read_as_what_it_is_and_stays_before_the_carriers_health(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "KNOWN", 100)
    for _ in range(6):  # more than are shown of what says nothing about a carrier
        attempt = world.dialing()
        end = world.ended(
            attempt.attempt_id, "INCOMPATIBLE_DESTINATION", 2,
            sip_code=488, sip_phrase="Not Acceptable", disposition="recv_refuse",
        )  # fmt: skip
        (applied,) = world.apply(end)
        assert applied.retry is not None, "it uses up no attempt"
        assert world.apply(end)[0].ended_now is False
    row = world.attempt_list(attempt.call.id)[0]
    assert (row.retry_class, row.end_reason) == ("switch_local", "incompatible_media")
    assert facts_of(row).retry_class is RetryClass.CONFIGURATION
    assert with_facts(row, facts_of(row)) == row
    found = outcomes.recent(world.db, at(0), at(60))[world.carrier_id]
    assert [dialed(one).kind for one in found] == [Kind.FAULT] * 6


def test_a_class_of_a_later_version_ends_nobody(world: World) -> None:
    call = world.dialing()
    (applied,) = world.apply(world.busy(call.attempt_id, 2))
    assert applied.retry is not None
    world.execute("UPDATE attempts SET retry_class = 'of_later' WHERE id = %s", call.attempt_id)
    facts = facts_of(world.attempt_list(call.call.id)[0])
    assert facts.retry_class is RetryClass.POLICY, "never redialed"
    world.apply(world.ended(call.attempt_id, "USER_BUSY", 2, source=Source.CDR, sip_code=486, disposition="recv_refuse"))
    world.execute("UPDATE attempts SET retry_class = 'of_later' WHERE id = %s", call.attempt_id)
    world.claim(applied.retry.attempt_id, now=at(4000), fence=2)
    (second,) = world.apply(world.busy(applied.retry.attempt_id, 4001), seconds=4001)
    assert second.state == State.ENDED
