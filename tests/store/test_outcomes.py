"""What became of a carrier's calls, as it is read for its health; and the verdicts, as they are written down."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from calls.dialed import Kind, dialed
from calls.evidence import State
from store import attempts, carriers, outcomes
from store.outcomes import Standing
from tests.store.conftest import World, at


def dial(world: World, seconds: float, **changes: object) -> UUID:
    """A call given to the carrier at that time."""
    attempt = world.accept(**changes).attempt_id
    assert isinstance(world.claim(attempt, now=at(seconds)), attempts.Claimed)
    return attempt


def refused(world: World, attempt: UUID, seconds: float, code: int, cause: str, phrase: str) -> None:
    world.apply(world.ended(attempt, cause, seconds, sip_code=code, sip_phrase=phrase, disposition="recv_refuse"))


def kinds(world: World, since: float = 0) -> list[Kind]:
    return [dialed(row).kind for row in outcomes.recent(world.db, at(since), at(60)).get(world.carrier_id, [])]


def test_calls_come_in_the_order_in_which_they_were_dialed(world: World) -> None:
    talks, rings, waits, fails = (dial(world, s) for s in (10, 11, 12, 13))
    refused(world, fails, 13.1, 503, "NORMAL_TEMPORARY_FAILURE", "Service Unavailable")
    world.apply(world.seen(rings, State.RINGING, 15))
    world.apply(world.answered_end(talks, 60, 14))
    assert waits
    rows = outcomes.recent(world.db, at(0), at(60))[world.carrier_id]
    assert [dialed(row).kind for row in rows] == [Kind.FAULT, Kind.PENDING, Kind.CARRIED, Kind.CARRIED]
    assert [dialed(row).pdd_s for row in rows] == [None, None, 4.0, 4.0]
    assert rows[0].tenant == world.tenant.id.hex
    assert (rows[0].route, rows[0].switch) == ("all", "fs1")
    assert kinds(world, since=11.5) == [Kind.FAULT, Kind.PENDING]


def test_what_was_never_dialed_or_given_back_is_not_read(world: World) -> None:
    world.accept()
    back = dial(world, 10)
    assert attempts.unclaim(world.db, back, 1, at(10.1))
    assert kinds(world) == []


def test_a_list_of_dead_numbers_hides_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "KNOWN", 3)
    monkeypatch.setattr(outcomes, "WAITS", 2)
    for second in range(4):
        refused(world, dial(world, second), second + 0.1, 503, "NORMAL_TEMPORARY_FAILURE", "Service Unavailable")
    for second in range(4, 8):
        dial(world, second)
    for second in range(8, 20):
        refused(world, dial(world, second), second + 0.1, 404, "UNALLOCATED_NUMBER", "Not Found")
    assert kinds(world) == [Kind.NEUTRAL] * 5 + [Kind.PENDING] * 2 + [Kind.FAULT] * 3


def test_no_more_than_the_newest_and_the_latest_seconds_are_visited(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for second in range(1, 11):
        dial(world, second)
    assert len(kinds(world)) == 10
    monkeypatch.setattr(outcomes, "NEWEST", 2)
    assert len(kinds(world)) == 2
    monkeypatch.setattr(outcomes, "WAITING_S", 60 - 6.5)
    assert len(kinds(world)) == 4
    monkeypatch.setattr(outcomes, "MOST", 3)
    assert len(kinds(world)) == 3


def test_every_carrier_has_its_own(world: World) -> None:
    other = carriers.put_carrier(world.db, name=f"other-{world.tenant.name}"[:32], max_channels=1, cps=1)
    carriers.put_endpoint(world.db, carrier_id=other.id, gateway=f"o-{world.tenant.name}"[:32], address="127.0.0.1:5070")
    first, second = world.accept().attempt_id, world.accept().attempt_id
    world.claim(first, now=at(1))
    world.claim(second, now=at(2), carrier_id=other.id)
    found = outcomes.recent(world.db, at(0), at(60))
    assert (len(found[world.carrier_id]), len(found[other.id])) == (1, 1)


def test_a_report_by_route_and_prefix(world: World) -> None:
    dial(world, 1, to_number="+4915112345678")
    dial(world, 2, to_number="+12025550123")
    rows = outcomes.by_route(world.db, world.carrier_id, at(0))
    assert sorted((row.route, row.prefix) for row in rows) == [("all", "120"), ("all", "491")]


def test_verdicts_are_kept_as_a_history_and_the_latest_is_refreshed(world: World) -> None:
    ok = Standing(world.carrier_id, "ok", 100, "no calls", at(0), at(0), 0, None, None, None, {"calls": 0})
    stopped = replace(ok, state="stopped", score=0, why="6 of 6", since=at(5), seen_at=at(5), stops=1, pause_until=at(10))
    gone = replace(ok, carrier_id=UUID(int=77))
    outcomes.write(world.db, [ok, gone], [])
    outcomes.write(world.db, [], [replace(ok, score=90, own_pdd_s=1.5, seen_at=at(4))])
    outcomes.write(world.db, [stopped], [])
    outcomes.write(world.db, [], [replace(ok, score=1)])  # of a leader that has not heard: no longer its state
    assert outcomes.standings(world.db)[world.carrier_id] == stopped
    assert outcomes.history(world.db, world.carrier_id) == [stopped, replace(ok, score=90, own_pdd_s=1.5, seen_at=at(4))]


def test_the_history_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "KEEP", 3)
    for number in range(6):
        row = Standing(world.carrier_id, "ok", number, "", at(number), at(number), 0, None, None, None, {})
        outcomes.write(world.db, [row], [])
    assert [row.score for row in outcomes.history(world.db, world.carrier_id)] == [5, 4, 3]


def test_gateways_as_each_switch_sees_them(world: World) -> None:
    (gateway,) = [e.gateway for e in carriers.list_endpoints(world.db) if e.carrier_id == world.carrier_id]

    def seen(switch: str, up: bool, seconds: float) -> None:
        outcomes.gateway_seen(world.db, switch=switch, gateway=gateway, up=up, ping_ms=1.5, now=at(seconds))

    seen("fs1", True, 1)
    seen("fs1", False, 11)
    seen("fs1", False, 21)
    seen("fs2", True, 2)
    rows = outcomes.gateways(world.db, at(10))[world.carrier_id]
    assert [(r.switch, r.up, r.since, r.seen_at) for r in rows] == [("fs1", False, at(11), at(21))]
