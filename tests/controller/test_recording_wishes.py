"""Pause and resume on the switch: in the order they were asked in, and never lost before the recording begins."""

from __future__ import annotations

import wave
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import gevent
import pytest

from controller import commands, record_commands
from controller.board import Board
from store import commands as rows
from store import recordings
from store.recording_actions import Verb, request_recording
from tests.controller.test_probe import Runner
from tests.controller.test_reconcile import board, claim, dial, due, switch
from tests.store.conftest import World

__all__ = ["board", "switch"]  # fixtures


@pytest.fixture
def spooling(board: Board, tmp_path: Path) -> Board:
    board.settings = board.settings.model_copy(update={"recording_spool": str(tmp_path)})
    return board


def talking(world: World, board: Board) -> UUID:
    accepted = due(world, recording={"start": "answer", "notice": None, "days": 1})
    claim(world, accepted, 10)
    dial(board, accepted, "+12125550121")
    return accepted.attempt_id


def ask(world: World, attempt: UUID, *verbs: Verb) -> None:
    ((call,),) = world.rows("SELECT call_id FROM attempts WHERE id = %s", attempt)
    for verb in verbs:
        asked = request_recording(world.db, world.tenant.id, call, verb, "customer", datetime.now(UTC))
        assert asked.kind == "requested"


def results(world: World, attempt: UUID) -> list[str | None]:
    return [row[0] for row in world.rows("SELECT result FROM call_commands WHERE attempt_id = %s ORDER BY id", attempt)]


def begin(board: Board, attempt: UUID) -> None:
    board.link.call(record_commands.record_start(attempt, under=board.settings.recording_spool))
    recordings.started(board.db, attempt, datetime.now(UTC))


def end(board: Board, attempt: UUID) -> bytes:
    """What was recorded, both sides."""
    gevent.sleep(0.3)
    board.link.call(record_commands.record_stop(attempt, under=board.settings.recording_spool))
    board.link.call(commands.uuid_kill(attempt))
    with wave.open(record_commands.recording_path(attempt, under=board.settings.recording_spool)) as sound:
        return bytes(sound.readframes(sound.getnframes()))


def pauses(world: World, attempt: UUID) -> list[bool]:
    """Of each pause of the row, whether it is over."""
    ((found,),) = world.rows("SELECT pauses FROM recordings WHERE attempt_id = %s", attempt)
    return [one["to"] is not None for one in found]


def test_a_pause_that_comes_before_the_recording_waits_for_it(world: World, spooling: Board) -> None:
    attempt, runner = talking(world, spooling), Runner(spooling)
    ask(world, attempt, "pause_recording")
    runner.sweep()
    assert results(world, attempt) == [None]
    begin(spooling, attempt)
    runner.sweep()
    assert results(world, attempt) == ["paused"]
    assert not any(end(spooling, attempt)[-6400:]), "the callee never stops speaking"
    assert pauses(world, attempt) == [False]


def test_what_was_asked_first_is_done_first_also_when_it_waits(world: World, spooling: Board) -> None:
    attempt, runner = talking(world, spooling), Runner(spooling)
    ask(world, attempt, "pause_recording", "resume_recording", "pause_recording")
    runner.sweep()
    assert results(world, attempt) == [None, None, None]
    begin(spooling, attempt)
    runner.sweep()
    assert results(world, attempt) == ["paused", "resumed", "paused"]
    assert pauses(world, attempt) == [True, False]
    ask(world, attempt, "resume_recording")
    runner.sweep()
    assert any(end(spooling, attempt)[-1600:]), "the callee is to be heard again"


def test_done_twice_it_is_one_pause(world: World, spooling: Board) -> None:
    """The controller was killed before it could write down what it had done."""
    attempt, runner = talking(world, spooling), Runner(spooling)
    begin(spooling, attempt)
    ask(world, attempt, "pause_recording")
    runner.sweep()
    world.execute("UPDATE call_commands SET done_at = NULL, result = NULL WHERE attempt_id = %s", attempt)
    runner.sweep()
    assert (results(world, attempt), pauses(world, attempt)) == (["paused"], [False])
    end(spooling, attempt)


def test_where_nothing_can_be_recorded_the_wish_is_refused_and_the_call_goes_on(world: World, board: Board) -> None:
    attempt, runner = talking(world, board), Runner(board)
    ask(world, attempt, "pause_recording")
    runner.sweep()
    assert results(world, attempt) == ["refused: recording_spool is not set beside this switch"]
    assert board.link.call(commands.uuid_exists(attempt)) == "true"
    board.link.call(commands.uuid_kill(attempt))


def test_a_controller_of_before_recordings_does_not_see_a_wish(world: World, spooling: Board) -> None:
    """It would take it for a hangup. This is all that it reads."""
    attempt = talking(world, spooling)
    begin(spooling, attempt)
    ask(world, attempt, "pause_recording")
    before = "SELECT verb FROM call_commands m WHERE done_at IS NULL AND (switch = %s OR switch IS NULL) AND attempt_id = %s"
    assert world.rows(before, "fs1", attempt) == []
    assert [row.switch for row in rows.list_open(world.db, "fs1") if row.attempt_id == attempt] == ["fs1"]
    assert [row for row in rows.list_open(world.db, "fs2") if row.attempt_id == attempt] == []
    Runner(spooling).sweep()
    assert results(world, attempt) == ["paused"]
    end(spooling, attempt)


def test_a_wish_of_a_later_version_hangs_up_nobody(world: World, board: Board) -> None:
    attempt, runner = talking(world, board), Runner(board)
    ask(world, attempt, "pause_recording")
    world.execute("ALTER TABLE call_commands DROP CONSTRAINT call_commands_verb_check")
    world.execute("UPDATE call_commands SET verb = 'whisper' WHERE attempt_id = %s", attempt)
    runner.sweep()
    assert results(world, attempt) == ["refused: verb: 'whisper' is not known to this version"]
    assert board.link.call(commands.uuid_exists(attempt)) == "true"
    board.link.call(commands.uuid_kill(attempt))
