"""Keys and files on the switch: each once, in order, by whoever is on duty, and not when it is too late."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from calls.evidence import State
from controller import commands
from controller.board import Board
from lab.audio import pcm
from lab.host import LabSwitch
from store import commands as rows
from store.call_actions import WAITING, Verb, request_action
from tests.controller.test_probe import Runner
from tests.controller.test_reconcile import board, claim, dial, due, switch
from tests.store.conftest import World
from tests.system.switch_words import ask_at

__all__ = ["board", "switch"]  # fixtures


def talking(world: World, board: Board) -> UUID:
    accepted = due(world)
    claim(world, accepted, 10)
    dial(board, accepted)
    world.apply(world.seen(accepted.attempt_id, State.IN_PROGRESS, 3))
    return accepted.attempt_id


def ask(world: World, attempt: UUID, verb: Verb = "dtmf", name: str | None = None, **args: Any) -> UUID:
    ((call,),) = world.rows("SELECT call_id FROM attempts WHERE id = %s", attempt)
    asked = request_action(world.db, world.tenant.id, call, verb, args, "customer", datetime.now(UTC), action=name)
    assert asked.kind == "requested"
    assert asked.command_id is not None
    return asked.command_id


def results(world: World, attempt: UUID) -> list[str | None]:
    return [row[0] for row in world.rows("SELECT result FROM call_commands WHERE attempt_id = %s ORDER BY id", attempt)]


def keys(switch: LabSwitch, attempt: UUID) -> str:
    """What was pressed towards the callee."""
    said = ask_at(switch.esl, switch.password, f"lab keys {attempt}")
    assert said.startswith("+OK"), said
    return said.removeprefix("+OK").strip()


def test_keys_are_pressed_once_and_in_order(world: World, board: Board, switch: LabSwitch) -> None:
    attempt, runner = talking(world, board), Runner(board)
    first = ask(world, attempt, name="pin", digits="1w2")
    ask(world, attempt, digits="34#", tone_ms=100)
    assert ask(world, attempt, name="pin", digits="1w2") == first
    runner.sweep()
    runner.sweep()
    assert ask(world, attempt, name="pin", digits="1w2") == first
    runner.sweep()
    assert keys(switch, attempt) == "1w234#"
    assert results(world, attempt) == ["sent", "sent"]
    board.link.call(commands.uuid_kill(attempt))


def test_whoever_takes_over_does_not_press_them_again(
    world: World, board: Board, switch: LabSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The controller before it wrote the keys to the switch, and died before that was on record."""
    attempt, before, after = talking(world, board), Runner(board), Runner(board)
    ask(world, attempt, digits="42")
    ask(world, attempt, digits="7")
    with monkeypatch.context() as dying:
        dying.setattr(rows, "finish", _dies)
        with pytest.raises(KeyboardInterrupt):
            before.sweep()
    assert keys(switch, attempt) == "42"
    assert results(world, attempt) == [None, None]
    after.sweep()
    assert keys(switch, attempt) == "427"
    assert results(world, attempt) == ["sent", "sent"]
    board.link.call(commands.uuid_kill(attempt))


def _dies(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_comes_too_late_is_not_done(world: World, board: Board, switch: LabSwitch) -> None:
    attempt, runner = talking(world, board), Runner(board)
    ask(world, attempt, digits="1")
    world.execute("UPDATE call_commands SET created_at = created_at - interval '11 s' WHERE attempt_id = %s", attempt)
    runner.sweep()
    assert (results(world, attempt), keys(switch, attempt)) == (["too late"], "")
    board.link.call(commands.uuid_kill(attempt))


def test_a_file_is_the_switchs_once_it_was_taken(world: World, board: Board, tmp_path: Path) -> None:
    (tmp_path / "news.wav").write_bytes(pcm.silence(0.5))
    attempt, runner = talking(world, board), Runner(board)
    ask(world, attempt, "play", audio="news.wav")
    runner.sweep()
    assert results(world, attempt) == ["refused: announcement_dir is not set beside this switch"]
    board.settings = board.settings.model_copy(update={"announcement_dir": str(tmp_path)})
    play = ask(world, attempt, "play", audio="news.wav")
    runner.sweep()
    assert rows.list_open(world.db, "fs1") == []
    ((begun, done),) = world.rows("SELECT begun_at, done_at FROM call_commands WHERE id = %s", play)
    assert begun is not None
    assert done is None
    ask(world, attempt, "play", audio="../secret.wav")
    runner.sweep()
    assert str(results(world, attempt)[-1]).startswith("refused: path")
    board.link.call(commands.uuid_kill(attempt))


def test_no_more_wait_than_may(world: World, board: Board) -> None:
    attempt = talking(world, board)
    ((call,),) = world.rows("SELECT call_id FROM attempts WHERE id = %s", attempt)
    for _ in range(WAITING):
        ask(world, attempt, digits="1")
    more = request_action(world.db, world.tenant.id, call, "dtmf", {"digits": "1"}, "customer", datetime.now(UTC))
    assert more.kind == "too_many"
    board.link.call(commands.uuid_kill(attempt))
