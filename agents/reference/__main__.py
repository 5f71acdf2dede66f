"""``python -m agents.reference --listen 127.0.0.1:8766``: one WebSocket per call, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from agents.reference.talk import Talk

log = logging.getLogger("agents.reference")

_SUBPROTOCOL = Subprotocol("trunkline.agent.v1")
_MAX_MESSAGE = 1 << 20


@asynccontextmanager
async def listening(host: str, port: int) -> AsyncIterator[int]:
    """A reference agent inside the block; gives the port (0 takes a free one). Raises ``OSError`` when it is taken."""

    async def handle(socket: ServerConnection) -> None:
        await Talk(socket).serve()

    async with serve(
        handle, host, port, subprotocols=[_SUBPROTOCOL], compression=None, max_size=_MAX_MESSAGE, close_timeout=1.0
    ) as server:
        yield next(iter(server.sockets)).getsockname()[1]


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise argparse.ArgumentTypeError("give HOST:PORT, for example 127.0.0.1:8766")
    return host.strip("[]"), int(port)


async def _run(host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with listening(host, port) as taken:
        log.info("listening on ws://%s:%d", host, taken)
        await stop.wait()


def main() -> None:
    """The process's entry."""
    parser = argparse.ArgumentParser(prog="python -m agents.reference", description=__doc__)
    parser.add_argument("--listen", type=_address, default=("127.0.0.1", 8766), metavar="HOST:PORT")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_run(*arguments.listen))


if __name__ == "__main__":
    main()
