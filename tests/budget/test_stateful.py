"""The scripts against a model, by Hypothesis. ``TRUNKLINE_LONG=1`` looks for much longer."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis import Redis

from settings import Settings
from tests.budget.drive import client, world_of
from tests.budget.house_moves import MOVES
from tests.budget.moves import Chooser
from tests.budget.world import World

T = TypeVar("T")
LONG = bool(os.environ.get("TRUNKLINE_LONG"))


class Machine(RuleBasedStateMachine):
    """A world of its own for each example."""

    redis: Redis
    settings: Settings

    def __init__(self) -> None:
        super().__init__()
        self.world: World = world_of(self.redis, self.settings)

    @invariant()
    def holds(self) -> None:
        self.world.check()


def drawn(data: st.DataObject) -> Chooser:
    def choose(options: Sequence[T]) -> T:
        return data.draw(st.sampled_from(list(options)))

    return choose


def rule_of(move: Callable[[World, Chooser], None]) -> Any:
    def step(self: Machine, data: st.DataObject) -> None:
        move(self.world, drawn(data))

    step.__name__ = move.__name__
    return rule(data=st.data())(step)


for _move, _often in MOVES.items():
    for _n in range(min(4, 1 + _often // 6)):  # what happens often is more than one rule
        setattr(Machine, f"{_move.__name__}_{_n}", rule_of(_move))


def test_whatever_happens_the_promises_hold(redis_url: str) -> None:
    Machine.redis, Machine.settings = client(redis_url)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=2000 if LONG else 40,
            stateful_step_count=120 if LONG else 50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=not LONG,
            print_blob=True,
        ),
    )
    Machine.redis.close()
