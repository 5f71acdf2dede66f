"""A worker: one process, one call. A second connection is refused with 503; after the call the process is over.

It keeps nothing between calls, because there is no second one. With a keeper it asks before it takes a call whether the seat
is this call's; it goes on talking when the keeper dies, and is over after that call.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import cast
from uuid import UUID

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from agents.fleet.confine import give_up

Agent = Callable[[ServerConnection], Awaitable[None]]

log = logging.getLogger("agents.worker")

_SUBPROTOCOL = Subprotocol("trunkline.agent.v1")
_MAX_MESSAGE = 1 << 20
#: s; between two words to the keeper.
ALIVE_S = 1.0
#: s; for the keeper's answer, unless said otherwise: a call does not wait longer for the books. Far less than the relay
#: gives a seat.
ASK_S = 0.5
#: s; from the handshake's beginning to its end.
_HANDSHAKE_S = 5.0


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is told when it starts. ``port`` 0 takes a free one; ``keeper``: its socket's path, "": there is none.
    ``seats``: a call says by X-Trunkline-Attempt which it is. ``user``: whose process one that is started anew is to be.
    ``ask_s``: how long it waits for each answer of the keeper's.
    """

    worker: str
    agent: str
    host: str
    port: int
    keeper: str = ""
    seats: bool = True
    user: str = ""
    ask_s: float = ASK_S

    def text(self) -> str:
        return json.dumps(asdict(self))


def load(name: str) -> Agent:
    """The agent ``module:function``. Raises ``ValueError`` that says what is wrong with the name."""
    module, colon, function = name.partition(":")
    if not colon:
        raise ValueError(f"agent: {name!r}: give module:function, an async function that takes a WebSocket connection")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"agent: {name!r}: {error}") from error
    return cast(Agent, found)


def _ours_if_offered(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return _SUBPROTOCOL if _SUBPROTOCOL in offered else None


class Worker:
    """Serves until its one call is over, or until it is told to stop before it has one."""

    def __init__(self, orders: Orders, agent: Agent) -> None:
        self._orders = orders
        self._agent = agent
        self._taken = False
        self._begun = asyncio.Event()
        self._over = asyncio.Event()
        self._question: dict[str, object] = {}  # the attempt and the number of what the keeper is asked
        self._number = 0
        self._answers: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self._keeper: asyncio.StreamWriter | None = None
        self._failed = False

    async def run(self) -> int:
        """Returns the exit code: 1 when the agent failed. Raises ``OSError`` when the port cannot be had."""
        orders, loop = self._orders, asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._over.set)
        async with serve(
            self._serve, orders.host, orders.port, process_request=self._admit, select_subprotocol=_ours_if_offered,
            compression=None, max_size=_MAX_MESSAGE, close_timeout=1.0, open_timeout=_HANDSHAKE_S + 2 * orders.ask_s,
        ) as server:  # fmt: skip
            port = next(iter(server.sockets)).getsockname()[1]
            tasks = []
            if orders.keeper:
                reader, self._keeper = await asyncio.open_unix_connection(orders.keeper)
                self._tell({"worker": orders.worker, "pid": os.getpid(), "port": port})
                tasks = [asyncio.create_task(self._listen(reader)), asyncio.create_task(self._live())]
            else:
                log.info("listening on ws://%s:%d", orders.host, port)
            await self._over.wait()
            for task in tasks:
                task.cancel()
        return 1 if self._failed else 0

    # --- the one call --------------------------------------------------------------------------------------------

    async def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        """Before the handshake: whether this connection is the call."""
        if request.path == "/healthz":
            return socket.respond(503 if self._taken else 200, "taken\n" if self._taken else "free\n")
        if self._taken:
            return socket.respond(503, "This worker has its call.\n")
        try:
            attempt = str(UUID(request.headers.get("X-Trunkline-Attempt", "")))
        except ValueError:
            attempt = ""
        if not attempt and self._orders.seats:
            return socket.respond(400, "X-Trunkline-Attempt: say which call this is.\n")
        self._taken = True
        if (refused := await self._refused(attempt, request.headers.get("Authorization"))) is not None:
            self._taken = False
            return socket.respond(*refused)
        asyncio.get_running_loop().call_later(_HANDSHAKE_S, self._unless_begun)
        return None

    def _unless_begun(self) -> None:
        if not self._begun.is_set():
            log.warning("the handshake was not finished")
            self._over.set()

    async def _serve(self, socket: ServerConnection) -> None:
        self._begun.set()
        over = asyncio.create_task(self._over.wait())
        call = asyncio.ensure_future(self._agent(socket))
        try:
            await asyncio.wait([call, over], return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                await socket.close(1012, "the worker stops")
                await asyncio.wait([call], timeout=1.0)
            if call.done() and not call.cancelled() and (error := call.exception()) is not None:
                self._failed = True
                log.error("the agent failed", exc_info=error)
                await socket.close(1011, "the agent failed")
        finally:
            over.cancel()
            call.cancel()
            await socket.close()
            self._over.set()

    # --- the keeper ----------------------------------------------------------------------------------------------

    async def _refused(self, attempt: str, token: str | None) -> tuple[int, str] | None:
        """Status and text by which the keeper sends the connection away. Who it is must be known; whose the seat is may be
        answered too late: then it is taken, for the worker itself takes one call only, and the keeper is told which.
        """
        if not self._orders.keeper:
            return None
        self._number += 1
        self._question = {"attempt": attempt, "number": self._number}
        self._tell({"take": attempt, "number": self._number, "token": token})
        try:
            async with asyncio.timeout(self._orders.ask_s):
                if self._keeper is None or not await self._answered("checked"):
                    return 401, "The token of this connection is not good.\n"
        except TimeoutError:
            self._tell({"left": attempt, "number": self._number})
            return 503, "It cannot be verified who you are.\n"
        with suppress(TimeoutError):
            async with asyncio.timeout(self._orders.ask_s):
                if not await self._answered("yours"):
                    return 503, "This seat is another call's.\n"
        self._tell({"took": attempt})
        return None

    async def _answered(self, what: str) -> bool:
        """The answer to the question that is open. What comes too late for another one is nobody's."""
        while True:
            answer = await self._answers.get()
            if what in answer and answer | self._question == answer:
                return answer[what] is True

    def _tell(self, message: dict[str, object]) -> None:
        if self._keeper is not None:
            self._keeper.write(json.dumps(message).encode() + b"\n")

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(ALIVE_S)
            self._tell({"alive": True})

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while line := await reader.readline():
                self._answers.put_nowait(json.loads(line))
        self._keeper = None
        self._answers.put_nowait({"checked": False, "yours": True} | self._question)
        if not self._taken:
            self._over.set()  # nobody would send a call


def work(orders: Orders, agent: Agent) -> int:
    """The life of a worker process; returns its exit code."""
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s %(levelname)s %(name)s {orders.worker} %(message)s")
    logging.getLogger("websockets").setLevel(logging.WARNING)  # it would tell of every look at /healthz
    try:
        return asyncio.run(Worker(orders, agent).run())
    except OSError as error:
        log.error("cannot serve: %s", error)
        return 2


def main() -> int:
    """``python -m agents.fleet.worker ORDERS``: a process of its own."""
    orders = Orders(**json.loads(sys.argv[1]))
    try:
        give_up(orders.user)
        return work(orders, load(orders.agent))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
