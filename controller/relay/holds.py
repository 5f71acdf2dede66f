"""Holds and resumes of this switch's calls that are on record: the relay that carries the call hears of them here."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from controller.relay.book import Book, BookClosed

if TYPE_CHECKING:
    from controller.relay.desk import Desk

log = logging.getLogger(__name__)

#: s; between two looks. What an agent asks for does not wait for one.
LOOK_S = 0.25


async def watch(desk: Desk, book: Book) -> None:
    """Until cancelled."""
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            for wish in await book.open_holds():
                desk.hold(wish)
        except BookClosed as error:
            log.warning("could not look for holds: %s", error)
