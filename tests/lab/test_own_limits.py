"""A tenant's own rate in a rehearsal where switches stand still: kept by its slots, and seen when it is granted too much."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest

from budget.lanes import Serving
from calls.lanes import Lane
from lab.rehearse.plan import Behaviour, Cap, Demand, Party, Plan, Stream, Trunk
from lab.rehearse.redis import RehearsalRedis
from lab.rehearse.run import rehearse
from lab.rehearse.state.house import Odds
from lab.rehearse.state.world import rehearse_state
from settings import Settings
from tests.budget.mutants import Mutant

TENANT = UUID(int=2)
SCOPE = f"tenant:{TENANT}"
BUSY = Behaviour(answered=0, busy=1, invalid=0, refused=0)
#: While one of them rests for an INVITE of unknown time, the tenant's calls go on through the others.
TRUNKS = tuple(Trunk(UUID(int=10 + n), f"carrier{n}", 20, 200, behaviour=BUSY) for n in range(4))
PARTY = Party(TENANT, "flood", (Stream(Lane("normal", TENANT, "all"), Demand(90)),))
PLAN = Plan(
    1, TRUNKS, (PARTY,), {"all": tuple(Serving(trunk.id) for trunk in TRUNKS)}, switches=("fs1", "fs2"),
    caps=(Cap(SCOPE, cps=5),), max_attempts=1,
)  # fmt: skip
#: One in ten originates is acknowledged by nobody; half of those leave up to 2.5 s late.
STANDING_STILL = Odds(lost=0, twice=0, late=0, cdr_lost=0, cut=0.1, missed=0, hung_up=0)
TOO_MUCH = [
    Mutant("a tenant's slots too close", "grant/take", "s.tat, s.moved = slot + s.step,",
           "s.tat, s.moved = slot + (s.lingers and 1 or 0.8) * s.step,"),
    Mutant("a tenant's rate is not looked at", "grant/choose", "if not s.step or s.tat <= slot then", "if true then"),
]  # fmt: skip


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = RehearsalRedis()
    yield server.url
    server.close()


def test_late_invites_are_told_and_break_nothing(url: str) -> None:
    told = rehearse_state(PLAN, url, Settings(redis_url=url), odds=STANDING_STILL)
    assert told.ok, told.as_text()
    assert [(one.scope, one.allowed) for one in told.budget.late] == [(SCOPE, 5)]
    assert f"late, not broken: {SCOPE}, 5 a window by its slots" in told.as_text()


def test_where_no_switch_stands_still_none_is_late(url: str) -> None:
    told = rehearse(PLAN, url)
    assert told.ok, told.as_json()
    assert told.late == []


@pytest.mark.parametrize("mutant", TOO_MUCH, ids=lambda mutant: mutant.name)
@pytest.mark.parametrize("still", [False, True], ids=["", "standing still"])
def test_too_many_slots_are_a_broken_limit(url: str, monkeypatch: pytest.MonkeyPatch, mutant: Mutant, still: bool) -> None:
    planted = mutant.source()
    monkeypatch.setattr("budget.scripts.source", planted)
    monkeypatch.setattr("lab.rehearse.wire.source", planted)
    told = rehearse_state(PLAN, url, Settings(redis_url=url), odds=STANDING_STILL).budget if still else rehearse(PLAN, url)
    assert not told.ok
    assert {(one.scope, one.what) for one in told.violations} == {(SCOPE, "slots granted in a window")}
