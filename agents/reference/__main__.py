"""``python -m agents.reference --listen 127.0.0.1:8766``: one WebSocket per call, until SIGTERM or SIGINT.

With TRUNKLINE_AGENT_SECRET (two, while one replaces another, with a comma between) it lets in only who brings a token.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from agents.reference.talk import Talk
from calls.agent_token import Door, TokenRefused

log = logging.getLogger("agents.reference")

_SUBPROTOCOL = Subprotocol("trunkline.agent.v1")
_MAX_MESSAGE = 1 << 20
#: s; to hand in results when it is told to end.
_LAST_S = 1.0


@asynccontextmanager
async def listening(
    host: str, port: int, runtime_base: str | None = None, secrets: Sequence[str] = ()
) -> AsyncIterator[int]:
    """A reference agent inside the block; gives the port (0 takes a free one). Raises ``OSError`` when it is taken.

    ``runtime_base``: where it asks for its configuration and hands in results; None: nowhere. ``secrets``: whose tokens it
    takes; none: it asks for no token.
    """
    door = Door(*secrets) if secrets else None
    reports: set[asyncio.Task[None]] = set()

    async def handle(socket: ServerConnection) -> None:
        talk = Talk(socket, runtime_base)
        await talk.serve()
        report = asyncio.create_task(talk.report())
        reports.add(report)
        report.add_done_callback(reports.discard)

    def check(connection: ServerConnection, request: Request) -> Response | None:
        if door is None:
            return None
        try:
            door.enter(request.headers.get("Authorization"), request.headers.get("X-Trunkline-Attempt"), time.time())
        except TokenRefused as error:
            log.warning("refused: %s", error)
            return connection.respond(HTTPStatus.UNAUTHORIZED, f"{error}\n")
        return None

    async with serve(
        handle,
        host,
        port,
        process_request=check,
        subprotocols=[_SUBPROTOCOL],
        compression=None,
        max_size=_MAX_MESSAGE,
        close_timeout=1.0,
    ) as server:
        yield next(iter(server.sockets)).getsockname()[1]
    # What is on its way is handed in; where nobody answers, nobody is waited for.
    for report in (await asyncio.wait(reports, timeout=_LAST_S))[1] if reports else ():
        report.cancel()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise argparse.ArgumentTypeError("give HOST:PORT, for example 127.0.0.1:8766")
    return host.strip("[]"), int(port)


def _base(text: str) -> str:
    if re.fullmatch(r"https?://[^\s/?#@]+", text) is None:
        raise argparse.ArgumentTypeError("give https://HOST, without a path")
    return text


async def _run(host: str, port: int, runtime_base: str | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    secrets = [secret for secret in os.environ.get("TRUNKLINE_AGENT_SECRET", "").split(",") if secret]
    async with listening(host, port, runtime_base, secrets) as taken:
        log.info("listening on ws://%s:%d", host, taken)
        await stop.wait()


def main() -> None:
    """The process's entry."""
    parser = argparse.ArgumentParser(prog="python -m agents.reference", description=__doc__)
    parser.add_argument("--listen", type=_address, default=("127.0.0.1", 8766), metavar="HOST:PORT")
    parser.add_argument(
        "--runtime",
        type=_base,
        default=os.environ.get("TRUNKLINE_RUNTIME_URL_BASE") or None,
        metavar="URL",
        help="http(s)://HOST[:PORT] of Trunkline: ask for the configuration and hand in results there",
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    host, port = arguments.listen
    asyncio.run(_run(host, port, arguments.runtime))


if __name__ == "__main__":
    main()
