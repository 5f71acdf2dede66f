"""A greeting is ready before the answer, played by the switch at once, heard before the agent, and cut off by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.reference.sound import tone
from controller.frames import Event, text_of
from lab.audio.pcm import goertzel, write_wav
from tests.relay.house import House, ScriptedAgent, a_relay, house, run, until, without_pauses
from tests.relay.test_others import news, play
from tests.relay.test_script import voice

HELLO = tone(1100, 900)
AUDIO = {"agent_greeting": {"audio": "hello.wav"}}
TEXT = {"agent_greeting": {"text": "Hi {{name}}"}, "agent_voice": "de"}


def hello(h: House, sound: bytes = HELLO) -> None:
    write_wav(str(Path(h.settings.announcement_dir) / "hello.wav"), sound)


def test_a_greeting_is_heard_at_once_and_whole_before_the_agent_who_hears_the_callee(tmp_path: Path) -> None:
    async def scenario() -> None:
        # A machine that is slow to find the greeting costs no words: they are kept for as long as the agent may take.
        async with (
            house(tmp_path, agent_ready_timeout_s=10.0, relay_prebuffer_frames=600) as h,
            ScriptedAgent().listening() as agent,
        ):
            hello(h)
            attempt = await h.dial("0121", agent.url, agent=AUDIO)
            said = [number.to_bytes(2, "little") * 160 for number in range(1, 3000)]
            count = iter(said)
            h.phones[attempt].callee.frame = lambda rate: next(count)  # type: ignore[method-assign]
            call = await agent.call()
            assert (await call.expect("start"))["greeting"] == {"audio": "hello.wav"}
            await h.answered(attempt)
            await until(
                lambda: goertzel(h.heard(attempt)[-1600:], 1100) > 0.8, "the greeting, though the agent is not ready"
            )
            await call.send("ready")
            await call.say(tone(700, 400))
            await call.send("mark", name="said")
            await call.expect("greeting")
            await call.expect("mark")
            assert call.order.index("answered") < call.order.index("greeting") < call.order.index("mark")
            assert call.seen("greeting") == [{"event": "greeting", "played": True}]
            assert HELLO + tone(700, 400) in without_pauses(h.heard(attempt))
            assert b"".join(call.audio).startswith(b"".join(said[:20])), "from the callee's first word on"
            assert h.book.types().index("relay.greeting") < h.book.types().index("relay.first_audio")
            assert (Path(h.settings.announcement_dir) / "hello.wav").exists(), "the file is not ours to remove"
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_the_callee_interrupts_the_greeting(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            hello(h, tone(1100, 20_000))
            attempt = await h.dial("0122", agent.url, agent=AUDIO)
            call = await agent.call()
            await call.send("ready")
            await until(lambda: goertzel(h.heard(attempt)[-1600:], 1100) > 0.8, "the greeting")
            await call.send("clear")
            await call.say(tone(700, 300))
            assert await call.expect("greeting") == {"event": "greeting", "played": False, "reason": "cleared"}
            await until(lambda: tone(700, 300) in without_pauses(h.heard(attempt)), "the agent")
            assert goertzel(h.heard(attempt)[-1600:], 1100) < 0.1
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_greeting_that_is_cut_off_before_its_beginning_is_heard_of_holds_nobody_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            hello(h, tone(1100, 20_000))
            told, behind = h.relay.desk.on_event, True
            late: list[Event] = []

            def slow(event: Event) -> None:
                if behind and (late or text_of(event, "Event-Name") == "PLAYBACK_START"):
                    late.append(event)  # and all that comes after it: the switch tells in order
                else:
                    told(event)

            h.relay.news._on_event = slow
            attempt = await h.dial("0122", agent.url, agent=AUDIO)
            call = await agent.call()
            await call.send("ready")
            await until(lambda: goertzel(h.heard(attempt)[-1600:], 1100) > 0.8, "the greeting")
            await call.send("clear")
            assert (await call.expect("greeting"))["reason"] == "cleared"
            behind = False
            for event in late:
                told(event)
            await call.say(tone(700, 300))
            await until(lambda: tone(700, 300) in without_pauses(h.heard(attempt)), "the agent")
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


@pytest.mark.parametrize("told", [True, False])
def test_a_greeting_that_is_cut_off_behind_what_others_play_is_not_heard_over_the_agent(tmp_path: Path, told: bool) -> None:
    """``told``: the switch's word of its beginning comes."""

    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            hello(h, tone(1100, 20_000))
            write_wav(str(Path(h.settings.announcement_dir) / "notice.wav"), tone(300, 400))
            hear, behind = h.relay.desk.on_event, True
            late: list[Event] = []

            def slow(event: Event) -> None:
                path = text_of(event, "Playback-File-Path") or ""
                if behind and (late or path.endswith("news.r8")):
                    late.append(event)
                elif told or not path.endswith("hello.wav"):
                    hear(event)

            h.relay.news._on_event = slow
            recording = {"start": "after_notice", "notice": "notice.wav"}
            attempt = await h.dial("0122", agent.url, agent=AUDIO, recording=recording)
            call = await agent.call()
            await call.send("ready")
            await until(lambda: goertzel(h.heard(attempt)[-1600:], 300) > 0.8, "the notice")
            file = news(h, 1000)
            action = await play(h, attempt, file)
            talk: Any = h.relay.desk._sessions[attempt].talk
            await until(lambda: talk._downlink._leading and talk._downlink._lead.out, "the greeting waits behind it")
            await until(lambda: late, "which has begun")
            behind = False
            for event in late:
                slow(event)
            await call.send("clear")
            assert (await call.expect("greeting"))["reason"] == "cleared"
            await call.say(tone(700, 400))
            await call.send("mark", name="end")
            assert (await call.expect("mark"))["played"] is True
            heard = without_pauses(h.heard(attempt))
            assert file.read_bytes() in heard
            assert h.book.results == {action: "played"}
            assert heard.endswith(tone(700, 400)), "of the greeting nothing any more"
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_text_is_spoken_while_the_phone_rings_and_the_same_one_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, tts_program=voice(tmp_path)) as h, ScriptedAgent().listening() as agent:
            for outcome in ("0102", "0122", "0102"):  # answered by the second alone
                attempt = await h.dial(outcome, agent.url, agent=TEXT, variables={"name": "Ada"})
                call = await agent.call()
                assert (await call.expect("start"))["greeting"] == {"text": "Hi Ada"}
                spoken = h.relay.files.directory / f"{attempt}-0.wav"
                await until(lambda at=spoken: at.exists() and at.stat().st_size == 44 + 160 * 6, "it is spoken")  # type: ignore[misc]
                if outcome == "0122":
                    await call.send("ready")
                    assert (await call.expect("greeting"))["played"] is True
                    before = (tmp_path / "asked").read_text()
                h.phones[attempt].hangup("NORMAL_CLEARING")
                await h.gone(attempt)
            assert (tmp_path / "asked").read_text() == before, "what was spoken is known"

    run(scenario())


@pytest.mark.parametrize("why", ["missing_variable", "not_spoken", "not_played"])
def test_without_its_greeting_the_call_goes_on_and_the_agent_is_told(tmp_path: Path, why: str) -> None:
    async def scenario() -> None:
        program = str(tmp_path / "nowhere")
        async with house(tmp_path, tts_program=program) as h, ScriptedAgent().listening() as agent:
            variables = {} if why == "missing_variable" else {"name": "Ada"}
            attempt = await h.dial("0122", agent.url, agent=AUDIO if why == "not_played" else TEXT, variables=variables)
            call = await agent.call()
            await call.send("ready")
            await call.say(tone(700, 300))
            assert await call.expect("greeting") == {"event": "greeting", "played": False, "reason": why}
            await until(lambda: tone(700, 300) in without_pauses(h.heard(attempt)), "the agent")
            assert "relay.greeting_failed" in h.book.types()
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_file_that_is_asked_for_later_is_no_greeting_though_it_is_the_same(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            hello(h)
            attempt = await h.dial("0122", agent.url, agent=AUDIO)
            call = await agent.call()
            await call.send("ready")
            await call.expect("greeting")
            path = Path(h.settings.announcement_dir) / "hello.wav"
            h.relay.desk.switch.play(attempt, path, f"action-{attempt}")
            await until(lambda: goertzel(h.heard(attempt)[-800:], 1100) > 0.8, "it plays again")
            await call.send("clear")  # it leaves alone what others play
            await until(lambda: without_pauses(h.heard(attempt)).count(HELLO) == 2, "whole")
            assert h.book.types().count("relay.greeting") == 1
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_relay_that_takes_the_call_up_greets_nobody_twice(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, own_relay=False) as h, ScriptedAgent().listening() as agent:
            whole = tone(1100, 1500)
            hello(h, whole)
            async with a_relay(h) as first:
                h.relay = first
                attempt = await h.dial("0122", agent.url, agent=AUDIO)
                call = await agent.call()
                await call.send("ready")
                await until(lambda: goertzel(h.heard(attempt)[-1600:], 1100) > 0.8, "the greeting")
            async with a_relay(h) as second:
                h.relay = second
                again = await agent.call()
                start = await again.expect("start")
                assert (start["resumed"], start["greeting"]) == (True, None)
                await again.send("ready")
                await until(lambda: whole in without_pauses(h.heard(attempt)), "the switch played it to its end")
                assert not again.seen("greeting")
                h.phones[attempt].hangup("NORMAL_CLEARING")
                await h.gone(attempt)
            assert without_pauses(h.heard(attempt)).count(whole) == 1

    run(scenario())


def test_a_bot_for_twilio_is_told_of_the_greeting_and_interrupts_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        agent = ScriptedAgent(subprotocols=())
        async with house(tmp_path) as h, agent.listening():
            hello(h, tone(1100, 20_000))
            attempt = await h.dial("0122", agent.url, agent={**AUDIO, "agent_protocol": "twilio"})
            call = await agent.call()
            told = (await call.expect("start"))["start"]["customParameters"]["trunkline_greeting"]
            assert json.loads(told) == {"audio": "hello.wav"}
            await until(lambda: goertzel(h.heard(attempt)[-1600:], 1100) > 0.8, "the greeting")
            await call.send("clear")
            await until(lambda: not any(h.heard(attempt)[-1600:]), "silence")
            assert {"mark", "greeting"}.isdisjoint(call.order)
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


@pytest.mark.parametrize(("outcome", "limit_s"), [("0122", 60.0), ("0102", 0.3)])
def test_a_greeting_that_is_not_ready_in_time_is_left_out(tmp_path: Path, outcome: str, limit_s: float) -> None:
    async def scenario() -> None:
        slow = voice(tmp_path, slow=True)
        async with (
            house(tmp_path, tts_program=slow, tts_timeout_s=60.0, tts_call_timeout_s=limit_s) as h,
            ScriptedAgent().listening() as agent,
        ):
            attempt = await h.dial(outcome, agent.url, agent=TEXT, variables={"name": "Ada"})
            call = await agent.call()
            await call.send("ready")
            await call.say(tone(700, 300))
            await until(lambda: "relay.greeting_failed" in h.book.types(), "it is given up")
            if outcome == "0122":
                assert await call.expect("greeting") == {"event": "greeting", "played": False, "reason": "not_spoken"}
                await until(lambda: tone(700, 300) in without_pauses(h.heard(attempt)), "the agent")
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)
            assert h.book.types().count("relay.greeting_failed") == 1

    run(scenario())


def test_a_greeting_that_is_interrupted_before_it_begins_is_not_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.relay.conversation.LATEST_S", 60.0)

    async def scenario() -> None:
        slow = voice(tmp_path, slow=True)
        async with (
            house(tmp_path, tts_program=slow, tts_timeout_s=60.0, tts_call_timeout_s=60.0) as h,
            ScriptedAgent().listening() as agent,
        ):
            attempt = await h.dial("0122", agent.url, agent=TEXT, variables={"name": "Ada"})
            call = await agent.call()
            await call.send("clear")  # nobody has answered: it is of what was sent alone
            await call.send("ready")
            await call.expect("answered")
            assert not call.seen("greeting")
            await call.say(tone(900, 300))
            await call.send("clear")
            await call.say(tone(700, 300))
            assert await call.expect("greeting") == {"event": "greeting", "played": False, "reason": "cleared"}
            await until(lambda: without_pauses(h.heard(attempt)) == tone(700, 300), "the agent, and nothing else")
            await call.send("clear")
            await call.send("mark", name="done")
            await call.expect("mark")
            assert len(call.seen("greeting")) == 1
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())
