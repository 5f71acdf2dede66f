"""An agent asks for a transfer: the same wish as the API's, in the same row, under the agent's own name for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from controller.relay.book import BookClosed
from controller.relay.leg import Leg
from controller.relay.protocol import Transfer
from store.hangup import OtherAction
from store.relay import RelayCall

log = logging.getLogger(__name__)

#: Of one agent at a time.
_MOST = 4


class Asking:
    """One conversation's. ``tell(name, status, reason)``: requested, refused or failed (both with the reason)."""

    def __init__(self, leg: Leg, call: RelayCall, tell: Callable[[str, str, str | None], None]) -> None:
        self._leg = leg
        self._call = call
        self._tell = tell
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, wanted: Transfer) -> None:
        """Never waits."""
        if len(self._tasks) >= _MOST:
            self._tell(wanted.id, "refused", "too_many")
            return
        task = asyncio.create_task(self._ask(wanted), name=f"transfer {self._leg.attempt}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, wanted: Transfer) -> None:
        try:
            # The agent's names are its own: no key of the API's is meant by one.
            asked = await self._leg.parts.book.transfer(self._call, wanted.to, f"agent:{wanted.id}", "agent")
        except OtherAction:
            self._tell(wanted.id, "refused", "other_action")
        except BookClosed as error:
            log.warning("attempt %s: a transfer cannot be asked for: %s", self._leg.attempt, error)
            self._tell(wanted.id, "refused", "unavailable")
        else:
            if asked.failed is not None:  # asked again, by an agent that was connected again
                self._tell(wanted.id, "failed", asked.failed)
                return
            reason = next((one.code for one in asked.findings), asked.kind)
            requested = asked.kind == "requested"
            self._leg.transferring |= requested
            self._tell(wanted.id, "requested" if requested else "refused", None if requested else reason)

    def stop(self) -> None:
        """The call is over; what is on record stands."""
        for task in self._tasks:
            task.cancel()
