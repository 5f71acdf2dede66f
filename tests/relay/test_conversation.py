"""Conversations on the simulated switch: what the callee hears, what the agent hears, and how calls end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from websockets.asyncio.client import connect

from agents.reference.__main__ import listening
from agents.reference.sound import tone
from calls.call_token import check
from lab.audio.pcm import goertzel
from tests.relay.house import TOKEN_KEY, House, ScriptedAgent, house, run, talking, until

SILENCE = bytes(320)


def share(pcm: bytes, hz: float) -> float:
    """Share of the power at ``hz``."""
    return goertzel(pcm, hz) if pcm else 0.0


async def hears(h: House, attempt: UUID, pcm: bytes, what: str) -> None:
    await until(lambda: pcm in h.heard(attempt), f"the callee hears {what}")


def test_the_callee_hears_the_agents_tone_whole_and_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, listening("127.0.0.1", 0) as port:
            attempt = await h.dial("0122", f"ws://127.0.0.1:{port}/", variables={"tone_hz": 1000, "tone_ms": 1500})
            await h.answered(attempt)
            await hears(h, attempt, tone(1000, 1500), "the whole tone without a gap")
            assert share(h.heard(attempt)[-16_000:], 1000) > 0.5
            assert share(h.heard(attempt)[-16_000:], 600) < 0.01
            answered_at = h.book.times["relay.first_audio"]
            assert h.book.types()[:2] == ["relay.agent_connected", "relay.agent_ready"], "before the answer"
            assert answered_at is not None
            assert h.relay.files.count == 1, "one pipe, as long as the callee is there"
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_the_reference_agent_repeats_what_it_hears_after_a_pause(tmp_path: Path, rate: int) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, listening("127.0.0.1", 0) as port:
            variables = {"tone_hz": 1000, "tone_ms": 200}
            attempt = await h.dial("0122", f"ws://127.0.0.1:{port}/", variables=variables, agent={"agent_sample_rate": rate})
            await h.answered(attempt)
            if rate == 8000:
                await hears(h, attempt, tone(1000, 200), "the greeting")
            await until(lambda: share(h.heard(attempt)[-1600:], 1000) > 0.8, "the greeting's pitch")
            callee = h.phones[attempt].callee
            callee.configure("speech=tone:600")
            await asyncio.sleep(0.8)
            assert share(h.heard(attempt)[-6400:], 600) < 0.1, "it does not interrupt"
            callee.configure("speech=silent")
            await until(lambda: share(h.heard(attempt)[-3200:], 600) > 0.8, "the echo")
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_the_first_words_of_the_callee_reach_an_agent_that_is_late(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, agent_ready_timeout_s=5.0) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0121", agent.url)
            phone = h.phones[attempt]
            said = [number.to_bytes(2, "little") * 160 for number in range(1, 500)]
            count = iter(said)
            phone.callee.frame = lambda rate: next(count)  # type: ignore[method-assign]
            call = await agent.call()
            await h.answered(attempt)
            await asyncio.sleep(0.5)
            assert call.audio == [], "nothing is sent to an agent that is not ready"
            await call.send("ready")
            await until(lambda: len(b"".join(call.audio)) >= 60 * 320, "callee audio")
            got = b"".join(call.audio)
            assert got[:320] == said[0], "the very first frame"
            assert got == b"".join(said)[: len(got)], "in order and without a hole"
            assert call.order[:2] == ["start", "answered"], "the answer is told before any audio"
            phone.hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_no_audio_of_the_callee_leaves_before_the_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        base = "https://calls.example.com"
        async with house(tmp_path, runtime_url_base=base) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0108", agent.url)  # 183 with media, then 200
            call = await agent.call()
            assert h.phones[attempt].answer_state != "answered", "the agent is connected while it rings"
            await call.send("ready")
            await call.say(tone(700, 300))
            await call.expect("answered")
            await until(lambda: call.audio, "audio after the answer")
            assert call.order.index("answered") < call.order.index("audio")
            await hears(h, attempt, tone(700, 300), "what was said while it rang")
            start = call.seen("start")[0]
            assert start["call"]["attempt"] == str(attempt) == call.headers["X-Trunkline-Attempt"]
            assert start["resumed"] is False
            given = start["runtime"]
            assert given["token"] == call.headers["X-Trunkline-Call-Token"]
            token = check(given["token"], TOKEN_KEY, datetime.now(UTC))
            of = h.book.calls[attempt]
            assert (token.attempt_id, token.call_id, token.agent_id) == (attempt, of.call_id, of.agent_id)
            assert given["expires_at"] == token.expires_at.isoformat()
            where = f"https://calls.example.com/internal/calls/{start['call']['id']}"
            assert (given["config_url"], given["result_url"]) == (f"{where}/runtime-config", f"{where}/result")
            h.phones[attempt].hangup("NORMAL_CLEARING")
            stop = await call.expect("stop")
            assert stop["reason"] == "hangup"
            await h.gone(attempt)

    run(scenario())


def test_a_media_socket_before_the_answer_gives_nothing_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0102", agent.url)  # rings for ever
            call = await agent.call()
            await call.send("ready")
            async with connect(f"ws://127.0.0.1:{h.relay.port}/fork/{attempt}", proxy=None) as early:
                for _ in range(20):
                    await early.send(SILENCE)
                await until(lambda: f"uuid_dump {attempt}" in h.asked, "the channel is asked whether it was answered")
                await call.send("nonsense")
                await call.expect("error")  # the relay has had its turn
                assert call.order == ["start", "error"]
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_an_answer_without_a_ring_finds_the_agent_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0118", agent.url)
            call = await agent.call()
            await call.send("ready")
            await call.say(tone(700, 300))
            await hears(h, attempt, tone(700, 300), "the agent")
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_phone_nobody_picks_up_lets_the_agent_go(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0107", agent.url)  # 180, 480
            call = await agent.call()
            await call.send("ready")
            stop = await call.expect("stop")
            assert stop["reason"] == "not_answered"
            assert stop["cause"] == h.phones[attempt].cause
            await until(lambda: call.code == 1000, "a close in order")
            await h.gone(attempt)

    run(scenario())


def test_barge_in_silences_the_line_and_what_is_said_next_is_heard(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            long = tone(500, 10_000)
            await call.say(long)
            await call.send("mark", name="end of it")
            await until(lambda: share(h.heard(attempt)[-3200:], 500) > 0.8, "the callee hears it")
            await call.send("clear")
            mark = await call.expect("mark")
            broken_at = len(h.heard(attempt))
            assert mark == {"event": "mark", "name": "end of it", "played": False}
            await until(lambda: not any(h.heard(attempt)[-3200:]), "silence")
            assert not any(h.heard(attempt)[broken_at + 640 :]), "at once: at most 40 ms were still heard"
            before = len(h.heard(attempt))
            assert before < len(long) // 2
            await call.say(tone(900, 400))
            await call.send("mark", name="after")
            await hears(h, attempt, tone(900, 400), "what was said after the clear")
            assert share(h.heard(attempt)[before:], 500) < 0.01, "nothing of the old comes back"
            await until(lambda: call.seen("mark")[1:], "the second mark")
            assert call.seen("mark")[1] == {"event": "mark", "name": "after", "played": True}
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_callee_who_speaks_over_the_reference_agent_silences_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, listening("127.0.0.1", 0) as port:
            variables = {"tone_hz": 1000, "tone_ms": 8000, "echo": False}
            attempt = await h.dial("0122", f"ws://127.0.0.1:{port}/", variables=variables)
            await until(lambda: share(h.heard(attempt)[-3200:], 1000) > 0.8, "the greeting")
            h.phones[attempt].callee.configure("speech=tone:600")
            await until(lambda: not any(h.heard(attempt)[-3200:]), "silence")
            assert len(h.heard(attempt)) < 8000 * 16, "before it was through"
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_marks_come_when_the_callee_has_heard_what_is_before_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0122", agent.url)
            call = await agent.call()
            await call.send("mark", name="nothing before")
            await call.expect("mark")
            assert h.phones[attempt].answer_state != "answered"
            await call.send("ready")
            said = tone(500, 900)
            await call.say(said)
            await call.send("mark", name="heard")
            await until(lambda: len(call.seen("mark")) == 2, "the mark")
            assert said in h.heard(attempt)
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_keys_go_both_ways(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0124", agent.url)  # presses 1 2 #
            call = await agent.call()
            await call.send("dtmf", digits="7")
            assert (await call.expect("error"))["code"] == "not_answered"
            await call.send("ready")
            await until(lambda: len(call.seen("dtmf")) == 3, "three keys")
            assert [text["digit"] for text in call.seen("dtmf")] == ["1", "2", "#"]
            assert call.seen("dtmf")[0]["duration_ms"] == 200
            await call.send("dtmf", digits="42*")
            await until(lambda: f"uuid_send_dtmf {attempt} 42*" in h.asked, "the switch sends the keys")
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_the_agent_hangs_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            await call.send("hangup")
            stop = await call.expect("stop")
            assert (stop["reason"], stop["by"]) == ("agent_hangup", "agent")
            await h.gone(attempt)
            assert h.phones[attempt].vars["trunkline_hangup_by"] == "agent"
            assert h.phones[attempt].vars["trunkline_end_reason"] == "agent_hangup"
            assert call.code == 1000

    run(scenario())


def test_the_agent_says_goodbye_before_it_hangs_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            goodbye = tone(800, 1300)
            await call.say(goodbye)
            await call.send("hangup", after_playback=True)
            await h.gone(attempt)
            assert goodbye in h.heard(attempt), "all of it"
            assert h.phones[attempt].vars["trunkline_hangup_by"] == "agent"

    run(scenario())


def test_the_reference_agent_understands_keys_and_its_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, listening("127.0.0.1", 0) as port:
            url, greeting = f"ws://127.0.0.1:{port}/", tone(1000, 300)
            attempt = await h.dial("0122", url, variables={"tone_hz": 1000, "tone_ms": 300, "as_json": True})
            await hears(h, attempt, greeting, "the greeting")
            h.phones[attempt].callee.press("1")
            await until(lambda: h.heard(attempt).count(greeting) == 2, "the greeting again")
            h.phones[attempt].callee.press("9")
            await h.gone(attempt)
            assert h.phones[attempt].vars["trunkline_hangup_by"] == "agent"
            attempt = await h.dial("0122", url, variables={"hangup_after_s": 0.3})
            await h.gone(attempt)
            assert h.phones[attempt].vars["trunkline_hangup_by"] == "agent"

    run(scenario())


def test_twenty_calls_at_once_leave_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, listening("127.0.0.1", 0) as port:
            before = len(asyncio.all_tasks())
            attempts = [
                await h.dial("0122", f"ws://127.0.0.1:{port}/", variables={"tone_hz": 300 + 50 * i, "tone_ms": 400})
                for i in range(20)
            ]
            for i, attempt in enumerate(attempts):
                await hears(h, attempt, tone(300 + 50 * i, 400), f"its own agent, {i}")
            for attempt in attempts:
                h.phones[attempt].hangup("NORMAL_CLEARING")
            await until(lambda: not h.switch.channels, "every channel is gone")
            await h.gone(attempts[0])
            await until(lambda: len(asyncio.all_tasks()) <= before, "every task is gone")

    run(scenario())
