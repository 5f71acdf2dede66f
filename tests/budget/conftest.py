"""The bench of every test in this room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.budget.bench import Bench, VirtualBench


@pytest.fixture
def bench(redis_url: str) -> Iterator[Bench]:
    made = Bench(redis_url)
    yield made
    made.redis.close()


@pytest.fixture
def virtual(redis_url: str) -> Iterator[VirtualBench]:
    """On a clock of its own."""
    made = VirtualBench(redis_url)
    yield made
    made.redis.close()
