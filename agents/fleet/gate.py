"""Whether it is the relay who connects to a worker: the token of the connection (calls/agent_token.py) is checked by the
keeper.

A worker has no key, for it runs the agent's code. Each token is let in once by a keeper; the platform, which is told its id
with the call, lets it in once at all keepers of a pool.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from calls.agent_token import Door, TokenRefused

log = logging.getLogger("agents.keeper")

#: Of what a worker waits, for a key that is on its way: the platform may send calls as soon as it has heard of the seats.
_KEY = 0.6
#: s; so long after it was told last a key still lets in: calls that began before it was renewed are signed by it.
OVERLAP_S = 120.0
#: s; between two complaints of a pool that there is not.
_COMPLAIN_S = 60.0


class Gate:
    """Of one keeper. ``secrets``: of the agent's owner, where no seats are spoken for; None: the pool's key, which
    :meth:`learn` is told. Without any secret of the owner's nobody is asked for a token, for none is sent. ``ask_s``: how
    long a worker waits for an answer.
    """

    def __init__(
        self, pool: str, secrets: Sequence[str] | None = None, *, ask_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = pool
        self._key_s = _KEY * ask_s
        self._open = secrets is not None and not secrets
        self._door = Door(*(secrets or ()))
        self._clock = clock
        self._told: dict[str, float] = {}  # when each key was told last
        self._learned = asyncio.Event()
        if secrets is not None:
            self._learned.set()
        self._complained_at = -_COMPLAIN_S

    def learn(self, keys: Mapping[str, str | None]) -> None:
        """What the platform says of pools: each one's key, None: there is no such pool. Those it says nothing of stay."""
        if self._pool not in keys:
            return
        key = keys[self._pool]
        now = self._clock()
        if key is not None:
            self._told = {one: at for one, at in self._told.items() if now - at < OVERLAP_S and one != key} | {key: now}
            self._door.secrets = tuple(reversed(self._told))
            self._learned.set()
        elif now - self._complained_at >= _COMPLAIN_S:
            self._complained_at = now
            log.error(
                "pool %s: there is no pool of that name, so no call comes to these seats: give the right --pool, or let an "
                "operator make it (trunkline pools set %s)", self._pool, self._pool,
            )  # fmt: skip

    async def enter(self, authorization: str | None, attempt: str) -> str | None:
        """The id of the connection's token, None: nobody is asked for one. Raises ``TokenRefused``."""
        if self._open:
            return None
        try:
            async with asyncio.timeout(self._key_s):
                await self._learned.wait()
        except TimeoutError:
            raise TokenRefused("token: the platform has not said yet by which key it is to be verified") from None
        return self._door.enter(authorization, attempt, time.time()).id
