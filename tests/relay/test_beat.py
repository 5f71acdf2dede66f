"""One timer for all calls: none of them costs another its beat, or gets more of them than it should."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from agents.reference.sound import tone
from controller.commands import CommandError
from controller.relay.beat import BEAT_S, Beat
from controller.relay.switch import Switch, SwitchDown
from tests.relay.house import ScriptedAgent, house, run, talking, until, without_pauses
from tests.relay.test_greeting import AUDIO, hello
from tests.relay.test_others import news, play


class Member:
    """Does ``what`` in each beat."""

    def __init__(self, what: Any = lambda: None) -> None:
        self.times: list[float] = []
        self._what = what

    def on_beat(self, now: float) -> None:
        self.times.append(now)
        self._what()


def fails() -> None:
    raise RuntimeError("of one call")


def test_one_that_raises_takes_part_no_more_and_the_others_go_on() -> None:
    async def scenario() -> None:
        beat, before, bad, behind = Beat(), Member(), Member(fails), Member()
        for member in (before, bad, behind):
            beat.join(member)
        await until(lambda: len(before.times) > 3 and len(behind.times) > 3, "the beat goes on")
        assert len(bad.times) == 1
        assert beat.count == 2

    run(scenario())


def test_who_joins_in_its_own_beat_has_no_more_of_them() -> None:
    async def scenario() -> None:
        beat = Beat()
        member: Member = Member(lambda: beat.join(member))
        began = asyncio.get_running_loop().time()
        beat.join(member)
        await until(lambda: len(member.times) >= 10, "ten beats")
        assert member.times[9] - began > 9.5 * BEAT_S

    run(scenario())


def test_a_call_whose_file_cannot_be_played_ends_and_the_others_talk_on(tmp_path: Path, monkeypatch: Any) -> None:
    real = Switch.play
    asked: list[str] = []

    def refuses(switch: Switch, attempt: Any, path: Path, playback: str) -> None:
        if path.name == "hello.wav":
            asked.append(playback)
            # The second time it is asked from the beat.
            raise SwitchDown("just now", maybe_sent=False) if len(asked) == 1 else CommandError("path: not one of ours")
        real(switch, attempt, path, playback)

    monkeypatch.setattr(Switch, "play", refuses)

    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            hello(h)
            bad = await h.dial("0122", agent.url, agent=AUDIO)
            await (await agent.call()).send("ready")
            await until(lambda: str(bad) not in h.switch.channels, "a call that cannot be carried on is ended")
            h.book.ended.add(bad)
            assert h.book.reason() == "relay_fault"
            path = news(h, 400)
            await play(h, attempt, path)
            await until(lambda: path.read_bytes()[:1600] in h.heard(attempt), "the file begins")
            await call.say(tone(700, 400))
            await until(lambda: without_pauses(h.heard(attempt)).endswith(tone(700, 400)), "the other agent")
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_call_that_is_over_takes_part_no_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, _ = await talking(h, agent)
            talk: Any = h.relay.desk._sessions[attempt].talk
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)
            talk.on_playback(str(news(h, 10)), 0.0)  # that of a moment before, while the agent is told
            assert h.relay.desk._parts.beat.count == 0

    run(scenario())
