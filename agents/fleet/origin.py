"""Where a keeper's workers come from: its nursery (agents/fleet/nursery.py), or each a program start."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from agents.fleet.environment import for_workers
from agents.fleet.nursery import READY
from agents.fleet.worker import Orders

log = logging.getLogger("agents.keeper")

#: s; for an agent to be loaded.
_LOAD_S = 60.0
#: s; between two tries to have a nursery again.
_AGAIN_S = 2.0


class Origin:
    """``generation`` counts how often the agent was loaded. ``on_new``: a nursery was lost, and there is another one."""

    def __init__(self, agent: str, user: str = "", *, divide: bool, on_new: Callable[[], None]) -> None:
        self._agent, self._user = agent, user
        self._divide = divide
        self._on_new = on_new
        self._nursery: Process | None = None
        self._closed = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self.generation = 0

    async def renew(self) -> bool:
        """Load the agent anew; False: it cannot be loaded, and what was loaded before goes on."""
        if not self._divide:
            self.generation += 1
            return True
        nursery = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agents.fleet.nursery", self._agent, self._user, stdin=PIPE, stdout=PIPE,
            env=for_workers(os.environ),
        )  # fmt: skip
        assert nursery.stdout is not None
        try:
            async with asyncio.timeout(_LOAD_S):
                ready = await nursery.stdout.readline() == READY
        except TimeoutError:
            ready = False
        if not ready:
            log.error("the agent %s cannot be loaded", self._agent)
            with suppress(ProcessLookupError):
                nursery.kill()
            return False
        self._let_go()
        self._nursery = nursery
        self.generation += 1
        self._follow(asyncio.create_task(self._watch(nursery)))
        return True

    def start(self, orders: Orders) -> None:
        """A worker; it says itself that it is there."""
        if not self._divide:
            self._follow(asyncio.create_task(self._start_afresh(orders)))
        elif self._nursery is not None and self._nursery.stdin is not None:
            self._nursery.stdin.write(orders.text().encode() + b"\n")

    def close(self) -> None:
        """No more workers; those that are there go on."""
        self._closed = True
        self._let_go()
        for task in self._tasks:
            task.cancel()

    def _let_go(self) -> None:
        old, self._nursery = self._nursery, None
        if old is not None and old.stdin is not None:
            old.stdin.close()

    async def _watch(self, nursery: Process) -> None:
        """One that was killed is replaced; its workers go on."""
        await nursery.wait()
        if nursery is not self._nursery or self._closed:
            return
        log.error("the nursery is gone: another one")
        self._nursery = None
        while not self._closed and not await self.renew():
            await asyncio.sleep(_AGAIN_S)
        self._on_new()

    async def _start_afresh(self, orders: Orders) -> None:
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agents.fleet.worker", orders.text(), env=for_workers(os.environ)
        )
        await worker.wait()

    def _follow(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
