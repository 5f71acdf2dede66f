"""What recordings rely on: two channels, the callee's left; a mask that is silence. Alike on both switches."""

from __future__ import annotations

import asyncio
import re
import wave
from collections.abc import Callable
from pathlib import Path

from calls.recording import attempt_of
from controller import record_commands
from lab.audio import pcm

from .world import NUMBER, JsonEvent, World

CALLEE_HZ, AGENT_HZ = 440, 900


def sides(path: str) -> tuple[bytes, bytes]:
    """(left, right) of a stereo file at 8 kHz."""
    with wave.open(path, "rb") as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (2, 2, 8000)
        samples = pcm.unpack(sound.readframes(sound.getnframes()))
    return samples[::2].tobytes(), samples[1::2].tobytes()


def loudest(sound: bytes, hz: int) -> float:
    """The greatest share of that tone in any fifth of a second: a packet that comes late does not matter."""
    return max(pcm.goertzel(sound[at : at + 3200], hz) for at in range(0, len(sound) - 3200, 800))


async def answered(world: World, last: str) -> tuple[str, str]:
    """A channel whose callee speaks as that number does, and the file that is to be its recording."""
    await world.esl.command("event json RECORD_START RECORD_STOP")
    channel = await world.esl.originate(f"{NUMBER}{last}")
    await world.esl.event("CHANNEL_PARK", channel)
    return channel, str(world.directory / f"{channel}.wav")


async def say(world: World, verb: str, path: str) -> str:
    """The reply to the very command that the relay and the controller give."""
    attempt = attempt_of(path)
    assert attempt is not None
    build = getattr(record_commands, f"record_{verb}")
    line = build(attempt, under=str(Path(path).parent)).wire.decode().strip()
    return await world.esl.api(line.removeprefix("api "))


async def stopped(world: World, channel: str) -> JsonEvent:
    return await world.esl.event("RECORD_STOP", channel)


def test_the_callee_is_left_and_the_agent_right(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel, path = await answered(world, "0121")
        assert await say(world, "start", path) == "+OK Success\n"
        started = await world.esl.event("RECORD_START", channel)
        assert started["Record-File-Path"] == path
        await world.esl.execute(channel, "playback", world.tone(AGENT_HZ, 1500), "agent")
        await world.esl.wait(
            lambda e: e["Event-Name"] == "CHANNEL_EXECUTE_COMPLETE" and e.get("Application-UUID") == "agent", "its end"
        )
        await world.esl.api(f"uuid_kill {channel}")
        end = await stopped(world, channel)
        assert end["Record-File-Path"] == path
        left, right = sides(path)  # as soon as the switch says that it is over, the file is whole
        assert len(left) >= 1.4 * 16_000
        assert loudest(left, CALLEE_HZ) > 0.8
        assert loudest(left, AGENT_HZ) < 0.1
        assert loudest(right, AGENT_HZ) > 0.8
        assert loudest(right, CALLEE_HZ) < 0.1

    run(body)


def test_a_masked_stretch_is_silent_on_both_sides(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        agent = world.tone(
            AGENT_HZ, 20_000
        )  # before there is a callee: making it stops the carrier, who is silent meanwhile
        channel, path = await answered(world, "0121")
        await say(world, "start", path)
        await world.esl.execute(channel, "playback", agent, "agent")
        await world.esl.event("PLAYBACK_START", channel)
        await asyncio.sleep(0.6)
        assert await say(world, "mask", path) == "+OK Success\n"
        assert await say(world, "mask", path) == "+OK Success\n"
        await asyncio.sleep(0.8)
        assert await say(world, "unmask", path) == "+OK Success\n"
        await asyncio.sleep(0.6)
        assert await say(world, "stop", path) == "+OK Success\n"
        await stopped(world, channel)
        both = sides(path)
        loud = "".join(
            "#" if any(any(sound[at : at + 320]) for sound in both) else "." for at in range(0, len(both[0]), 320)
        )
        # Heard, then nothing at all, then heard: in one piece each, and nothing of the silent time is missing.
        silent = re.fullmatch(r"[.]{0,5}#{20,}([.]{30,60})#{20,}[.]{0,5}", loud)
        assert silent is not None, loud

    run(body)


def test_what_is_answered_to_what_cannot_be(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel, path = await answered(world, "0122")
        assert await say(world, "mask", path) == "-ERR Cannot mask recording session!\n"
        assert await say(world, "unmask", path) == "-ERR Cannot unmask recording session!\n"
        assert await say(world, "stop", path) == "-ERR Cannot stop record session!\n"
        assert await say(world, "start", path) == "+OK Success\n"
        await world.esl.event("RECORD_START", channel)
        assert await say(world, "start", path) == "+OK Success\n"  # the same one goes on
        assert world.esl.names(channel).count("RECORD_START") == 1
        await asyncio.sleep(0.3)
        await say(world, "stop", path)
        await stopped(world, channel)
        assert Path(path).stat().st_size > 44
        await world.esl.api(f"uuid_kill {channel}")
        await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel)
        assert await say(world, "start", path) == "-ERR Cannot locate session!\n"

    run(body)
