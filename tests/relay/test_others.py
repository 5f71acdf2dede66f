"""A file that others play in a conversation: heard whole and at once, and the agent's audio behind it, whole too."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from agents.reference.sound import tone
from controller import commands
from controller.frames import text_of
from controller.relay.switch import Switch
from lab.audio import pcm
from store.call_actions import TAG
from tests.relay.house import AgentCall, House, ScriptedAgent, a_relay, house, run, talking, until
from tests.relay.test_failures import closed_port
from tests.relay.test_script import voice

AGENT, NEWS = 700, 440


def news(h: House, ms: int) -> Path:
    """An announcement the switch can read."""
    directory = Path(h.settings.announcement_dir)
    directory.mkdir(exist_ok=True)
    path = directory / "news.r8"
    path.write_bytes(tone(NEWS, ms))
    return path


async def play(h: House, attempt: UUID, path: Path) -> UUID:
    """As the controller does."""
    action = uuid4()
    command = commands.playback(attempt, str(path), f"{TAG}{action}", under=[str(path.parent)])
    assert (await h.dialer.ask(command)).startswith("+OK")
    return action


def beside(heard: bytes, file: bytes) -> tuple[bytes, bytes]:
    """What else was heard: before the file and in its first 100 ms, the agent being told to wait only when it begins; and
    after it. All of the file must be in ``heard``.
    """
    end = heard.rfind(file[1600:]) + len(file) - 1600
    begin = end - len(file)
    assert begin >= 0, "the file is not heard whole"
    mixed = zip(pcm.unpack(heard[begin:end]), pcm.unpack(file), strict=True)
    return heard[:begin] + pcm.pack([both - mine for both, mine in mixed]), heard[end:]


def aloud(sound: bytes) -> bytes:
    """Without the frames of silence."""
    return b"".join(frame for at in range(0, len(sound), 320) if any(frame := sound[at : at + 320]))


def test_the_agent_waits_behind_it_and_nothing_is_lost(tmp_path: Path) -> None:
    """Marks must not come early by it, however long it is."""

    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            said, path = tone(AGENT, 1500), news(h, 2600)
            await call.say(said)
            await call.send("mark", name="end")
            await until(lambda: said[:3200] in h.heard(attempt), "the agent speaks")
            action = await play(h, attempt, path)
            await until(lambda: path.read_bytes()[1600:] in h.heard(attempt), "the callee hears the file, whole")
            assert call.seen("mark") == [], "the mark is not reached before what is before it was heard"
            assert (await call.expect("mark"))["played"] is True
            first, rest = beside(h.heard(attempt), path.read_bytes())
            assert aloud(first) + aloud(rest) == said, "each piece once, in order"
            assert h.book.results == {action: "played"}
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_barge_in_silences_the_agent_and_not_the_file(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            path = news(h, 1000)
            await call.say(tone(AGENT, 3000))
            await until(lambda: tone(AGENT, 400)[:3200] in h.heard(attempt), "the agent speaks")
            await play(h, attempt, path)
            await until(lambda: path.read_bytes()[1600:4800] in h.heard(attempt), "the file begins")
            await call.send("clear")
            await call.say(tone(900, 300))
            await call.send("mark", name="after")
            await call.expect("mark")
            _, behind = beside(h.heard(attempt), path.read_bytes())
            assert tone(900, 300) in behind
            assert tone(AGENT, 100)[:1600] not in behind[1600:], "what was cleared is not heard after it"
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_barge_in_leaves_the_file_that_waits_behind_the_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            first = news(h, 600)
            second = first.with_name("second.r8")
            second.write_bytes(tone(1000, 600))
            await call.say(tone(AGENT, 3000))
            await until(lambda: tone(AGENT, 400)[:3200] in h.heard(attempt), "the agent speaks")
            actions = [await play(h, attempt, first)]
            await until(lambda: first.read_bytes()[1600:4800] in h.heard(attempt), "the file begins")
            actions.append(await play(h, attempt, second))
            await call.send("clear")
            await call.say(tone(900, 300))
            await call.send("mark", name="after")
            await call.expect("mark")
            assert h.book.results == dict.fromkeys(actions, "played")
            behind = h.heard(attempt).partition(second.read_bytes())[2]
            assert tone(900, 300) in behind, "the second is heard whole, and then the agent's new words"
            assert tone(AGENT, 100)[:1600] not in behind[1600:], "what was cleared is not heard after it"
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_what_a_break_of_ours_hit_was_not_played(tmp_path: Path) -> None:
    """The switch calls it played."""

    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            path = news(h, 3000)
            await call.say(tone(AGENT, 400))
            action = await play(h, attempt, path)
            await until(lambda: path.read_bytes()[1600:4800] in h.heard(attempt), "the file begins")
            talk: Any = h.relay.desk._sessions[attempt].talk
            talk._downlink._break()
            await until(lambda: action in h.book.results, "the relay says what came of it")
            assert h.book.results[action] == "not played: cut off"
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


@pytest.mark.parametrize(("what", "result"), [("missing", "not played: FILE NOT FOUND"), ("hangup", "cut short")])
def test_what_was_not_heard_is_not_said_to_be(tmp_path: Path, what: str, result: str) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, _ = await talking(h, agent)
            path = news(h, 3000)
            if what == "missing":
                path.unlink()
            action = await play(h, attempt, path)
            if what == "hangup":
                await until(lambda: path.read_bytes()[:3200] in h.heard(attempt), "the file begins")
                h.phones[attempt].hangup("NORMAL_CLEARING")
            await until(lambda: action in h.book.results, "the relay says what came of it")
            assert h.book.results[action] == result
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_one_whose_end_is_not_heard_of_holds_the_agent_up_for_its_length(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            hear = h.relay.desk.on_event
            h.relay.news._on_event = lambda event: (
                None if text_of(event, "Event-Name") == "CHANNEL_EXECUTE_COMPLETE" else hear(event)
            )
            path = Path(h.settings.announcement_dir) / "news.wav"
            pcm.write_wav(str(path), tone(NEWS, 600))
            await play(h, attempt, path)
            leg = h.relay.desk._sessions[attempt].leg
            await until(lambda: leg.playing.since, "the file begins")
            await call.say(tone(AGENT, 400))
            both = tone(NEWS, 600) + tone(AGENT, 400)
            await until(lambda: aloud(h.heard(attempt)) == both, "the agent is heard behind it")
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


async def the_file_goes_on(h: House, attempt: UUID, call: AgentCall, path: Path) -> None:
    """The agent speaks, and is heard when the file is broken off, not sooner."""
    file, said = path.read_bytes(), tone(AGENT, 400)
    await call.say(said)
    await call.send("mark", name="end")
    before = len(h.heard(attempt))
    await until(lambda: len(h.heard(attempt)) > before + 8000, "the file goes on for half a second")
    assert call.seen("mark") == []
    await h.dialer.ask(commands.uuid_break(attempt))
    assert (await call.expect("mark"))["played"] is True
    sound = aloud(h.heard(attempt))
    assert sound.endswith(said)
    assert file.startswith(sound.removesuffix(said)), "nothing of the agent is heard with it"
    h.phones[attempt].hangup("NORMAL_CLEARING")
    await h.gone(attempt)


def test_one_that_begins_before_the_agent_may_be_heard_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.relay.conversation.LATEST_S", 60.0)

    async def scenario() -> None:
        slow = voice(tmp_path, slow=True)
        async with (
            house(tmp_path, tts_program=slow, tts_timeout_s=60.0, tts_call_timeout_s=60.0) as h,
            ScriptedAgent().listening() as agent,
        ):
            greeting = {"agent_greeting": {"text": "Hi"}, "agent_voice": "de"}
            attempt = await h.dial("0122", agent.url, agent=greeting)
            call = await agent.call()
            await call.send("ready")
            await call.expect("answered")
            await until(lambda: h.phones[attempt].apps.current == "park", "the switch is ready to play")
            path = news(h, 20_000)
            await play(h, attempt, path)
            await until(lambda: path.read_bytes()[:1600] in h.heard(attempt), "the file begins")
            await call.send("clear")  # the greeting, for which the agent is still held back
            await call.expect("greeting")
            await the_file_goes_on(h, attempt, call, path)

    run(scenario())


def test_one_that_an_earlier_relay_saw_begin_is_waited_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, own_relay=False) as h, ScriptedAgent().listening() as agent:
            port = closed_port()
            async with a_relay(h, relay_port=port) as h.relay:
                attempt, first = await talking(h, agent)
                path = news(h, 20_000)
                await play(h, attempt, path)
                await until(lambda: path.read_bytes()[:1600] in h.heard(attempt), "the file begins")
            await first.closed.wait()
            async with a_relay(h, relay_port=port) as h.relay:
                call = await agent.call()
                await call.send("ready")
                await call.expect("answered")
                await the_file_goes_on(h, attempt, call, path)

    run(scenario())


def test_one_that_ends_while_the_switch_is_asked_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it answers is of before the end that was told already."""
    real = Switch.look

    async def scenario() -> None:
        async with house(tmp_path, own_relay=False) as h, ScriptedAgent().listening() as agent:
            port = closed_port()
            async with a_relay(h, relay_port=port) as h.relay:
                attempt, first = await talking(h, agent)
                path = news(h, 20_000)
                action = await play(h, attempt, path)
                await until(lambda: path.read_bytes()[:1600] in h.heard(attempt), "the file begins")
            await first.closed.wait()

            async def slow(switch: Switch, attempt: UUID) -> Any:
                channel = await real(switch, attempt)
                if h.relay.desk.count:  # not the look by which the call is found
                    await h.dialer.ask(commands.uuid_break(attempt))
                    await until(lambda: action in h.book.results, "the end is told")
                return channel

            monkeypatch.setattr(Switch, "look", slow)
            async with a_relay(h, relay_port=port) as h.relay:
                call = await agent.call()
                await call.send("ready")
                await call.say(tone(AGENT, 400))
                await until(lambda: aloud(h.heard(attempt)).endswith(tone(AGENT, 400)), "the agent is heard")
                assert action in h.book.results
                h.phones[attempt].hangup("NORMAL_CLEARING")
                await h.gone(attempt)

    run(scenario())
