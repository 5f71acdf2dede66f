"""Pause and resume of recordings: what was asked for, carried out on the switch in the order in which it was asked.

A wish that comes before the recording has begun stays open, and so do all that were asked after it; the beginning wakes us.
Doing one twice is harmless: the switch only sets a mark, and the row knows whether a pause is open.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from controller import record_commands
from controller.board import Board
from controller.esl_errors import refusal
from store import recordings
from store.commands import Command as Wish
from store.recording_actions import PAUSED, RESUMED, VERBS


def is_for_recording(wish: Wish) -> bool:
    """Whether a wish is of the kind that is carried out here."""
    return wish.verb in VERBS


class RecordingWishes:
    """One switch's."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._waiting: set[UUID] = set()  # attempts of which an earlier wish waits, in this sweep

    def begin(self) -> None:
        """A sweep begins: the oldest wishes come first."""
        self._waiting.clear()

    def carry_out(self, wish: Wish) -> str | None:
        """What came of it; None: it stays open. Raises EslError, ``psycopg.Error``, CommandError."""
        attempt, spool = wish.attempt_id, self._board.settings.recording_spool
        if not spool:
            return "refused: recording_spool is not set beside this switch"
        if attempt in self._waiting:
            return None
        pause = wish.verb == "pause_recording"
        asked_at = datetime.now(UTC)
        build = record_commands.record_mask if pause else record_commands.record_unmask
        (reply,) = self._board.link.write([build(attempt, under=spool)])
        if refusal(reply.wait()):
            self._waiting.add(attempt)
            return None
        if pause:
            recordings.paused(self._board.db, attempt, asked_at)
            return PAUSED
        recordings.resumed(self._board.db, attempt, datetime.now(UTC))
        return RESUMED
