"""Pause and resume of recordings, carried out on the switch as they were asked for.

A wish that comes before the recording has begun stays open, and so do all that were asked after it; the beginning wakes us.
Doing one twice is harmless: the switch only sets a mark, and the row knows whether a pause is open.
"""

from __future__ import annotations

from datetime import UTC, datetime

from controller import record_commands
from controller.esl_errors import refusal
from controller.wishes import Wishes
from store import recordings
from store.commands import Command as Wish
from store.recording_actions import PAUSED, RESUMED, VERBS


class RecordingWishes(Wishes):
    """One switch's."""

    verbs = VERBS

    def _refused(self, wish: Wish) -> str | None:  # noqa: ARG002  # all of them or none
        return None if self._board.settings.recording_spool else "refused: recording_spool is not set beside this switch"

    def _do(self, wish: Wish) -> str | None:
        attempt, spool = wish.attempt_id, self._board.settings.recording_spool
        pause = wish.verb == "pause_recording"
        asked_at = datetime.now(UTC)
        build = record_commands.record_mask if pause else record_commands.record_unmask
        (reply,) = self._board.link.write([build(attempt, under=spool)])
        if refusal(reply.wait()):
            self._wait(wish)
            return None
        if pause:
            recordings.paused(self._board.db, attempt, asked_at)
            return PAUSED
        recordings.resumed(self._board.db, attempt, datetime.now(UTC))
        return RESUMED
