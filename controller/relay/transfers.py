"""Transfers of this switch's calls that are under way: what becomes of their second legs is told to whoever waits for it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from controller.relay.book import Book, BookClosed

if TYPE_CHECKING:
    from controller.relay.desk import Desk

log = logging.getLogger(__name__)

#: s; between two looks. Nobody waits for a success by this: the answer's own event brings that about.
LOOK_S = 0.5


async def watch(desk: Desk, book: Book) -> None:
    """Until cancelled. A second leg that ends before anybody is put through ends its action, and the agent is told."""
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            for one in await book.open_transfers():
                if one.agent_id is not None:
                    desk.hand_to(one)
                    continue
                if not one.ended:
                    desk.transferring(one.attempt_id)
                    continue
                reason = one.end_reason or one.status or "unknown"
                book.not_transferred(one, reason)
                desk.not_transferred(one.attempt_id, one.name, reason)
        except BookClosed as error:
            log.warning("could not look for transfers: %s", error)
