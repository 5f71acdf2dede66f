"""The reference agent's voice, by a stand-in for espeak-ng that says how often it was run."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import pytest

from agents.reference import sound, talk
from agents.reference.sound import speak


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with one line for each run; its voice is 100 ms at 16 kHz."""
    with wave.open(str(tmp_path / "voice.wav"), "wb") as voice:
        voice.setparams((1, 2, 16_000, 0, "NONE", ""))
        voice.writeframes(b"\x00\x10" * 1600)
    program, runs = tmp_path / "espeak-ng", tmp_path / "runs"
    program.write_text(f"#!/bin/sh\ncat >> {runs}\necho >> {runs}\ncat {tmp_path / 'voice.wav'}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sound, "_spoken", {})  # not what other tests had spoken
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    runs.touch()
    return runs


def test_the_same_words_are_spoken_once(runs: Path) -> None:
    first = asyncio.run(speak("A greeting of this test."))
    assert first == b"\x00\x10" * 800  # 100 ms at 8 kHz
    assert asyncio.run(speak("A greeting of this test.")) == first
    assert asyncio.run(speak("Another one.")) == first
    assert runs.read_text().splitlines() == ["A greeting of this test.", "Another one."]


def test_what_workers_say_first_is_spoken_before_they_are_divided(runs: Path) -> None:
    talk.prepare()
    (words,) = runs.read_text().splitlines()
    assert asyncio.run(speak(words)) == b"\x00\x10" * 800
    assert asyncio.run(speak(words, 16_000)) == b"\x00\x10" * 1600
    assert runs.read_text().splitlines() == [words], "at either rate"


def test_so_many_are_remembered_at_the_most(runs: Path) -> None:
    for number in range(40):
        asyncio.run(speak(f"Number {number}."))
    asyncio.run(speak("Number 39."))
    asyncio.run(speak("Number 0."))
    assert len(runs.read_text().splitlines()) == 41
