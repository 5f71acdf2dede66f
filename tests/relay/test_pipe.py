"""The parts of an agent's voice, each by itself: pipes, who removes them, how often they are begun with."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from pathlib import Path
from uuid import uuid4

import pytest

from controller.relay.audio import AudioFiles
from controller.relay.patience import AGAIN_S, BURST, RATE, REFUSED_S, Patience
from controller.relay.permission import denied, question
from controller.relay.pipe import Pipe
from tests.relay.house import a_relay, house, run, until


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


def test_what_a_relay_leaves_that_dies_while_it_drains_is_removed_too(tmp_path: Path) -> None:
    old, new = AudioFiles(tmp_path, "fs1"), AudioFiles(tmp_path, "fs1")
    old.open()
    left = old.pipe(uuid4())
    old.mark_draining()
    assert new.open() == 0, "it is at work"
    ours = new.pipe(uuid4())
    assert new.sweep() is None
    os.utime(new.directory / "draining", (0, 0))  # it has not said so for long
    assert new.sweep() == 1
    assert (left.exists(), ours.exists()) == (False, True)


def test_a_relay_clears_up_after_an_earlier_one_as_soon_as_that_one_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.relay.run.MARK_S", 0.02)

    async def scenario() -> None:
        async with house(tmp_path, own_relay=False) as h:
            old = AudioFiles(h.settings.relay_audio_dir, h.settings.switch)
            old.open()
            left = old.pipe(uuid4())
            old.mark_draining()
            async with a_relay(h) as relay:
                assert left.exists()
                os.utime(old.directory / "draining", (0, 0))
                await until(lambda: not left.exists(), "it is removed")
                assert not any(task.done() for task in relay.tasks)

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
    path.unlink()
    assert pipe.open() is None, "whoever has removed it"
    assert pipe.take_back() == b""


def test_a_pipe_that_is_full_takes_no_more(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    os.mkfifo(path)
    pipe = Pipe(path)
    pipe.keep()
    end = pipe.open()
    assert end is not None
    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 8192)  # as the kernel gives users of very many
    assert pipe.write(end, b"a" * 16_000) == 8192
    assert pipe.write(end, b"a" * 320) == 0
    assert pipe.unread(end) == 8192
    pipe.let_go()


def test_turns_are_few_whatever_happens_and_a_refusal_has_its_end() -> None:
    patience = Patience()
    asked = sum(patience.allows(now / 10) for now in range(36_000))
    assert asked <= BURST + 3600 * RATE
    assert (patience.tires(), patience.tires()) == (True, False), "said once"
    assert not patience.over(3600.0)
    assert patience.refused(3600.0) == AGAIN_S
    assert not patience.over(3600.0 + REFUSED_S / 2)
    assert patience.refused(3600.0 + REFUSED_S) > AGAIN_S
    assert patience.over(3600.0 + REFUSED_S)
    patience.taken()
    assert not patience.over(3610.0)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("-ERR Cannot locate session!\n", None),
        ("-ERR permission denied", "-ERR permission denied"),
        ("-ERR uuid_displace Command not found!\n", "-ERR uuid_displace Command not found!"),
        ("", "no reply"),
    ],
)
def test_a_switch_is_asked_at_once_whether_agents_may_be_heard(said: str, why: str | None) -> None:
    assert denied(said) == why
    assert b"uuid_displace 00000000-" in question("/dev/shm/trunkline/fs1/").wire
