"""The agent's voice on its way through a pipe: nobody holds it, nothing is lost, whatever happens to either side."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from agents.reference.sound import tone
from controller.commands import uuid_displace
from tests.relay.house import House, ScriptedAgent, house, run, talking, until, without_pauses


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


def displaces(h: House) -> int:
    """How often the switch was asked to begin with a voice."""
    return sum("uuid_displace" in asked and "nobody.raw" not in asked for asked in h.asked)


def test_words_clears_and_pauses_are_all_one_turn(tmp_path: Path) -> None:
    """The switch keeps 29 kB for each until the hangup."""

    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            for word in range(10):
                said = tone(700 + 40 * word, 2000)
                await call.say(said)
                await until(lambda said=said: said[:3200] in h.heard(attempt), "the word begins")  # type: ignore[misc]
                await call.send("clear")
            await asyncio.sleep(1.5)  # a pause
            await call.say(last := tone(1500, 200))
            await until(lambda: last in h.heard(attempt), "the word behind the pause")
            # A busy machine may come late to a pipe that is through.
            assert displaces(h) <= 3
            assert h.phones[attempt].hungup is False
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_switch_that_refuses_is_asked_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            phone = h.phones[attempt]
            phone.has_media = False
            said = tone(700, 400)
            await call.say(said)
            await call.send("mark", name="end")
            await until(lambda: displaces(h) >= 2, "it is asked again")
            assert call.seen("mark") == []
            phone.has_media = True
            assert (await call.expect("mark"))["played"] is True
            assert without_pauses(h.heard(attempt)) == said
            assert writers(h.relay.files.directory) == 0
            phone.hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


@pytest.mark.parametrize("why", ["refused", "unread"])
def test_an_agent_that_the_switch_will_not_let_be_heard_has_failed_its_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr("controller.relay.patience.REFUSED_S", 0.4)
    monkeypatch.setattr("controller.relay.voice._STILL_S", 0.4)

    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            sorry = Path(h.settings.announcement_dir) / "sorry.r8"
            sorry.write_bytes(tone(900, 400))
            attempt = await h.dial(
                "0122", agent.url, agent={"agent_fallback": {"action": "announcement", "audio": "sorry.r8"}}
            )
            call = await agent.call()
            await call.send("ready")
            await call.expect("answered")
            phone = h.phones[attempt]
            if why == "refused":
                phone.has_media = False
            else:
                h.switch.globals["send_silence_when_idle"] = "0"
            await call.say(tone(700, 400))
            assert (await call.expect("stop"))["reason"] == "voice_refused"
            await until(lambda: tone(900, 400) in h.heard(attempt), "the fallback")
            await h.gone(attempt)
            assert h.book.reason() == "voice_refused"
            assert "relay.fallback" in h.book.types()

    run(scenario())


def test_a_callee_who_holds_the_call_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.relay.voice._STILL_S", 0.1)

    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            phone = h.phones[attempt]
            phone.callstate = "HELD"
            h.switch.globals["send_silence_when_idle"] = "0"
            await call.say(tone(700, 400))
            await until(lambda: sum(f"uuid_dump {attempt}" in asked for asked in h.asked) >= 3, "it is looked")
            assert h.book.reason() is None
            h.switch.globals["send_silence_when_idle"] = "-1"
            h.switch.media.watch(phone)
            await until(lambda: without_pauses(h.heard(attempt)) == tone(700, 400), "the word")
            phone.hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_channel_that_stands_still_keeps_no_other_call_waiting(tmp_path: Path) -> None:
    """As when a relay that writes stands still, and its successor begins with a voice there."""

    async def scenario() -> None:
        async with house(tmp_path, esl_command_timeout_s=0.5) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            path = h.relay.files.pipe(attempt)
            end = os.open(path, os.O_RDWR | os.O_NONBLOCK)
            assert (await h.dialer.ask(uuid_displace(attempt, str(path), under=[str(path.parent)]))).startswith("+OK")
            await call.say(tone(700, 400))
            assert (await call.expect("stop"))["reason"] == "voice_refused"
            assert displaces(h) == 2, "and is not begun with again"
            os.close(end)
            assert h.relay.deeds.up
            other = await h.dial("0122", agent.url)
            second = await agent.call()
            await second.send("ready")
            await second.expect("answered")
            await second.say(tone(700, 400))
            await until(lambda: without_pauses(h.heard(other)) == tone(700, 400), "the other call")
            for phone in h.phones.values():
                phone.hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_pipe_that_a_stranger_reads_is_left_to_him(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            await call.say(tone(700, 200))
            (pipe,) = await until(lambda: list(h.relay.files.directory.glob("*.raw")), "the pipe")
            stranger = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            await until(lambda: tone(700, 200) in h.heard(attempt), "a word")
            for voice in list(h.phones[attempt].displaced.values()):
                voice.stop()
            while os.read(stranger, 1 << 16):
                pass
            await until(lambda: not pipe.exists(), "another turn will have its own pipe")
            await call.say(tone(900, 200))
            await until(lambda: tone(900, 200) in h.heard(attempt), "the next word")
            os.close(stranger)
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_turn_that_cannot_begin_leaves_no_pipe_open(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)

            def voice(_attempt: object, path: Path) -> None:
                assert writers(path.parent) == 1
                raise OSError("as with no descriptor left")

            h.relay.desk.switch.voice = voice  # type: ignore[method-assign, assignment]
            await call.say(tone(700, 400))
            await h.gone(attempt)
            assert h.book.reason() == "relay_fault"
            assert writers(h.relay.files.directory) == 0

    run(scenario())


def test_a_call_goes_on_whose_pipe_somebody_has_removed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            await call.say(tone(700, 200))
            await until(lambda: tone(700, 200) in h.heard(attempt), "a word")
            for pipe in h.relay.files.directory.glob("*.raw"):
                pipe.unlink()
            await call.say(tone(900, 200))
            await until(lambda: tone(900, 200) in h.heard(attempt), "the next word")
            assert h.book.reason() is None
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())
