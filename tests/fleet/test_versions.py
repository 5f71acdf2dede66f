"""One version after the other, one host after the other: no call is lost by it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.fleet.house import ROOT, Call, Fleet, reach, wait_for

Start, Caller = Callable[..., Fleet], Callable[[], Call]
BOT = 'async def answer(socket):\n    await socket.send("{}")\n    await socket.wait_closed()\n'


def what_answers(call: Caller) -> str:
    """The word of the version that has the next call."""
    ours = call()
    socket = reach(ours.url, ours.id, ours.token())
    said = str(socket.recv(timeout=30))
    socket.close()
    ours.end()
    return said


def test_sighup_loads_the_new_version_and_keeps_the_old_one_where_it_cannot(
    fleet: Start, call: Caller, tmp_path: Path
) -> None:
    program = tmp_path / "somebodys_bot.py"
    program.write_text(BOT.format("one"))
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    house = fleet(
        "--agent", "somebodys_bot:answer", workers=1, before=["env", f"PYTHONPATH={path}", "PYTHONDONTWRITEBYTECODE=1"]
    )
    house.await_free(1)
    assert what_answers(call) == "one"
    house.await_free(1)
    program.write_text("no python")
    house.signal(signal.SIGHUP)
    wait_for(lambda: "cannot be loaded" in house.log.read_text(), "it does not say why")
    assert what_answers(call) == "one"
    house.await_free(1)
    program.write_text(BOT.format("two"))
    house.signal(signal.SIGHUP)
    wait_for(lambda: "every worker is a new one" in house.log.read_text(), "it never came to its end")
    house.await_free(1)
    assert what_answers(call) == "two"


def test_what_is_dear_to_make_is_made_once(tmp_path: Path) -> None:
    """Before any worker is asked for."""
    program = tmp_path / "dear_bot.py"
    program.write_text(BOT.format("one") + f'\n\ndef prepare():\n    open("{tmp_path}/made", "a").write("once")\n')
    done = subprocess.run(
        [sys.executable, "-m", "agents.fleet.nursery", "dear_bot:answer", ""], input=b"", cwd=ROOT, check=True,
        capture_output=True, env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
    )  # fmt: skip
    assert done.stdout == b"ready\n"
    assert (tmp_path / "made").read_text() == "once"


def test_a_host_is_drained_and_the_others_take_the_calls(fleet: Start, call: Caller) -> None:
    first = fleet(workers=1)
    first.await_free(1)
    ours = call()
    ours.talk()
    second = fleet(workers=2, name="h2")
    second.await_free(2)
    first.signal(signal.SIGTERM)
    wait_for(lambda: first.seat("h1-0").get("leaving") == "1", "it does not leave")
    others = [call(), call()]
    assert {one.seat for one in others} == {"h2-0", "h2-1"}
    assert ours.socket is not None
    ours.socket.send('{"event": "dtmf", "digit": "1"}')
    assert ours.heard() == "mark", "its call goes on"
    assert first.process.poll() is None
    ours.end()
    assert first.process.wait(timeout=30) == 0
    for one in others:
        one.end()
    second.await_free(2)
    assert second.now().there == 2
