"""A call on hold: who hears what meanwhile, how it ends, and that a relay which takes the call over holds it on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from agents.reference.sound import tone
from controller.relay import hold as module
from controller.relay import protocol
from lab.audio.pcm import goertzel, write_wav
from store.holds import Wish
from tests.relay.house import AgentCall, House, ScriptedAgent, a_relay, house, run, talking, until
from tests.relay.test_failures import closed_port
from tests.relay.test_lost import FALLBACK, SORRY
from tests.relay.test_others import news, play
from tests.relay.test_transfer import SILENT, SPEAKS

AGENT, MUSIC, AFTER = 700, 1000, 1700


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of these tests is shorter than one that anybody would wish to hear."""
    monkeypatch.setattr(module, "_PAUSE_S", 0.05)
    monkeypatch.setattr(module, "_OVERDUE_S", 60.0)  # what is repeated is so because it was heard to be over


def music(tmp_path: Path) -> None:
    write_wav(str(tmp_path / "announcements" / "music.wav"), tone(MUSIC, 400))


def hears(h: House, attempt: UUID, hz: int) -> bool:
    return goertzel(h.heard(attempt)[-3200:], hz) > 0.8


def plays(h: House, attempt: UUID) -> int:
    return h.heard(attempt).count(tone(MUSIC, 400))


async def hangs_up(h: House, attempt: UUID) -> None:
    h.phones[attempt].hangup("NORMAL_CLEARING")
    await h.gone(attempt)
    assert h.book.reason() is None


async def silence_comes(call: AgentCall) -> None:
    seen = len(call.audio)
    await until(lambda: len(call.audio) > seen + 15, "frames go on")
    assert not any(any(frame) for frame in call.audio[seen + 5 :]), "of silence"


def test_an_agent_holds_the_call_and_talks_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            music(tmp_path)
            attempt, call = await talking(h, agent, SPEAKS)
            await until(lambda: any(map(any, call.audio)), "the agent hears the callee")
            await call.say(tone(AGENT, 5000))
            await call.send("mark", name="said")
            await until(lambda: hears(h, attempt, AGENT), "the agent speaks")
            await call.send("hold", id="one", audio="music.wav")
            told = {"event": "hold", "on": True, "by": "agent", "id": "one", "audio": "music.wav"}
            assert await call.expect("hold") == told
            assert (await call.expect("mark"))["played"] is False, "it knows what was not heard"
            await call.say(tone(AFTER, 200))
            await call.send("mark", name="in vain")
            assert (await until(lambda: call.seen("mark")[1:], "a mark comes back"))[0]["played"] is False
            await until(lambda: plays(h, attempt) >= 4, "the file, over and over")
            await silence_comes(call)
            await call.send("clear")
            await call.send("hold", id="one", audio="music.wav")  # once more
            assert (await until(lambda: call.seen("hold")[1:], "it is told how it is"))[0] == told
            await call.send("hold", id="two")
            assert (await call.expect("error"))["code"] == "on_hold"
            assert [one.begun for one in h.book.standing] == [True]
            h.phones[attempt].callee.press("5")
            assert (await call.expect("dtmf"))["digit"] == "5"
            before = plays(h, attempt)
            await until(lambda: plays(h, attempt) > before, "nor does a clear end it")
            # In one go: what is said behind it is for the callee.
            await call.send("resume", id="three")
            await call.say(tone(AFTER, 400))
            await call.send("mark", name="again")
            assert (await until(lambda: call.seen("mark")[2:], "its words are heard"))[0]["played"] is True
            heard = h.heard(attempt)
            behind = heard[heard.index(tone(AFTER, 400)) :]
            assert tone(MUSIC, 400)[:1600] not in behind
            assert tone(AGENT, 400)[:1600] not in behind, "nor what it had said before"
            assert call.seen("hold")[-1] == {"event": "hold", "on": False, "by": "agent", "id": "one"}
            seen = len(call.audio)
            await until(lambda: any(map(any, call.audio[seen:])), "the agent hears the callee again")
            assert list(h.book.results.values()) == ["resumed", "resumed"]
            await call.send("resume", id="four")
            assert (await until(lambda: call.seen("error")[1:], "it is refused"))[0]["code"] == "not_on_hold"
            assert [data["on"] for _, kind, data in h.book.notes if kind == "relay.hold"] == [True, False]
            await hangs_up(h, attempt)

    run(scenario())


def test_the_api_holds_it_in_silence_and_cuts_off_what_plays(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent, SPEAKS)
            path = news(h, 20_000)
            action = await play(h, attempt, path)
            await until(lambda: path.read_bytes()[:3200] in h.heard(attempt), "a file plays")
            await call.say(tone(AGENT, 1000))
            stale, held = (Wish(uuid4(), attempt, "hold", None, "customer", None, age_s=age) for age in (11.0, 0.0))
            h.book.standing += [stale, held]
            assert (await call.expect("hold"))["by"] == "customer"
            assert h.book.results[stale.id] == "too late"
            assert (await until(lambda: h.book.results.get(action), "the file is over")) == "not played: cut off"
            late = await play(h, attempt, path)  # the controller had it before the hold began
            assert (await until(lambda: h.book.results.get(late), "nor is it heard")) == "not played: cut off"
            await silence_comes(call)
            h.book.standing.append(Wish(uuid4(), attempt, "resume", None, "customer", "k"))
            await until(lambda: call.seen("hold")[1:], "it is over")
            await call.say(tone(AFTER, 400))
            await until(lambda: tone(AFTER, 400) in h.heard(attempt), "the agent talks on")
            assert tone(AGENT, 100) not in h.heard(attempt)
            assert h.book.standing == []
            await hangs_up(h, attempt)

    run(scenario())


def test_a_file_that_is_none_leaves_it_in_silence(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent, SPEAKS)
            await call.send("hold", id="one", audio="gone.wav")
            await until(lambda: "relay.hold_failed" in h.book.types(), "it is on record")
            assert [one.begun for one in h.book.standing] == [True]
            await hangs_up(h, attempt)

    run(scenario())


def test_the_next_relay_holds_it_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, own_relay=False) as h, ScriptedAgent().listening() as agent:
            music(tmp_path)
            port = closed_port()
            async with a_relay(h, relay_port=port) as h.relay:
                attempt, call = await talking(h, agent, SPEAKS)
                await call.send("hold", id="one", audio="music.wav")
                await until(lambda: plays(h, attempt), "on hold")
            await call.closed.wait()
            assert h.book.results == {}, "it goes on"
            async with a_relay(h, relay_port=port) as h.relay:
                call = await agent.call()
                assert (await call.expect("start"))["hold"] == {"id": "one", "by": "agent", "audio": "music.wav"}
                await call.send("ready")
                await call.expect("answered")
                before = plays(h, attempt)
                await until(lambda: plays(h, attempt) > before + 3, "more than the one before had left")
                assert not any(map(any, call.audio)), "nor does the agent hear the callee"
                await call.send("hold", id="one", audio="music.wav")
                assert (await call.expect("hold"))["on"] is True
                await call.send("resume", id="two")
                await call.say(tone(AFTER, 400))
                await until(lambda: hears(h, attempt, AFTER), "the agent talks on")
                await until(lambda: any(map(any, call.audio)), "and hears the callee")
                assert h.book.calls[attempt].held is None
                await hangs_up(h, attempt)

    run(scenario())


def test_who_is_put_through_hears_no_more_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            music(tmp_path)
            first, call = await talking(h, agent, SILENT)
            await call.send("hold", id="one", audio="music.wav")
            await until(lambda: plays(h, first), "on hold")
            second = await h.dial("0121", first=first)
            assert (await call.expect("stop"))["reason"] == "transferred"
            await until(lambda: hears(h, first, 440), "they are put through")
            assert list(h.book.results.values()) == ["transferred"]
            at = len(h.heard(first))
            await until(lambda: len(h.heard(first)) > at + 16_000 * 2, "2 s more")
            assert tone(MUSIC, 400)[:1600] not in h.heard(first)[at:]
            refused = Wish(uuid4(), first, "hold", None, "customer", None)
            h.book.standing.append(refused)
            await until(
                lambda: h.book.results.get(refused.id) == "refused: no agent talks", "nobody is there to be held off"
            )
            h.phones[first].hangup("NORMAL_CLEARING")
            for leg in (first, second):
                await until(lambda leg=leg: str(leg) not in h.switch.channels, "one ends the other")  # type: ignore[misc]
                h.book.ended.add(leg)

    run(scenario())


def test_an_agent_that_is_lost_does_not_leave_the_callee_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, agent_reconnects=0) as h, ScriptedAgent().listening() as agent:
            music(tmp_path)
            write_wav(str(tmp_path / "announcements" / "sorry.wav"), SORRY)
            attempt = await h.dial("0122", agent.url, agent=FALLBACK)
            call = await agent.call()
            await call.send("ready")
            await call.expect("answered")
            await call.send("hold", id="one", audio="music.wav")
            await until(lambda: plays(h, attempt), "on hold")
            call.socket.transport.abort()
            await until(lambda: SORRY in h.heard(attempt), "the fallback is heard, whole")
            assert list(h.book.results.values()) == ["agent failed"]
            await h.gone(attempt)

    run(scenario())


@pytest.mark.parametrize(
    "bad",
    [
        {"event": "hold"},
        {"event": "hold", "id": "a", "audio": "../x.wav"},
        {"event": "hold", "id": "a", "audio": "tone_stream://x"},
        {"event": "resume", "id": ""},
    ],
)
def test_what_is_not_so_is_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(protocol.ProtocolError, match=r"hold\.|resume\."):
        protocol.parse(json.dumps(bad))
