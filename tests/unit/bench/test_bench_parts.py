"""When dialers want to send, what a carrier's meter counts, which numbers a campaign calls."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from bench._campaign import Meter, numbers
from bench._dialer import no_demand_for
from bench.pacing import on_off
from calls.numbers import parse_destination


def test_demand_comes_and_goes_and_comes_again() -> None:
    phases = (1.0, 0.5, 0.25, 0.25)
    assert [no_demand_for(phases, at) for at in (0.0, 0.9, 1.6, 2.1)] == [0.0] * 4
    assert no_demand_for(phases, 1.2) == pytest.approx(0.3)
    assert no_demand_for(phases, 1.9) == pytest.approx(0.1)
    assert no_demand_for(phases, 2 * 10 + 1.2) == pytest.approx(0.3)


def test_demand_that_never_goes() -> None:
    assert no_demand_for((1.0,), 123.4) == 0.0


def test_phases_come_from_the_seed() -> None:
    assert on_off(3) == on_off(3) != on_off(4)
    assert len(on_off(3)) % 2 == 0


def test_a_meter_counts_whole_lines_once(tmp_path: Path) -> None:
    log = tmp_path / "a.jsonl"
    log.write_text('{"t":1,"k":"start"}\n{"t":2,"k":"invite"}\n{"t":3,"k":"inv')
    meter = Meter(log)
    assert [meter.invites(), meter.invites()] == [1, 1]
    with log.open("a") as file:
        file.write('ite"}\n{"t":4,"k":"end"}\n')
    assert meter.invites() == 2


def test_every_number_is_called_once_and_has_no_magic_ending() -> None:
    found = list(itertools.islice(numbers("415"), 20_000))
    assert len(set(found)) == len(found)
    assert not [number for number in found if number[-4:].startswith("01")]
    for number in found[:: len(found) // 50]:
        parse_destination(number)  # raises where it may not be dialed
