"""Would the tests notice? Each planted bug has to be caught by a promise or an assertion, never by a crash."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from redis import Redis

from budget import scripts
from settings import Settings
from tests.budget.bench import VirtualBench
from tests.budget.drive import client, drive, world_of
from tests.budget.mutants import MUTANTS, Mutant
from tests.budget.world import Broken

#: What the moves find, they find in so many seeds of so many moves; the bug's own comes first.
SEEDS, STEPS = 24, 120
#: Without a bug, where nothing ends it: seeds that find most of the bugs.
SOUND_SEEDS = (0, 1, 3)


def drive_all(redis: Redis, settings: Settings, seeds: Iterable[int]) -> None:
    for seed in seeds:
        drive(world_of(redis, settings), seed, STEPS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_caught(monkeypatch: pytest.MonkeyPatch, redis_url: str, mutant: Mutant) -> None:
    monkeypatch.setattr(scripts, "source", mutant.source())
    if mutant.caught is None:
        redis, settings = client(redis_url)
        with pytest.raises(Broken):
            drive_all(redis, settings, sorted(range(SEEDS), key=lambda seed: seed != mutant.seed))
        redis.close()
    else:
        bench = VirtualBench(redis_url)
        with pytest.raises((AssertionError, pytest.fail.Exception)):  # the latter: pytest.raises of the test itself
            mutant.caught(bench)
        bench.redis.close()


@pytest.mark.parametrize("seed", SOUND_SEEDS)
def test_without_a_bug_the_moves_catch_nothing(redis_url: str, seed: int) -> None:
    redis, settings = client(redis_url)
    drive_all(redis, settings, [seed])
    redis.close()


def test_without_a_bug_the_named_tests_catch_nothing(redis_url: str) -> None:
    redis, _ = client(redis_url)
    for mutant in MUTANTS:
        if mutant.caught is not None:
            mutant.caught(VirtualBench(redis_url))
            redis.flushdb()
    redis.close()


def test_a_bug_that_cannot_be_planted_is_told() -> None:
    with pytest.raises(ValueError, match="holds its text 0 times"):
        Mutant("stale", "push", "no such text", "").source()
