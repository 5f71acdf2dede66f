"""The bench of every test in this room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.budget.bench import Bench


@pytest.fixture
def bench(redis_url: str) -> Iterator[Bench]:
    made = Bench(redis_url)
    yield made
    made.redis.close()
