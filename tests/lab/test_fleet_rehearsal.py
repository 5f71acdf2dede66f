"""Rehearsals of the fleet: no seat is given twice or lost whoever dies, and what is broken on purpose is seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis

from budget import seats
from lab.rehearse.clock import SECOND
from lab.rehearse.draw import draw
from lab.rehearse.fleet import front, keeper
from lab.rehearse.fleet.plan import Staff
from lab.rehearse.fleet.world import FleetReport, FleetWorld, rehearse_fleet
from lab.rehearse.redis import RehearsalRedis
from trunkline.cli.rehearse import rehearse as command


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = RehearsalRedis()
    yield server.url
    server.close()


def quick(url: str, calls: int = 50) -> FleetReport:
    """A small house in which much goes wrong."""
    plan = draw(2, calls=calls, tenants=4, carriers=2, switches=2, crashes=3, wipes=2)
    return rehearse_fleet(plan, Staff(hosts=3, seats=4, kills=12, keepers=6), url)


def test_no_seat_is_given_twice_or_lost_whoever_dies(url: str) -> None:
    first = quick(url, calls=150)
    assert first.ok, first.as_text()
    assert {what.split()[0] for _, _, what in first.budget.faults} >= {"crash", "wipe", "worker", "keeper"}
    assert first.seen["answered, their agent there"] > 20
    assert first.seen["calls lost with their worker"] > 0


def test_a_seed_repeats_itself(url: str) -> None:
    first, again = (quick(url) for _ in range(2))
    assert first.ok, first.as_text()
    assert first.budget.digest == again.budget.digest


def test_a_seat_that_is_given_twice_is_seen(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right, given = seats.seat_of, []

    def the_first_again(redis: Redis, *what: Any) -> seats.Place | None:
        place = right(redis, *what)
        if place is not None:
            given.append(place)
        return given[-2] if len(given) % 5 == 2 else place

    monkeypatch.setattr(front, "seat_of", the_first_again)
    assert "a seat was given to two calls at a time" in quick(url).broken


def test_a_seat_that_is_lost_is_seen(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def tells_once(self: keeper.Keeper, worker: keeper.Worker) -> None:
        """A worker's end that nobody notices."""

    monkeypatch.setattr(keeper.Keeper, "ended", tells_once)
    monkeypatch.setattr(FleetWorld, "stuck_us", 30 * SECOND)  # in the end nobody is left
    assert "a seat was not given back" in quick(url).broken


def test_a_call_without_an_agent_is_seen(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right: Callable[..., seats.Place | None] = seats.seat_of
    monkeypatch.setattr(front, "seat_of", lambda redis, id_, *what: right(redis, id_, *what) if id_.int % 7 else None)
    broken = quick(url).broken
    assert broken.keys() & {"a call was answered without an agent", "a call that had a seat was called off for want of one"}


def test_the_command_says_it_for_machines_and_refuses_what_does_not_go_together() -> None:
    options = ["--calls", "20", "--tenants", "2", "--carriers", "1", "--switches", "1", "--json"]
    done = CliRunner().invoke(command, [*options, "--seats", "3", "--hosts", "2", "--kills", "2"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["ok"]
    assert (told["fleet"]["seats"], told["fleet"]["broken"]) == (6, {})
    for wrong, why in ((["--kills", "2"], "goes with --seats"), (["--seats", "3", "--state"], "two rehearsals")):
        done = CliRunner().invoke(command, [*options, *wrong])
        assert done.exit_code == 2
        assert why in done.output
