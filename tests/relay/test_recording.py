"""When a recording begins: at the answer, or when the notice was heard to its end; and that it never does before."""

from __future__ import annotations

import asyncio
import wave
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from agents.reference.sound import tone
from lab.audio import pcm
from store.transfers import Open
from tests.relay.house import AgentCall, House, ScriptedAgent, a_relay, house, run, until

AT_ANSWER: dict[str, Any] = {"start": "answer", "notice": None, "days": 1}
BY_AGENT: dict[str, Any] = {"start": "after_notice", "notice": None, "days": 1}
BY_FILE: dict[str, Any] = {"start": "after_notice", "notice": "law.wav", "days": 1}
NOTICE_HZ, AGENT_HZ, CALLEE_HZ = 700, 1000, 440


def recorder(tmp_path: Path, **changes: object) -> AbstractAsyncContextManager[House]:
    """A house whose switch records into ``spool``."""
    (tmp_path / "spool").mkdir()
    places: dict[str, Any] = {"recording_spool": str(tmp_path / "spool"), "recording_dir": str(tmp_path / "kept")}
    return house(tmp_path, **(places | changes))


def sides(tmp_path: Path, attempt: UUID) -> tuple[bytes, bytes]:
    """(callee, agent) of the one file there is."""
    (path,) = (tmp_path / "spool").iterdir()
    assert path.name == f"{attempt}.wav"
    with wave.open(str(path)) as sound:
        assert (sound.getnchannels(), sound.getframerate()) == (2, 8000)
        samples = pcm.unpack(sound.readframes(sound.getnframes()))
    return samples[::2].tobytes(), samples[1::2].tobytes()


def loudest(sound: bytes, hz: int) -> float:
    """The greatest share of that tone in any fifth of a second."""
    return max((pcm.goertzel(sound[at : at + 3200], hz) for at in range(0, len(sound) - 3200, 800)), default=0.0)


def starts(h: House) -> list[str]:
    return [line for line in h.asked if line.startswith("uuid_record ") and " start " in line]


async def talking(
    h: House, agent: ScriptedAgent, recording: dict[str, Any], outcome: str = "0121"
) -> tuple[UUID, AgentCall]:
    attempt = await h.dial("0121", agent.url, recording=recording)
    call = await agent.call()
    await call.send("ready")
    await h.answered(attempt)
    return attempt, call


async def over(h: House, attempt: UUID) -> None:
    h.phones[attempt].hangup("NORMAL_CLEARING")
    await h.gone(attempt)


def write_notice(tmp_path: Path) -> None:
    pcm.write_wav(str(tmp_path / "announcements" / "law.wav"), tone(NOTICE_HZ, 600))


def test_from_the_answer_on_both_sides_are_recorded(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recorder(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent, AT_ANSWER)
            assert (await call.expect("start"))["recording"] == {"start": "answer", "notice": None}
            assert await call.expect("recording") == {"event": "recording", "on": True}
            await call.say(tone(AGENT_HZ, 500))
            await call.send("mark", name="said")
            await call.expect("mark")
            await over(h, attempt)
            await until(lambda: "stopped" in h.book.steps, "the switch has closed the file")
            assert h.book.steps == ["expected", "started", "stopped"]
            callee, spoken = sides(tmp_path, attempt)
            assert loudest(callee, CALLEE_HZ) > 0.8
            assert loudest(callee, AGENT_HZ) < 0.1
            assert loudest(spoken, AGENT_HZ) > 0.8

    run(scenario())


def test_a_call_that_is_not_to_be_recorded_is_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recorder(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0121", agent.url)
            call = await agent.call()
            await call.send("ready")
            assert (await call.expect("start"))["recording"] is None
            await call.expect("answered")
            await call.send("notice")
            assert (await call.expect("error"))["code"] == "no_notice_wanted"
            await over(h, attempt)
            assert (starts(h), h.book.steps) == ([], [])

    run(scenario())


def test_after_a_notice_of_ours_and_not_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recorder(tmp_path) as h, ScriptedAgent().listening() as agent:
            write_notice(tmp_path)
            attempt = await h.dial("0121", agent.url, recording=BY_FILE)
            call = await agent.call()
            assert (await call.expect("start"))["recording"] == {"start": "after_notice", "notice": "platform"}
            await call.send("ready")
            await call.say(tone(AGENT_HZ, 300))  # it speaks at once, and waits behind the notice
            await call.send("mark", name="said")
            await call.expect("recording")
            assert tone(NOTICE_HZ, 600) in h.heard(attempt), "the whole notice was heard before"
            await call.expect("mark")
            await over(h, attempt)
            _, spoken = sides(tmp_path, attempt)
            assert loudest(spoken, NOTICE_HZ) < 0.1
            assert loudest(spoken, AGENT_HZ) > 0.8

    run(scenario())


@pytest.mark.parametrize(
    ("changes", "why"),
    [({}, "notice_failed"), ({"announcement_dir": ""}, "notice_missing")],
    ids=["no such file", "no directory"],
)
def test_without_a_notice_there_is_no_recording_and_the_call_goes_on(
    tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    async def scenario() -> None:
        async with recorder(tmp_path, **changes) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent, BY_FILE)
            assert await call.expect("recording") == {"event": "recording", "on": False, "reason": why}
            await call.say(tone(AGENT_HZ, 200))
            await call.send("mark", name="said")
            assert (await call.expect("mark"))["played"]
            await over(h, attempt)
            assert (starts(h), h.book.steps) == ([], ["expected"])
            assert (attempt, "recording.not_started", {"reason": why}) in h.book.notes

    run(scenario())


def test_a_notice_whose_end_is_not_heard_of_is_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recorder(tmp_path, recording_notice_max_s=0.3) as h, ScriptedAgent().listening() as agent:
            write_notice(tmp_path)
            _, call = await talking(h, agent, BY_FILE)
            assert (await call.expect("recording"))["reason"] == "notice_not_heard"
            await call.send("hangup")
            await until(lambda: not h.relay.desk.count, "the call is over")
            assert starts(h) == []

    run(scenario())


def test_after_the_agents_own_notice_and_not_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recorder(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0121", agent.url, recording=BY_AGENT)
            call = await agent.call()
            assert (await call.expect("start"))["recording"] == {"start": "after_notice", "notice": "agent"}
            await call.send("ready")
            await call.say(tone(NOTICE_HZ, 600))
            await call.send("notice")
            await call.say(tone(AGENT_HZ, 1500))
            await call.send("mark", name="said")
            await call.expect("recording")
            assert tone(NOTICE_HZ, 600) in h.heard(attempt), "all of it was heard before"
            await call.send("notice")
            await call.expect("mark")
            await until(lambda: len(call.seen("recording")) == 2, "the second notice is answered as well")
            await over(h, attempt)
            assert len(starts(h)) == 1
            _, spoken = sides(tmp_path, attempt)
            assert loudest(spoken, NOTICE_HZ) < 0.5
            assert loudest(spoken, AGENT_HZ) > 0.8

    run(scenario())


def test_an_agent_hears_of_it_while_another_is_to_take_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recorder(tmp_path) as h, ScriptedAgent().listening() as agent, ScriptedAgent().listening() as expert:
            attempt, call = await talking(h, agent, BY_AGENT)
            await call.expect("answered")
            h.book.under_way.append(
                Open(uuid4(), attempt, "agent:next", None, None, False, None, uuid4(), "expert", expert.url)
            )
            following = await expert.call()
            await following.expect("start")
            await call.say(tone(NOTICE_HZ, 200))
            await call.send("notice")
            assert (await call.expect("recording"))["on"]
            await following.send("ready")
            await following.expect("answered")
            await following.send("notice")
            assert (await following.expect("recording"))["on"], "from its turn on it is the other one that is told"
            assert len(call.seen("recording")) == 1
            await over(h, attempt)

    run(scenario())


def test_a_notice_that_is_cut_off_is_none_until_it_is_given_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recorder(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent, BY_AGENT)
            await call.say(tone(NOTICE_HZ, 5000))
            await call.send("notice")
            await until(lambda: pcm.goertzel(h.heard(attempt)[-3200:], NOTICE_HZ) > 0.8, "the notice begins")
            await call.send("clear")
            refused = await call.expect("recording")
            assert (refused["on"], refused["reason"]) == (False, "notice_not_heard")
            assert starts(h) == []
            await call.say(tone(NOTICE_HZ, 300))
            await call.send("notice")
            await until(lambda: len(call.seen("recording")) == 2, "the second one counts")
            assert call.seen("recording")[1]["on"]
            await over(h, attempt)

    run(scenario())


def test_a_notice_of_which_the_switch_could_not_play_all_is_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recorder(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent, BY_AGENT)
            await call.say(tone(NOTICE_HZ, 1500))
            await until(lambda: tone(NOTICE_HZ, 400)[:3200] in h.heard(attempt), "the notice begins")
            for voice in list(h.phones[attempt].displaced.values()):
                voice.stop()  # as the API of a switch can
            await call.send("notice")
            refused = await call.expect("recording")
            assert (refused["on"], refused["reason"]) == (False, "notice_not_heard")
            await over(h, attempt)
            assert starts(h) == []

    run(scenario())


def test_an_announcement_is_recorded_after_the_notice(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recorder(tmp_path) as h:
            write_notice(tmp_path)
            pcm.write_wav(str(tmp_path / "announcements" / "told.wav"), tone(AGENT_HZ, 500))
            attempt = await h.dial("0122", audio="told.wav", recording=BY_FILE)
            await h.gone(attempt)
            heard = h.heard(attempt)
            assert heard.index(tone(NOTICE_HZ, 600)) < heard.index(tone(AGENT_HZ, 500))
            _, spoken = sides(tmp_path, attempt)
            assert loudest(spoken, NOTICE_HZ) < 0.1
            assert loudest(spoken, AGENT_HZ) > 0.8

    run(scenario())


def test_a_relay_that_follows_another_lets_the_recording_go_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with recorder(tmp_path, own_relay=False) as h, ScriptedAgent().listening() as agent:
            write_notice(tmp_path)
            async with a_relay(h) as h.relay:
                attempt, call = await talking(h, agent, BY_FILE)
                await call.expect("recording")
            async with a_relay(h) as h.relay:
                second = await agent.call()
                assert (await second.expect("start"))["resumed"]
                await second.send("ready")
                assert (await second.expect("recording"))["on"]
                assert len(h.phones[attempt].recordings) == 1
                await asyncio.sleep(0.3)
                await over(h, attempt)
            sides(tmp_path, attempt)
            assert h.heard(attempt).count(tone(NOTICE_HZ, 600)) == 1, "the notice is not given twice"
            assert h.book.steps.count("started") == 1

    run(scenario())
