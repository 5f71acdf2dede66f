"""Transfers of this switch's calls that are under way: what becomes of their second legs is told to whoever waits for it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from uuid import UUID

from controller.relay.book import Book, BookClosed

if TYPE_CHECKING:
    from controller.relay.desk import Desk

log = logging.getLogger(__name__)

#: s; between two looks. Nobody waits for a success by this: the answer's own event brings that about.
LOOK_S = 0.5


async def watch(desk: Desk, book: Book) -> None:
    """Until cancelled. A second leg that ends before anybody is put through ends its action, and the agent is told: both by
    the relay that carries the first one, for another one may look too while that is drained.
    """
    told: set[UUID] = set()  # and perhaps not written yet
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            found = await book.open_transfers()
            told &= {one.command_id for one in found}
            for one in found:
                if one.agent_id is not None:
                    desk.hand_to(one)
                    continue
                if not one.ended:
                    desk.transferring(one.attempt_id)
                    continue
                reason = one.end_reason or one.status or "unknown"
                if one.command_id in told or desk.not_transferred(one.attempt_id, one.name, reason):
                    told.add(one.command_id)
                    book.not_transferred(one, reason)
        except BookClosed as error:
            log.warning("could not look for transfers: %s", error)
