"""Whether this switch is drained: read from Postgres when something says so, and at least once a second.

The claim has the last word (store/sql/attempts.sql): a flag that is a moment old costs a permit that goes back, not a dial.
So it fails closed only where asking for permits would be in vain anyway: before the first look, and when Postgres, without
which nothing can be claimed, has not answered for :data:`UNREAD_S`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import psycopg

from controller.board import Board
from controller.rounds import Rounds
from store import switches

log = logging.getLogger(__name__)

#: s; between two looks, unless woken.
LOOK_S = 1.0
#: s; so long without a look that succeeded, and no permit is asked for.
UNREAD_S = 5.0


class DrainWatch(Rounds):
    """Keeps ``board.drained``. ``on_change`` is called after it has changed."""

    def __init__(self, board: Board, on_change: Callable[[], None]) -> None:
        super().__init__(board.settings, "switches", LOOK_S)
        self._board = board
        self._on_change = on_change
        self._read_at = time.monotonic()
        board.drained = True

    def round(self) -> None:
        """One look."""
        name = self._board.settings.switch
        try:
            drained = switches.drained(self._board.db, name)
        except (psycopg.Error, OSError) as error:
            if self._board.drained or time.monotonic() - self._read_at < UNREAD_S:
                return
            drained = True
            log.warning("nobody says whether the switch is drained: no permits", extra={"switch": name, "error": str(error)})
        else:
            self._read_at = time.monotonic()
        if drained != self._board.drained:
            log.info("drained" if drained else "in service", extra={"switch": name})
            self._board.drained = drained
            self._on_change()
