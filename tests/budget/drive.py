"""The moves in an order that a seed tells: no search, no shrinking, many steps a second."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from redis import Redis

from budget.connect import connect
from settings import Settings
from tests.budget.house_moves import MOVES
from tests.budget.world import World

T = TypeVar("T")


def client(redis_url: str) -> tuple[Redis, Settings]:
    made = Settings(
        redis_url=redis_url, slot_horizon_ms=400, slot_lead_ms=20, slot_lead_min_ms=5, popped_deadline_s=5, lease_s=6
    )
    return connect(made), made


def world_of(redis: Redis, settings: Settings) -> World:
    world = World(redis, settings)
    world.begin()
    return world


def drive(world: World, seed: int, steps: int) -> list[str]:
    """Raises :class:`~tests.budget.world.Broken` at the first promise that is not kept; returns the moves made."""
    rng = random.Random(seed)

    def choose(options: Sequence[T]) -> T:
        return options[rng.randrange(len(options))]

    moves, often = list(MOVES), list(MOVES.values())
    made: list[str] = []
    for move in rng.choices(moves, often, k=steps):
        made.append(move.__name__)
        try:
            move(world, choose)
            world.check()
        except AssertionError as error:
            error.add_note(f"seed {seed}, step {len(made)}: {' '.join(made[-12:])}")
            raise
    return made
