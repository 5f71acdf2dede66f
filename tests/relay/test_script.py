"""Announcements of several parts, texts among them, and their menu of keys."""

from __future__ import annotations

import asyncio
import shutil
import stat
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from agents.reference.sound import tone
from controller.relay import script
from controller.relay.script import Script
from controller.relay.switch import Switch
from lab.audio.pcm import write_wav
from tests.relay.house import House, a_relay, house, run, until

MENU: dict[str, Any] = {"confirm": "1", "repeat": "2", "opt_out": "9", "wait_s": 1, "repeats": 1}
SCRIPT = [{"audio": "first.wav"}, {"audio": "second.wav"}]
FIRST, SECOND, THANKS = tone(500, 400), tone(700, 400), tone(900, 400)


def sounds(h: House) -> None:
    for name, sound in (("first", FIRST), ("second", SECOND), ("thanks", THANKS)):
        write_wav(str(Path(h.settings.announcement_dir) / f"{name}.wav"), sound)


def voice(tmp_path: Path, *, slow: bool = False) -> str:
    """A program that is called as espeak-ng is: a tone of 10 ms for each character, and what it was asked is kept."""
    path = tmp_path / "voice"
    path.write_text(
        f"#!{sys.executable}\n"
        "import sys, wave, pathlib, time\n"
        f"if {slow}: time.sleep(60)\n"
        "at, words = sys.argv[sys.argv.index('-w') + 1], sys.stdin.read()\n"
        f"with open({str(tmp_path / 'asked')!r}, 'a') as asked: asked.write(sys.argv[2] + ': ' + words + '\\n')\n"
        "if 'nosuch' in sys.argv: sys.exit('The specified espeak-ng voice does not exist.')\n"
        "with wave.open(at, 'wb') as sound:\n"
        "    sound.setparams((1, 2, 8000, 0, 'NONE', ''))\n"
        "    sound.writeframes(b'\\x00\\x10' * 80 * len(words))\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


async def over(h: House, attempt: UUID, reason: str) -> None:
    await h.gone(attempt)
    assert h.phones[attempt].vars["trunkline_end_reason"] == reason


def test_its_parts_are_played_one_behind_the_other_then_the_call_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h:
            sounds(h)
            attempt = await h.dial("0122", agent_script=SCRIPT)
            await over(h, attempt, "announcement_played")
            assert FIRST + SECOND in h.heard(attempt), "without a gap"
            assert h.book.types().count("relay.first_audio") == 1

    run(scenario())


@pytest.mark.parametrize(
    ("key", "outcome", "heard"),
    [("1", "confirmed", FIRST + SECOND + THANKS), ("9", "opted_out", FIRST + SECOND + THANKS)],
)
def test_a_key_after_the_message_is_a_choice_and_is_thanked_for(
    tmp_path: Path, key: str, outcome: str, heard: bytes
) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h:
            sounds(h)
            thanks = [{"audio": "thanks.wav"}]
            menu = MENU | {"wait_s": 60, "confirmed": thanks, "opted_out": thanks}
            attempt = await h.dial("0122", agent_script=SCRIPT, agent_menu=menu)
            await until(lambda: FIRST + SECOND in h.heard(attempt), "the message is heard")
            h.phones[attempt].callee.press("5")  # means nothing
            h.phones[attempt].callee.press(key)
            await over(h, attempt, "announcement_played")
            assert h.book.choices == [(attempt, outcome, key)]
            whole = h.heard(attempt)
            assert whole.index(THANKS) > whole.index(SECOND)

    run(scenario())


def test_a_key_within_the_message_cuts_it_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h:
            sounds(h)
            write_wav(str(tmp_path / "announcements" / "first.wav"), tone(500, 20_000))
            menu = MENU | {"confirmed": [{"audio": "thanks.wav"}]}
            attempt = await h.dial("0122", agent_script=SCRIPT, agent_menu=menu)
            await until(lambda: tone(500, 400)[:3200] in h.heard(attempt), "the message is heard")
            h.phones[attempt].callee.press("1")
            await over(h, attempt, "announcement_played")
            assert THANKS in h.heard(attempt)
            assert SECOND[:3200] not in h.heard(attempt)

    run(scenario())


def test_the_repeat_key_says_it_again_and_so_does_silence_as_often_as_it_may(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h:
            sounds(h)
            attempt = await h.dial("0122", audio="first.wav", agent_menu=MENU)
            await until(lambda: FIRST in h.heard(attempt), "the message is heard")
            h.phones[attempt].callee.press("2")
            await until(lambda: h.heard(attempt).count(FIRST) == 2, "and again, on demand")
            await until(lambda: h.heard(attempt).count(FIRST) == 3, "and again, as no key came")
            await over(h, attempt, "announcement_played")
            assert h.heard(attempt).count(FIRST) == 3
            assert h.book.choices == [(attempt, "no_key", None)]

    run(scenario())


def test_texts_are_spoken_with_the_calls_variables_while_it_rings(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, tts_program=voice(tmp_path)) as h:
            script = [{"text": "Good day, {{name}}: [[order]] {{ order }}."}]
            variables = {"name": "Ada\nLovelace", "order": 17}
            attempt = await h.dial("0122", agent_script=script, agent_voice="de", variables=variables)
            await over(h, attempt, "announcement_played")
            words = "Good day, Ada Lovelace: [ [order]] 17."
            assert (tmp_path / "asked").read_text() == f"de: {words}\n"
            assert b"\x00\x10" * 80 * len(words) in h.heard(attempt)

    run(scenario())


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        ({"agent_script": [{"text": "Hello {{name}}"}]}, "announcement_missing"),
        ({"agent_script": [{"text": "Hello"}], "agent_voice": "nosuch"}, "announcement_failed"),
        ({"agent_script": [{"audio": "none.wav"}]}, "announcement_failed"),
    ],
)
def test_what_cannot_be_said_ends_the_call_and_says_why(tmp_path: Path, agent: dict[str, Any], reason: str) -> None:
    async def scenario() -> None:
        async with house(tmp_path, tts_program=voice(tmp_path)) as h:
            attempt = await h.dial("0122", **agent)
            await over(h, attempt, reason)
            assert h.book.reason() == reason

    run(scenario())


@pytest.mark.parametrize("program", ["slow", "missing"])
def test_a_voice_that_does_not_come_costs_its_call_alone(tmp_path: Path, program: str) -> None:
    async def scenario() -> None:
        path = voice(tmp_path, slow=True) if program == "slow" else str(tmp_path / "nothing")
        async with house(tmp_path, tts_program=path, tts_timeout_s=0.3) as h:
            attempt = await h.dial("0122", agent_script=[{"text": "Hello"}])
            await over(h, attempt, "announcement_failed")

    run(scenario())


def test_a_call_whose_turn_to_be_spoken_does_not_come_ends(tmp_path: Path) -> None:
    """Two other texts are at work, each of them within its own time."""

    async def scenario() -> None:
        async with house(tmp_path, tts_program=voice(tmp_path, slow=True), tts_timeout_s=50, tts_call_timeout_s=0.5) as h:
            attempts = [await h.dial("0122", agent_script=[{"text": "Hello"}]) for _ in range(3)]
            for attempt in attempts:
                await over(h, attempt, "announcement_failed")

    run(scenario())


@pytest.mark.parametrize("lost", ["all ends", "the first end"])
def test_an_end_that_is_not_heard_of_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    heard, ends = Script.on_played, 0

    def deaf(self: Script, playback: str, response: str, at: float) -> None:
        nonlocal ends
        ends += 1
        if lost == "the first end" and ends > 1:
            heard(self, playback, response, at)

    monkeypatch.setattr(Script, "on_played", deaf)
    monkeypatch.setattr(script, "_LATE_S", 0.2)

    async def scenario() -> None:
        async with house(tmp_path) as h:
            sounds(h)
            attempt = await h.dial("0122", agent_script=SCRIPT)
            await over(h, attempt, "announcement_played")
            assert FIRST + SECOND in h.heard(attempt), "nothing was cut off"

    run(scenario())


def test_what_the_switch_was_never_told_to_play_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "_LATE_S", 0.2)
    monkeypatch.setattr(Switch, "play", lambda *_: None)  # written into a link that breaks

    async def scenario() -> None:
        async with house(tmp_path) as h:
            sounds(h)
            attempt = await h.dial("0122", agent_script=SCRIPT)
            await over(h, attempt, "announcement_failed")

    run(scenario())


def test_the_next_relay_says_it_again_unless_the_callee_has_chosen(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, own_relay=False) as h:
            sounds(h)
            write_wav(str(tmp_path / "announcements" / "thanks.wav"), tone(900, 20_000))
            menu = MENU | {"wait_s": 60, "confirmed": [{"audio": "thanks.wav"}]}
            async with a_relay(h) as h.relay:
                attempt = await h.dial("0122", agent_script=SCRIPT, agent_menu=menu)
                await until(lambda: FIRST + SECOND in h.heard(attempt), "the message is heard")
            async with a_relay(h) as h.relay:
                await until(lambda: h.heard(attempt).count(FIRST + SECOND) == 2, "the next relay begins again")
                h.phones[attempt].callee.press("1")
                await until(lambda: THANKS[:3200] in h.heard(attempt), "thanks")
            async with a_relay(h) as h.relay:
                await over(h, attempt, "announcement_played")
            assert h.heard(attempt).count(FIRST) == 2

    run(scenario())


def test_the_real_voice_is_heard_or_its_absence_named(tmp_path: Path) -> None:
    """Whichever it is on this machine."""

    async def scenario() -> None:
        async with house(tmp_path) as h:
            attempt = await h.dial("0122", agent_script=[{"text": "Good day"}], agent_voice="en")
            if shutil.which(h.settings.tts_program) is None:
                await over(h, attempt, "announcement_failed")
                return
            await over(h, attempt, "announcement_played")
            heard = memoryview(h.heard(attempt)).cast("h")
            assert max(heard) > 2000, "somebody spoke"
            await asyncio.sleep(0)

    run(scenario())
