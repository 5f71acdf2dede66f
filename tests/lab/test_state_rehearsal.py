"""Rehearsals of call state: all is well with the rules as they are, and a seed repeats itself."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from lab.rehearse.draw import draw
from lab.rehearse.redis import RehearsalRedis
from lab.rehearse.state.house import Odds
from lab.rehearse.state.world import StateReport, rehearse_state, with_state_faults
from settings import Settings
from trunkline.cli.rehearse import rehearse as command

#: Worse than any network, so that a few calls meet everything.
ODDS = Odds(lost=0.06, twice=0.1, late=0.1, cdr_lost=0.4, cut=0.04, missed=0.03, hung_up=0.08)
#: Seconds; retries come soon, so that no virtual hours go by.
GAPS = {"retry_busy_s": 20, "retry_no_answer_s": 60}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = RehearsalRedis()
    yield server.url
    server.close()


def quick(seed: int, url: str, calls: int = 120) -> StateReport:
    """A small house in which much goes wrong."""
    plan = draw(seed, calls=calls, tenants=3, carriers=1, switches=2, crashes=3, wipes=1)
    settings = Settings.model_validate({"redis_url": url, **GAPS})
    return rehearse_state(with_state_faults(plan, faults=3), url, settings, odds=ODDS)


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_that_must_never_be(url: str, seed: int) -> None:
    told = quick(seed, url)
    assert told.ok, told.as_text()
    assert sum(told.statuses.values()) == told.budget.calls == 120
    assert {what.split()[0] for _, _, what in told.budget.faults} >= {"crash", "wipe", "switch", "link", "postgres"}


def test_a_seed_repeats_itself(url: str) -> None:
    first, again = (quick(4, url, calls=60) for _ in range(2))
    assert first.budget.digest == again.budget.digest
    assert first.statuses == again.statuses
    assert first.budget.digest != quick(5, url, calls=60).budget.digest


def test_the_command_says_it_for_machines() -> None:
    options = ["--state", "--calls", "40", "--tenants", "3", "--carriers", "1", "--switches", "1", "--faults", "1", "--json"]
    done = CliRunner().invoke(command, options)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["ok"]
    assert told["state"]["broken"] == {}
    assert sum(told["state"]["statuses"].values()) == 40
