"""The worlds of the contract tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from .world import BACKENDS, World, open_world


@pytest.fixture(params=BACKENDS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Run a coroutine function in a fresh world."""

    def runner(body: Callable[[World], Awaitable[None]], **limits: int) -> None:
        async def main() -> None:
            async with open_world(str(request.param), tmp_path, **limits) as world:
                await body(world)

        asyncio.run(main())

    return runner
