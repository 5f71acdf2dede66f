"""The agent's voice on its way through a pipe: nobody holds it, nothing is lost, whatever happens to either side."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Any
from uuid import uuid4

from agents.reference.sound import tone
from controller.relay.audio import AudioFiles
from controller.relay.pipe import Pipe
from tests.relay.house import ScriptedAgent, house, run, until, without_pauses


def writers(directory: Path) -> int:
    """How often this process, in which the switch only reads, has a pipe of that directory open for writing."""
    count = 0
    for fd in Path("/proc/self/fd").iterdir():
        try:
            if Path(os.readlink(fd)).parent == directory:
                flags = (Path("/proc/self/fdinfo") / fd.name).read_text().partition("flags:")[2].split()[0]
                count += int(flags, 8) & os.O_ACCMODE != os.O_RDONLY
        except FileNotFoundError:
            continue
    return count


def test_a_pipe_is_for_the_switch_to_read_and_goes_with_the_files(tmp_path: Path) -> None:
    files, attempt = AudioFiles(tmp_path / "audio", "fs1"), uuid4()
    files.open()
    path = files.pipe(attempt)
    assert path.parent == tmp_path / "audio" / "fs1"
    mode = path.stat().st_mode
    assert stat.S_ISFIFO(mode)
    assert stat.S_IMODE(mode) == 0o644
    assert files.pipe(attempt) != path
    files.remove_all(attempt)
    assert list(files.directory.iterdir()) == []


def test_a_switch_that_waits_for_a_relay_that_died_waits_no_more_when_there_is_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        files = AudioFiles(tmp_path, "fs1")
        files.open()
        path, same = files.pipe(uuid4()), tmp_path / "same"
        os.link(path, same)
        waiting = asyncio.create_task(asyncio.to_thread(os.open, same, os.O_RDONLY))  # as a thread of the switch
        while not waiting.done():  # it may be slow to come to its wait
            assert AudioFiles(tmp_path, "fs1").open() == 1
            os.link(same, path)
            await asyncio.sleep(0.01)
        os.close(await waiting)

    run(scenario())


def test_what_is_in_a_pipe_can_be_counted_and_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    os.mkfifo(path)
    pipe = Pipe(path)
    assert pipe.open() is None, "nobody reads it"
    pipe.keep()
    switch = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    pipe.let_go()
    end = pipe.open()
    assert end is not None
    os.write(end, b"a" * 640)
    assert os.read(switch, 320) == b"a" * 320
    assert pipe.unread(end) == 320
    pipe.close(end)
    assert pipe.take_back() == b"a" * 320
    assert pipe.take_back() == b""
    assert os.read(switch, 320) == b"", "to the switch it is at its end"
    os.close(switch)
    assert pipe.open() is None


def test_nobody_holds_the_pipe_and_a_relay_that_stands_still_costs_the_callee_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0121", agent.url)  # says 440 Hz
            call = await agent.call()
            await call.send("ready")
            await call.expect("answered")
            said = tone(700, 3000)
            await call.say(said)
            await call.send("mark", name="end")
            await until(lambda: said[:3200] in h.heard(attempt), "the agent speaks")
            assert writers(h.relay.files.directory) == 0
            talk: Any = h.relay.desk._sessions[attempt].talk
            voice = talk._downlink._voice
            h.relay.desk._parts.beat.leave(voice)  # looked at no more, as when the process is stopped
            await until(lambda: h.phones[attempt].displaced == {}, "for the switch the pipe is at its end")
            before = len(call.audio)
            await until(lambda: len(call.audio) > before + 25, "the callee is heard all the same")
            assert call.seen("mark") == []
            h.relay.desk._parts.beat.join(voice)
            assert (await call.expect("mark"))["played"] is True
            assert without_pauses(h.heard(attempt)) == said, "each piece once, in order"
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)
            await until(lambda: h.relay.files.count == 0, "no file is left")

    run(scenario())


def test_a_switch_that_refuses_is_asked_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0122", agent.url)
            call = await agent.call()
            await call.send("ready")
            await call.expect("answered")
            phone = h.phones[attempt]
            phone.has_media = False
            said = tone(700, 400)
            await call.say(said)
            await call.send("mark", name="end")
            await until(lambda: sum("uuid_displace" in asked for asked in h.asked) >= 2, "it is asked again")
            assert call.seen("mark") == []
            phone.has_media = True
            assert (await call.expect("mark"))["played"] is True
            assert without_pauses(h.heard(attempt)) == said
            assert writers(h.relay.files.directory) == 0
            phone.hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())
