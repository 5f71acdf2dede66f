"""Keys and files for the callee, carried out on the switch as they were asked for.

Never twice: in one write with the command a note on the channel says which action it is, so whoever takes over before it is
on record finds the note and does not press the keys again (as the tombstone proves a dial). Not later than FRESH_S after it
was asked either: then it would be a surprise.
"""

from __future__ import annotations

from datetime import UTC, datetime

from controller import commands, esl_replies
from controller.esl_errors import refusal
from controller.frames import text_of
from controller.wishes import Wishes
from store import call_actions
from store.call_actions import FRESH_S, SENT, TAG, TOO_LATE, VERBS
from store.commands import Command as Wish


class CallActions(Wishes):
    """One switch's."""

    verbs = VERBS

    def _refused(self, wish: Wish) -> str | None:
        return TOO_LATE if wish.age_s > FRESH_S else None

    def _do(self, wish: Wish) -> str | None:
        command = self._command(wish)
        asked = self._board.link.write([commands.uuid_dump(wish.attempt_id)])[0].wait()
        if refusal(asked):
            # No such channel: its end is on its way to the row.
            self._wait(wish)
            return None
        channel = esl_replies.dump(asked)
        if text_of(channel, "Channel-State") != "CS_EXECUTE":
            # Answered just now, and on its way to its park, on which what plays is cut off.
            self._wait(wish)
            return None
        if text_of(channel, "variable_trunkline_action") != str(wish.id):
            note = commands.uuid_setvar(wish.attempt_id, "trunkline_action", str(wish.id))
            noted, done = self._board.link.write([note, command])
            noted.wait()
            reply = done.wait()
            if refusal(reply):
                return f"refused: {reply.strip()[:200]}"
        if wish.verb == "dtmf":
            return SENT
        call_actions.begun(self._board.db, wish.id, datetime.now(UTC))
        return None

    def _command(self, wish: Wish) -> commands.Command:
        args = wish.args
        if wish.verb == "dtmf":
            return commands.uuid_send_dtmf(wish.attempt_id, args.get("digits", ""), args.get("tone_ms"))
        directory = self._board.settings.announcement_dir
        if not directory:
            raise commands.CommandError("announcement_dir is not set beside this switch")
        path = f"{directory.rstrip('/')}/{args.get('audio', '')}"
        return commands.playback(wish.attempt_id, path, f"{TAG}{wish.id}", under=[directory])
