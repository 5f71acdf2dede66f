"""The way to an agent: one WebSocket per call, to the judged address only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import cast
from uuid import UUID

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from controller.relay.fair import FairConnection
from controller.relay.guard import AddressRefused, judge
from controller.relay.protocol import MAX_MESSAGE_BYTES
from controller.relay.trust import agent_tls
from settings import Settings

log = logging.getLogger(__name__)

#: s; while the phone rings there is time to try again.
_RETRY_S = 0.25
#: s; an agent that does not answer a ping for this long is dead. The socket itself may say so only after minutes.
_PING_EVERY_S = 5.0
_PING_WAIT_S = 10.0


#: The headers of one connection; made anew for each try.
Headers = Callable[[], Mapping[str, str]]


class AgentFailed(Exception):
    """The call has no agent (any more). ``reason`` is one of the end reasons of docs/agent-protocol.md."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _Connect(connect):
    """A redirect would lead past the guard: it is an answer like any other that is not 101."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def reach(
    url: str, *, attempt: UUID, headers: Headers, subprotocols: Sequence[Subprotocol], timeout_s: float, settings: Settings,
    ours: bool = False, on_trouble: Callable[[str], None] | None = None,
) -> FairConnection:  # fmt: skip
    """Connect to the agent, trying again within ``timeout_s``. Raises :class:`AgentFailed`.

    ``ours``: a worker of our own, on a private network; one that answers with a status is not asked twice, there are others.
    ``on_trouble`` is told why the first try failed that another one follows: a callee may be gone before the last has.
    An agent that answers with an HTTP status below 500 has made up its
    mind and is not asked twice.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    told = False
    while True:
        try:
            return await _once(url, headers(), subprotocols, settings, max(0.01, deadline - loop.time()), ours)
        except AddressRefused as error:
            raise AgentFailed("agent_address_refused", str(error)) from error
        except InvalidStatus as error:
            status = error.response.status_code
            if status < 500:
                raise AgentFailed("agent_refused", f"the agent answered HTTP {status}") from error
            problem = f"the agent answered HTTP {status}"
            if ours:
                raise AgentFailed("agent_unreachable", problem) from error
        except (OSError, WebSocketException) as error:  # TimeoutError is an OSError
            kind = "no WebSocket" if isinstance(error, InvalidHandshake) else "cannot connect"
            problem = f"{kind}: {error or type(error).__name__}"
        if loop.time() + _RETRY_S >= deadline:
            raise AgentFailed("agent_unreachable", problem)
        if on_trouble is not None and not told:
            told = True
            on_trouble(problem)
        log.info("attempt %s: agent: %s; trying again", attempt, problem)
        await asyncio.sleep(_RETRY_S)


async def _once(
    url: str, headers: Mapping[str, str], subprotocols: Sequence[Subprotocol], settings: Settings, left_s: float, ours: bool
) -> FairConnection:
    loop = asyncio.get_running_loop()
    began = loop.time()
    target = await judge(url, allow_private=ours or settings.agent_allow_private, timeout_s=left_s)
    made = await _Connect(
        target.url,
        host=target.host,
        port=target.port,
        ssl=agent_tls(settings) if target.secure else None,
        proxy=None,  # a proxy would connect wherever it is told
        create_connection=FairConnection,
        subprotocols=subprotocols or None,
        additional_headers=headers,
        user_agent_header="Trunkline",
        compression=None,
        open_timeout=max(0.01, left_s - (loop.time() - began)),
        ping_interval=_PING_EVERY_S,
        ping_timeout=_PING_WAIT_S,
        close_timeout=1.0,
        max_size=MAX_MESSAGE_BYTES,
    )
    return cast(FairConnection, made)
