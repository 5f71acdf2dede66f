"""What both command lines share: the event loop, the ready line, a clean end on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable


def parse_address(text: str) -> tuple[str, int]:
    """`127.0.0.1:5090` -> (host, port); raises ValueError naming what is wrong."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not host:
        raise ValueError(f"expected HOST:PORT, got {text!r}")
    return host, int(port)


def announce(**facts: object) -> None:
    """One JSON line on stdout, `ready` first: the parent reads the ports from it."""
    sys.stdout.write(json.dumps({"ready": True, "pid": os.getpid(), **facts}) + "\n")
    sys.stdout.flush()


async def until_signal() -> None:
    """Return at SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run on uvloop where it is installed."""

    async def body() -> None:
        await main()

    factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(body())
