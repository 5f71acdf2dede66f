"""Commands for live calls: rows written by the API, an agent or the watchdog, carried out here and acknowledged.

A hangup may come before its channel exists. It is kept and carried out at CHANNEL_CREATE, so it is never lost between
the claim and the first ring. A probe is a question: only what is truly still in the overdue state is ended.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from uuid import UUID

import gevent
import psycopg
from redis.exceptions import RedisError

from calls import watch
from calls.evidence import Evidence, State
from controller import commands
from controller.board import Board
from controller.call_actions import CallActions
from controller.esl import EslError
from controller.reconcile import Reconciler
from controller.recording import RecordingWishes
from controller.rounds import Rounds
from controller.wishes import Wishes
from controller.writer import EventWriter
from crashpoint import crash_point
from store import attempts
from store import commands as rows

log = logging.getLogger(__name__)

#: s; open commands are read this often even if no notification came.
SWEEP_S = 2.0
#: Hangups of an operator in one sweep: what others ask for meanwhile waits no longer than for these.
PORTION = 20


class CommandRunner(Rounds):
    """One switch's. Each open row is carried out until it is acknowledged; doing it twice is harmless."""

    def __init__(self, board: Board, reconciler: Reconciler, writer: EventWriter) -> None:
        super().__init__(board.settings, "call_commands", SWEEP_S)
        self._board = board
        self._reconciler = reconciler
        self._writer = writer
        self._wishes: tuple[Wishes, ...] = (RecordingWishes(board), CallActions(board))
        self._after = UUID(int=0)  # the last of an operator's that was looked at

    def round(self) -> None:
        """As a controller on duty with a way to its switch; else nothing."""
        if not (self._board.link.up and self._board.duty.held):
            return
        try:
            self.sweep()
        except (psycopg.Error, RedisError, EslError, OSError) as error:
            log.warning("commands wait", extra={"error": str(error)})

    def concerns(self, payload: str) -> bool:
        return payload.split(" ", 1)[0] in (self._board.settings.switch, "-")

    def sweep(self) -> None:
        """Carries out every open command of this switch; of an operator's, who may end everything at once, a portion, so
        that neither the switch nor its carriers are stormed, and nobody else's waits behind them.
        """
        for kind in self._wishes:
            kind.begin()
        open_rows = rows.list_open(self._board.db, self._board.settings.switch)
        if not open_rows:
            return
        states = attempts.states(self._board.db, [r.attempt_id for r in open_rows])
        many = [row for row in open_rows if row.requested_by == "operator"]
        for row in open_rows:
            if row.requested_by != "operator":
                self._see_to(row, states.get(row.attempt_id))
        # Where the last portion ended: those whose channel is not up yet stay open, and hold up nobody.
        ahead = [row for row in many if row.id > self._after] or many
        for row in ahead[:PORTION]:
            self._after = row.id
            if self._see_to(row, states.get(row.attempt_id)):
                gevent.sleep(1 / self._board.settings.operator_hangups_per_s)
        if len(ahead) > PORTION:
            self._woken.set()

    def _see_to(self, row: rows.Command, state: attempts.AttemptState | None) -> bool:
        """Carries it out if there is anything to do; False: its attempt was over."""
        if state is None or state.state == State.ENDED:
            self._board.kills.pop(row.attempt_id, None)
            self._finish(row, "already ended")
            return False
        try:
            self._carry_out(row, State(state.state))
        except commands.CommandError as error:
            log.error("a command that cannot be carried out", extra={"command": str(row.id), "error": str(error)})
            self._finish(row, f"refused: {error}")
        return True

    def _carry_out(self, row: rows.Command, state: State) -> None:
        if row.verb == "probe":
            self._probe(row, state)
            return
        for kind in self._wishes:
            if row.verb in kind.verbs:
                if (result := kind.carry_out(row)) is not None:
                    self._finish(row, result)
                return
        if row.verb != "hangup":
            raise commands.CommandError(f"verb: {row.verb!r} is not known to this version")
        # Noted first: should the channel come up while the kill is answered "no such channel", it is killed then.
        self._board.kills[row.attempt_id] = row.requested_by
        crash_point("command.noted")
        if self.kill(row.attempt_id, row.requested_by):
            crash_point("command.killed")
            self._board.kills.pop(row.attempt_id, None)
            self._finish(row, "killed")

    def _probe(self, row: rows.Command, state: State) -> None:
        """The watchdog asks: is this attempt really still where its row says, long after it should have moved on?"""
        if self._writer.waits(row.attempt_id):
            return  # what was seen of it is on its way to the row; asked again at the next sweep
        far = self._reconciler.how_far(row.attempt_id)
        comes_to = watch.probed(state, None if far is None else far.state)
        if far is None:
            self._reconciler.now_please()
            self._finish(row, comes_to)
        elif comes_to is watch.Probed.ALIVE:
            self._writer.record(far)
            self._finish(row, comes_to)
        elif self.kill(row.attempt_id, "platform"):
            self._finish(row, "killed")

    def _finish(self, row: rows.Command, result: str) -> None:
        rows.finish(self._board.db, row.id, result, datetime.now(UTC))

    def kill(self, attempt: UUID, who: str) -> bool:
        """Names who asked on the channel itself (its last event tells), then ends it. False: there is no such channel."""
        said, killed = self._board.link.write(
            [commands.uuid_setvar(attempt, "trunkline_hangup_by", who), commands.uuid_kill(attempt, "NORMAL_CLEARING")]
        )
        said.wait()
        return killed.wait().startswith("+OK")

    def on_created(self, attempt: UUID) -> None:
        """CHANNEL_CREATE: a hangup that came too early is due now."""
        if attempt in self._board.kills:
            gevent.spawn(self._kill_early, attempt)

    def _kill_early(self, attempt: UUID) -> None:
        who = self._board.kills.get(attempt)
        if who is None:
            return
        try:
            if self.kill(attempt, who):
                self._board.kills.pop(attempt, None)
        except EslError:
            self._woken.set()

    def on_ended(self, evidence: Evidence) -> None:
        if self._board.kills.pop(evidence.attempt_id, None) is not None:
            self._woken.set()
