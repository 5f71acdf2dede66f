"""One call in the relay: from the first ring to the hangup.

While the phone rings the agent is connected and told whose call it is. On the answer the switch's media socket (the
fork) brings the callee's audio, and the agent's audio is played. Whatever fails, the call ends with the true reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from websockets.asyncio.server import ServerConnection

from controller.relay.audio import AudioFiles
from controller.relay.book import Book, BookClosed
from controller.relay.switch import Switch, SwitchDown
from settings import Settings
from store.relay import RelayCall

log = logging.getLogger(__name__)

Party = Literal["callee", "agent", "platform"]

#: s; a hangup that was not carried out is asked for again.
_KILL_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the relay is done with a call. ``kill``: the channel is still up and has to go."""

    reason: str
    by: str | None
    kill: bool
    cause: str | None = None  # the switch's hangup cause, once there is one


@dataclass(frozen=True, slots=True)
class Parts:
    """What every call of a relay shares."""

    settings: Settings
    switch: Switch
    files: AudioFiles
    book: Book


class Failed(Exception):
    """The platform could not carry the call on."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class CallSession:
    """What all kinds of agents have in common. :meth:`run` lives as long as the call; the ``on_`` methods never wait.

    ``resumed``: the call was under way before this relay, or this connection to the switch, was.
    """

    def __init__(self, attempt: UUID, parts: Parts, *, resumed: bool = False) -> None:
        self.attempt = attempt
        self.parts = parts
        self.resumed = resumed
        self.answered = asyncio.Event()
        self.answered_at: datetime | None = None
        self._over: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._gone = asyncio.Event()  # the channel is no more
        self._talk: Talk | None = None

    # --- what the switch says ------------------------------------------------------------------------------------

    def on_answer(self, at: datetime) -> None:
        """The callee picked up."""
        if not self.answered.is_set():
            self.answered_at = at
            self.answered.set()

    def on_hangup(self, cause: str | None, by: str | None) -> None:
        """The channel ended. ``by`` as far as it is known."""
        self._gone.set()
        self.end(Ending("hangup" if self.answered.is_set() else "not_answered", by, kill=False, cause=cause))

    # --- the life of the call ------------------------------------------------------------------------------------

    def end(self, ending: Ending) -> None:
        """End the relay's part; the first reason counts."""
        if not self._over.done():
            self._over.set_result(ending)

    async def run(self) -> None:
        """Serve the call to its end and free everything."""
        work = asyncio.create_task(self._work(), name=f"call {self.attempt}")
        ending: Ending | None = None
        try:
            ending = await self._over
            log.info("attempt %s: over: %s by %s", self.attempt, ending.reason, ending.by)
        finally:
            work.cancel()
            await asyncio.wait([work])
            try:
                if ending is not None:
                    await self._finish(ending)
            finally:
                self.parts.files.remove_all(self.attempt)

    async def _work(self) -> None:
        try:
            call = await self._look_up()
            if call is None:
                self.end(Ending("not_ours", None, kill=False))
                return
            self._talk = talk_for(call, self)
            await self._talk.run()
        except Failed as error:
            log.warning("attempt %s: %s: %s", self.attempt, error.reason, error)
            self.note("relay.failed", {"reason": error.reason, "detail": str(error)[:500]})
            self.end(Ending(error.reason, "platform", kill=True))
        except Exception:
            log.exception("attempt %s: the relay failed", self.attempt)
            self.note("relay.failed", {"reason": "relay_fault"})
            self.end(Ending("relay_fault", "platform", kill=True))
