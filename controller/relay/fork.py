"""The WebSocket server that mod_audio_fork connects to: ``ws://<loopback>/fork/<attempt>``, one socket per call."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from uuid import UUID

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from controller.relay.earpiece import MAX_FRAME, MediaConnection

#: What the module offers, unless its environment names another.
SUBPROTOCOL = Subprotocol("audio.drachtio.org")

_PATH = re.compile(r"/fork/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")


def attempt_in(path: str) -> UUID | None:
    """The attempt a path names, or None."""
    found = _PATH.fullmatch(path)
    return None if found is None else UUID(found[1])


def _check(connection: ServerConnection, request: Request) -> Response | None:
    if attempt_in(request.path) is None:
        return connection.respond(HTTPStatus.NOT_FOUND, "give /fork/<attempt>\n")
    return None


def _choose(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


async def listen(on_fork: Callable[[UUID, MediaConnection], Awaitable[None]], host: str, port: int) -> Server:
    """Listen for media sockets; ``on_fork`` serves each to its end. Port 0 takes a free one.

    Raises ``OSError`` when the port is taken.
    """

    async def handle(fork: ServerConnection) -> None:
        attempt = attempt_in(fork.request.path) if fork.request is not None else None
        if attempt is not None and isinstance(fork, MediaConnection):
            await on_fork(attempt, fork)

    return await serve(
        handle,
        host,
        port,
        process_request=_check,
        select_subprotocol=_choose,
        create_connection=MediaConnection,
        compression=None,
        ping_interval=None,  # loopback; the module's own end is the switch's
        close_timeout=1.0,
        max_size=MAX_FRAME,
        server_header=None,
    )
