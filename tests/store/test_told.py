"""What is told beside a call's states: that the callee hears its agent, and numbers that are not called any more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from calls.evidence import State
from store import outbox, relay, suppressions, webhook_endpoints
from store.calls import Accepted
from store.suppressions import Provenance
from tests.store.conftest import World, at
from tests.store.threads import together


def heard(world: World, live: Accepted, seconds: float, **data: object) -> bool:
    return relay.note(world.db, live.attempt_id, "relay.first_audio", at(seconds), data)


def bodies(world: World, call_id: UUID) -> list[dict[str, Any]]:
    return [row[0] for row in world.rows("SELECT body FROM outbox WHERE call_id = %s ORDER BY sequence", call_id)]


def test_that_the_callee_hears_its_agent_is_told_once(world: World) -> None:
    live = world.dialing()
    world.apply(world.seen(live.attempt_id, State.RINGING, 2), world.seen(live.attempt_id, State.IN_PROGRESS, 4))
    assert heard(world, live, 4.25)
    assert not heard(world, live, 4.25), "the same note again, after a connection that was lost"
    heard(world, live, 5)
    heard(world, live, 6, resumed=True)
    world.apply(world.answered_end(live.attempt_id, 9, 4))
    told = world.told(live.call.id)
    assert [kind for _, kind in told] == [
        "call.queued", "call.dialing", "call.ringing", "call.answered", "call.agent_connected", "call.completed",
    ]  # fmt: skip
    assert [sequence for sequence, _ in told] == [1, 2, 3, 4, 5, 6]
    body = bodies(world, live.call.id)[4]
    assert body["timestamp"] == body["data"]["attempt"]["agent_heard_at"]
    assert (body["data"]["agent_connect_ms"], body["data"]["sequence"], body["data"]["status"]) == (250, 5, "in_progress")
    assert world.logged(live.call.id).count("relay.first_audio") == 3


def test_a_relay_that_took_the_call_up_on_its_way_tells_nothing(world: World) -> None:
    live = world.dialing()
    world.apply(world.seen(live.attempt_id, State.IN_PROGRESS, 4))
    assert heard(world, live, 6, resumed=True)
    assert [kind for _, kind in world.told(live.call.id)][-1] == "call.answered"
    assert world.attempt_list(live.call.id)[0].agent_heard_at is None


def test_what_is_noted_after_the_end_is_kept_and_not_told(world: World) -> None:
    """The relay's note may have waited for Postgres longer than the end did."""
    live = world.dialing()
    world.apply(world.seen(live.attempt_id, State.IN_PROGRESS, 4))
    world.apply(world.answered_end(live.attempt_id, 9, 4))
    assert heard(world, live, 4.25)
    assert [kind for _, kind in world.told(live.call.id)][-1] == "call.completed"
    assert world.attempt_list(live.call.id)[0].agent_heard_at is not None


def test_other_notes_are_not_told(world: World) -> None:
    live = world.dialing()
    before = world.told(live.call.id)
    for kind in ("relay.agent_connected", "relay.agent_ready", "relay.failed"):
        assert relay.note(world.db, live.attempt_id, kind, at(3), {"reason": "x"})
    assert world.told(live.call.id) == before


def test_nobody_is_told_of_an_attempt_that_there_is_not(world: World) -> None:
    assert not relay.note(world.db, UUID(int=7), "relay.first_audio", at(3), {})


def test_the_sequence_has_no_gap_however_they_come(world: World) -> None:
    lives = [world.dialing() for _ in range(6)]
    for live in lives:
        world.apply(world.seen(live.attempt_id, State.RINGING, 2))

    def answer(live: Accepted) -> None:
        world.apply(world.seen(live.attempt_id, State.IN_PROGRESS, 4))
        world.apply(world.answered_end(live.attempt_id, 9, 4))

    together(
        *[lambda live=live: answer(live) for live in lives],  # type: ignore[misc]
        *[lambda live=live: heard(world, live, 4.2) for live in lives],  # type: ignore[misc]
    )
    for live in lives:
        told = world.told(live.call.id)
        assert [sequence for sequence, _ in told] == list(range(1, len(told) + 1))
        kinds = [kind for _, kind in told]
        assert {"call.answered", "call.completed"} <= set(kinds)
        assert kinds[-1] == "call.completed", "nothing comes after the end"


def suppress(world: World, numbers: list[str], tenant_id: UUID | None) -> None:
    now = datetime.now(UTC)
    suppressions.add_all(world.db, tenant_id, numbers, Provenance("import", "a list", now, "operator:test"), now)


def told_to(world: World, events: list[str]) -> UUID:
    more: dict[str, Any] = {"description": None, "most": 16, "now": datetime.now(UTC)}
    endpoint, _ = webhook_endpoints.create(world.db, world.tenant.id, url="https://example.com/h", events=events, **more)
    return endpoint.id


def test_new_suppressions_are_told_to_whoever_asks_for_it(world: World) -> None:
    asked, everything, other = (
        told_to(world, ["suppression.created"]),
        told_to(world, ["*"]),
        told_to(world, ["call.queued"]),
    )
    numbers = [f"+4930{n:07d}" for n in range(1_000_000, 1_000_250)]
    suppress(world, numbers[:1], world.tenant.id)
    suppress(world, numbers, world.tenant.id)
    suppress(world, numbers, world.tenant.id)
    suppress(world, ["+4930999999"], None)
    sql = "SELECT body FROM webhook_deliveries WHERE endpoint_id = %s AND type = 'suppression.created' ORDER BY id"
    assert world.rows(sql, other) == []
    for endpoint in (asked, everything):
        told = [row[0]["data"] for row in world.rows(sql, endpoint)]
        assert sorted(len(data["suppressions"]) for data in told) == [1, 49, 100, 100]
        assert sorted(one["number"] for data in told for one in data["suppressions"]) == numbers
        assert {(data["origin"], data["source"]) for data in told} == {("import", "a list")}
    due = outbox.claim_due(world.db, datetime.now(UTC), 100, 30)
    mine = [one for one in due if one.endpoint_id in (asked, everything)]
    assert len(mine) == 8
    assert {(one.call_id, one.sequence, one.type) for one in mine} == {(None, None, "suppression.created")}
