"""People who call a running stack: the lab carrier's UAC on a loop of its own, used from a test's thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

from lab.carrier.caller import Caller, PlacedCall

T = TypeVar("T")
#: s; of a wait that no healthy house needs.
PATIENCE_S = 30.0


class Callers:
    """`with Callers(("127.0.0.1", 5060)) as callers: callers.call("+49...")`.

    `simulated`: the switch makes the audio up, and the caller needs no RTP. `record_dir`: what callers hear by RTP.
    """

    def __init__(self, to: tuple[str, int], *, simulated: bool, log: Path, record_dir: Path | None = None) -> None:
        self._simulated = simulated
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="callers", daemon=True)
        self._caller = Caller(to, log=log, record_dir=record_dir)

    @property
    def address(self) -> tuple[str, int]:
        """Where their calls come from."""
        return self._caller.address

    def call(self, number: str, from_: str = "+4930123456", *, speech: str = "silent", **more: Any) -> PlacedCall:
        """Calls now."""
        words = f"speech={speech}" if self._simulated else None

        async def place() -> PlacedCall:
            return self._caller.call(number, from_, words=words, speech=speech, **more)

        return self._run(place())

    def cancel(self, call: PlacedCall) -> None:
        self._do(call.cancel)

    def hang_up(self, call: PlacedCall) -> None:
        self._do(call.hang_up)

    def wait_status(self, call: PlacedCall, status: int) -> None:
        self._run(call.until_status(status, PATIENCE_S))

    def wait_ended(self, call: PlacedCall) -> None:
        self._run(call.until_ended(PATIENCE_S))

    def _do(self, action: Callable[[], None]) -> None:
        async def act() -> None:
            action()

        self._run(act())

    def _run(self, work: Coroutine[Any, Any, T] | Awaitable[T]) -> T:
        async def waited() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(waited(), self._loop).result(PATIENCE_S + 5)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._caller.start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._caller.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
