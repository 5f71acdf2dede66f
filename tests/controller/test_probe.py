"""The watchdog's question at the switch: it ends only what is truly still where its row says."""

from __future__ import annotations

from uuid import UUID

from calls.evidence import Evidence, State
from calls.retry import RetryRules
from controller import commands, esl_replies
from controller.board import Board
from controller.hangups import CommandRunner
from controller.reconcile import Reconciler
from controller.writer import EventWriter
from store import commands as rows
from tests.controller.test_reconcile import RINGS_FOR_EVER, board, claimed, dial, switch
from tests.store.conftest import World, at

__all__ = ["board", "switch"]  # fixtures


class Keeper(EventWriter):
    """Keeps what it is told."""

    def __init__(self, board: Board) -> None:
        super().__init__(board, RetryRules())
        self.seen: list[Evidence] = []

    def record(self, evidence: Evidence) -> None:
        self.seen.append(evidence)


class Runner(CommandRunner):
    def __init__(self, board: Board) -> None:
        self.writer = Keeper(board)
        self.seen = self.writer.seen
        super().__init__(board, Reconciler(board, self.seen.append, self.writer.waits), self.writer)


def ask(world: World, board: Board, attempt: UUID, verb: str = "probe", by: str = "watchdog") -> Runner:
    """One open command, swept once."""
    assert rows.add(world.db, attempt, "fs1", verb, by, {}, now=at(1)) is not None
    runner = Runner(board)
    runner.sweep()
    return runner


def result(world: World, attempt: UUID) -> str | None:
    ((found,),) = world.rows("SELECT result FROM call_commands WHERE attempt_id = %s", attempt)
    return None if found is None else str(found)


def up(board: Board, attempt: UUID) -> bool:
    return esl_replies.exists(board.link.call(commands.uuid_exists(attempt)))


def test_a_conversation_behind_a_row_that_lags_is_told_not_cut(world: World, board: Board) -> None:
    accepted = claimed(world)
    dial(board, accepted)
    runner = ask(world, board, accepted.attempt_id)
    assert [e.state for e in runner.seen] == [State.IN_PROGRESS]
    assert result(world, accepted.attempt_id) == "alive"
    assert up(board, accepted.attempt_id)
    board.link.call(commands.uuid_kill(accepted.attempt_id))


def test_what_is_truly_overdue_is_ended_by_the_platform(world: World, board: Board) -> None:
    accepted = claimed(world)
    dial(board, accepted, RINGS_FOR_EVER, until="Progress")
    world.apply(world.seen(accepted.attempt_id, State.RINGING, 2))
    runner = ask(world, board, accepted.attempt_id)
    assert runner.seen == []
    assert result(world, accepted.attempt_id) == "killed"
    assert not up(board, accepted.attempt_id)


def test_nothing_is_asked_while_something_seen_is_on_its_way(world: World, board: Board) -> None:
    accepted = claimed(world)
    dial(board, accepted, RINGS_FOR_EVER, until="Progress")
    assert rows.add(world.db, accepted.attempt_id, "fs1", "probe", "watchdog", {}, now=at(1)) is not None
    runner = Runner(board)
    EventWriter.record(runner.writer, world.seen(accepted.attempt_id, State.RINGING, 2))
    runner.sweep()
    assert result(world, accepted.attempt_id) is None
    assert up(board, accepted.attempt_id)
    board.link.call(commands.uuid_kill(accepted.attempt_id))


def test_no_channel_is_told(world: World, board: Board) -> None:
    accepted = claimed(world)
    ask(world, board, accepted.attempt_id)
    assert result(world, accepted.attempt_id) == "absent"


def test_a_hangup_before_the_channel_waits_for_it(world: World, board: Board) -> None:
    accepted = claimed(world)
    runner = ask(world, board, accepted.attempt_id, "hangup", "customer")
    assert result(world, accepted.attempt_id) is None
    assert board.kills == {accepted.attempt_id: "customer"}
    dial(board, accepted, RINGS_FOR_EVER, until="Progress")
    runner.sweep()
    assert result(world, accepted.attempt_id) == "killed"
    assert board.kills == {}
    assert not up(board, accepted.attempt_id)
