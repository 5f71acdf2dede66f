"""Rehearsals on a real Redis: all is well with the budget as it is, and what is broken on purpose is seen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from redis import Redis

from budget import leases, push
from budget.lanes import Serving
from budget.scopes import CarrierSpec
from calls.lanes import Lane
from lab.rehearse import carriers, upheaval
from lab.rehearse.clock import SECOND
from lab.rehearse.draw import draw
from lab.rehearse.drawing import drawing
from lab.rehearse.plan import Behaviour, Demand, Fault, Party, Plan, Stream, Trunk
from lab.rehearse.redis import RehearsalRedis
from lab.rehearse.run import World, rehearse
from settings import Settings
from trunkline.cli.rehearse import rehearse as command


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = RehearsalRedis()
    yield server.url
    server.close()


#: Of one rehearsal: enough that lanes, carriers and faults get in each other's way.
CALLS = 300


def small(seed: int = 1, **changes: Any) -> Plan:
    return draw(seed, **{"calls": CALLS, "tenants": 12, "carriers": 4, "switches": 2, "crashes": 2, "wipes": 1, **changes})


def test_nothing_is_broken_lost_or_doubled_and_a_seed_repeats_itself(url: str) -> None:
    first, again, other = (rehearse(small(seed), url) for seed in (1, 1, 2))
    assert first.ok, first.as_json()
    assert other.ok, other.as_json()
    assert first.calls == other.calls == CALLS
    assert {what.split()[0] for _, _, what in first.faults} == {"crash", "wipe", "outage", "limits"}
    assert first.digest == again.digest
    assert first.digest != other.digest


def test_the_judge_counts_what_lab_judge_would(url: str) -> None:
    world = World(small(3), url, Settings(redis_url=url), lead_us=30_000, keep=True)
    try:
        world.run()
        meters = [carrier.meters[0] for carrier in world.floor.carriers.values()]
        assert sum(meter.invites for meter in meters) >= CALLS
        assert [(meter.peak_invites, meter.peak_channels) for meter in meters] == [meter.peaks() for meter in meters]
    finally:
        world.close()


def test_a_budget_with_too_large_numbers_breaks_the_limits(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = carriers.limits_of

    def twice(trunk: Trunk, settings: Settings) -> CarrierSpec:
        return right(replace(trunk, cps=2 * trunk.cps, channels=2 * trunk.channels), settings)

    monkeypatch.setattr(upheaval, "limits_of", twice)
    monkeypatch.setattr(carriers, "limits_of", twice)
    told = rehearse(small(), url)
    assert not told.ok
    assert {broken.what for broken in told.violations} >= {"INVITEs in a window"}
    assert "broken" in drawing(told)


def test_a_call_that_never_comes_into_its_lane_is_lost(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = push.push
    dropped: list[UUID] = []

    def forgets_one(redis: Redis, items: Sequence[tuple[UUID, str]], *, window: int | None = None) -> list[UUID]:
        if not dropped:
            dropped.append(items[0][0])
            return [items[0][0], *right(redis, items[1:], window=window)]
        return right(redis, [item for item in items if item[0] not in dropped], window=window)

    monkeypatch.setattr(push, "push", forgets_one)
    told = rehearse(small(wipes=0), url)
    assert dropped
    assert (told.ok, told.lost) == (False, 1)


@pytest.mark.parametrize("adopted", [True, False])
def test_a_rebuild_that_forgets_live_calls_breaks_the_channels(
    url: str, monkeypatch: pytest.MonkeyPatch, adopted: bool
) -> None:
    trunk = Trunk(UUID(int=1), "only", 10, 20, behaviour=Behaviour(answered=0, busy=1, invalid=0, refused=0, pdd_s=8))
    party = Party(UUID(int=2), "flood", (Stream(Lane("normal", UUID(int=2), "all"), Demand(200)),))
    wipe = Fault("wipe", 10 * SECOND, SECOND // 2)
    plan = Plan(1, (trunk,), (party,), {"all": (Serving(trunk.id),)}, faults=(wipe,))
    if not adopted:
        monkeypatch.setattr(leases, "adopt", lambda *_: True)
    told = rehearse(plan, url)
    assert told.ok is adopted
    assert ("channels" in {broken.what for broken in told.violations}) is not adopted


def test_it_wants_a_database_of_its_own(url: str) -> None:
    redis = Redis.from_url(url)
    redis.set("somebody", "else")
    try:
        with pytest.raises(ValueError, match="empty Redis database"):
            rehearse(small(), url)
        assert redis.get("somebody") == b"else"
    finally:
        redis.flushdb()
        redis.close()


def test_the_command_says_it_for_machines_and_draws_it(tmp_path: Any) -> None:
    picture = tmp_path / "run.svg"
    options = ["--calls", "200", "--tenants", "6", "--carriers", "2", "--switches", "2", "--json", "--svg", str(picture)]
    done = CliRunner().invoke(command, options)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["ok"]
    assert told["calls"] == 200
    assert told["violations"] == told["lost"] == told["twice"] == 0
    root = ElementTree.fromstring(picture.read_text())
    words = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {one["name"] for one in told["by_carrier"]} <= set(words)
    assert "0 limits broken, 0 calls lost, 0 dialed twice, 0 wake-ups missed" in words
    titles = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert all(any(title.startswith(f"{tenant['name']}, weight") for title in titles) for tenant in told["by_tenant"])
