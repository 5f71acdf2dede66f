"""An agent that hears and speaks 16,000 samples a second, while the telephone has 8,000."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.relay.dialect import PIECE_BYTES
from controller.relay.pacing import Stream
from controller.relay.resample import Doubler, Halver
from lab.audio.pcm import goertzel, tone, unpack
from tests.relay.house import ScriptedAgent, house, run, until, without_pauses

WIDE = {"agent_sample_rate": 16_000}


def decibels(pcm: bytes) -> float:
    samples = unpack(pcm)
    return 10 * math.log10(sum(sample * sample for sample in samples) / len(samples) + 1e-9)


@pytest.mark.parametrize(("hz", "least", "most"), [(300, -0.1, 0.1), (3400, -0.1, 0.1), (4700, -99, -48), (7500, -99, -48)])
def test_speech_passes_and_nothing_is_folded_into_it(hz: float, least: float, most: float) -> None:
    wide = tone(hz, 0.5, 16_000)
    assert least <= decibels(Halver().feed(wide)[200:]) - decibels(wide) <= most


@pytest.mark.parametrize("hz", [300, 1000, 3400])
def test_what_is_made_finer_has_no_image(hz: float) -> None:
    narrow = tone(hz, 0.5)
    wide = Doubler().feed(narrow)[400:]
    assert abs(decibels(wide) - decibels(narrow)) < 0.1
    assert goertzel(wide, 8000 - hz, 16_000) < 2e-5


@given(st.binary(max_size=1200), st.lists(st.integers(0, 100), max_size=12))
def test_a_stream_is_the_same_in_whatever_pieces_it_comes(data: bytes, cuts: list[int]) -> None:
    data = data[: len(data) // 2 * 2]
    for kind, ratio in ((Doubler, 2.0), (Halver, 0.5)):
        stream, made, at = kind(), b"", 0
        for size in [*cuts, len(data)]:
            made += stream.feed(data[at : at + 2 * size])
            at += 2 * size
        assert made == kind().feed(data)
        if isinstance(stream, Halver):
            assert stream.size(len(data)) == len(stream.feed(data))
        assert len(made) == int(len(data) // 2 * ratio) * 2


def test_the_loudest_stays_as_loud_as_can_be() -> None:
    square = (b"\xff\x7f" * 20 + b"\x00\x80" * 20) * 20
    for kind in (Doubler, Halver):
        samples = unpack(kind().feed(square))
        assert (max(samples), min(samples)) == (32_767, -32_768)


def test_an_agent_hears_and_speaks_at_its_own_rate(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0121", agent.url, agent=WIDE)  # says 440 Hz
            call = await agent.call()
            audio = (await call.expect("start"))["audio"]
            assert audio == {"encoding": "L16", "sample_rate": 16_000, "channels": 1, "frame_bytes": 640}
            await call.say(tone(1000, 0.6, 16_000))
            await call.send("mark", name="said")
            await call.send("ready")
            await call.expect("mark")
            await until(lambda: len(call.audio) > 30, "the callee")
            assert {len(frame) for frame in call.audio} == {640}
            assert goertzel(b"".join(call.audio[5:25]), 440, 16_000) > 0.9
            heard = without_pauses(h.heard(attempt))
            assert abs(len(heard) / 16 - 600) <= 20, "600 ms of it, and no more"
            assert goertzel(heard[1600:-1600], 1000) > 0.99, "and no seam in it"
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_what_was_cleared_has_no_echo(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0122", agent.url, agent=WIDE)
            call = await agent.call()
            await call.say(b"\xff\x7f" * 3200)
            await call.send("clear")
            await call.say(bytes(3200))
            await call.send("mark", name="silent")
            await call.send("ready")
            await call.expect("mark")
            assert not any(h.heard(attempt))
            await call.say(tone(800, 0.2, 16_000))
            await until(lambda: goertzel(without_pauses(h.heard(attempt)), 800) > 0.9, "it goes on")
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_long_message_is_taken_in_pieces_and_others_have_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, taken = 0, []  # of the event loop; the turn and the bytes
    feed = Stream.feed

    def noted(self: Stream, pcm: bytes, now: float) -> None:
        taken.append((turns, len(pcm)))
        feed(self, pcm, now)

    monkeypatch.setattr(Stream, "feed", noted)

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def scenario() -> None:
        async with house(tmp_path, relay_max_buffer_s=4.0) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0102", agent.url, agent=WIDE)  # rings: nothing is played yet
            call = await agent.call()
            await call.send("ready")
            counting = asyncio.create_task(count())
            await call.socket.send(bytes(4 * 32_000))  # fits exactly
            await call.socket.send(bytes(4 * 32_000))
            assert (await call.expect("error"))["code"] == "buffer_full"
            counting.cancel()
            assert sum(size for _, size in taken) == 4 * 16_000, "what does not fit is not taken in part"
            assert max(size for _, size in taken) <= PIECE_BYTES // 2
            assert len({turn for turn, _ in taken}) == len(taken) > 4, "each in a turn of its own"
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())
