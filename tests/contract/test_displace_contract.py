"""A pipe whose sound is mixed into what a channel sends: how the agent is heard; alike on both switches."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from lab.audio import pcm

from .world import NUMBER, WAIT_S, World

FRAME = 320
VOICE = pcm.tone(600, 1.0)


def unread(pipe: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0])


class Pipe:
    """As the relay holds one: open for writing only for moments, so that the switch never waits for what does not come."""

    def __init__(self, world: World, name: str = "voice") -> None:
        self.path = world.sounds / f"{name}.raw"
        os.mkfifo(self.path)
        self.path.chmod(0o644)

    @asynccontextmanager
    async def both(self) -> AsyncIterator[int]:
        """Open both ways, as before the switch has opened it."""
        pipe = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        try:
            yield pipe
        finally:
            os.close(pipe)

    def left(self) -> int | None:
        """Bytes that were not taken yet; None: the switch has closed it."""
        try:
            pipe = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            return unread(pipe)
        finally:
            os.close(pipe)

    async def until(self, size: int | None) -> None:
        """Wait until no more than that is left, or until it is closed."""
        async with asyncio.timeout(WAIT_S):
            while (left := self.left()) is not None and (size is None or left > size):
                await asyncio.sleep(0.005)

    def take_back(self) -> bytes:
        pipe = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        try:
            return os.read(pipe, 1 << 16)
        finally:
            os.close(pipe)


async def parked(world: World, number: str = "0122", **variables: str) -> str:
    channel = await world.esl.originate(f"{NUMBER}{number}", **variables)
    await world.esl.event("CHANNEL_PARK", channel)
    return channel


async def displace(world: World, channel: str, path: Path) -> str:
    return await world.esl.api(f"uuid_displace {channel} start {path} 0 mf")


def loud(heard: bytes) -> list[int]:
    return [at for at in range(0, len(heard) - FRAME + 1, FRAME) if max(pcm.unpack(heard[at : at + FRAME])) > 1000]


def test_a_pipe_is_heard_frame_by_frame_and_over_when_it_is_empty(run: Callable[..., None]) -> None:
    """Also while nothing else plays: a parked channel sends silence (send_silence_when_idle), which it is mixed into."""

    async def body(world: World) -> None:
        watcher = await world.second_client()
        await watcher.command("event json MEDIA_BUG_START MEDIA_BUG_STOP PLAYBACK_START")
        channel, pipe = await parked(world), Pipe(world)
        async with pipe.both() as end:
            os.write(end, VOICE)
            assert await displace(world, channel, pipe.path) == "+OK Success\n"
            assert await displace(world, channel, pipe.path) == "-ERR Cannot displace session!\n"
        lefts = set()
        async with asyncio.timeout(WAIT_S):
            while (left := pipe.left()) is not None:
                lefts.add(left)
                await asyncio.sleep(0.003)
        assert len(lefts) > 25, "none is read ahead"
        assert {left % FRAME for left in lefts} == {0}
        await watcher.event("MEDIA_BUG_STOP", channel)
        told = [(e["Event-Name"], e["Media-Bug-Function"], e["Media-Bug-Target"]) for e in watcher.events]
        assert told == [(name, "displace", str(pipe.path)) for name in ("MEDIA_BUG_START", "MEDIA_BUG_STOP")]
        await watcher.close()
        frames = loud(heard := world.heard(channel))
        assert len(frames) == 50
        assert frames[-1] - frames[0] == 49 * FRAME
        assert pcm.goertzel(heard[frames[0] : frames[-1] + FRAME], 600) > 0.99
        # It may begin again at once.
        async with pipe.both() as end:
            os.write(end, VOICE)
            assert await displace(world, channel, pipe.path) == "+OK Success\n"
        await pipe.until(FRAME * 40)

    run(body)


def test_what_is_taken_back_is_not_heard(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel, pipe = await parked(world), Pipe(world)
        async with pipe.both() as end:
            os.write(end, VOICE)
            await displace(world, channel, pipe.path)
            while unread(end) > FRAME * 40:
                await asyncio.sleep(0.005)
        back = pipe.take_back()
        await pipe.until(None)
        frames = loud(world.heard(channel))
        assert len(back) % FRAME == 0
        assert len(frames) + len(back) // FRAME == 50

    run(body)


def test_files_play_beside_it_and_a_break_stops_only_them(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel, pipe = await parked(world), Pipe(world)
        async with pipe.both() as end:
            os.write(end, VOICE)
            await displace(world, channel, pipe.path)
        await world.esl.execute(channel, "playback", world.tone(900, 5000), "file")
        await world.esl.event("PLAYBACK_START", channel)
        await pipe.until(FRAME * 20)
        assert await world.esl.api(f"uuid_break {channel} all") == "+OK\n"
        await world.esl.event("PLAYBACK_STOP", channel)
        await pipe.until(None)
        frames = loud(heard := world.heard(channel))
        assert 50 <= len(frames) <= 52
        both = heard[frames[10] : frames[20]]
        assert min(pcm.goertzel(both, 600), pcm.goertzel(both, 900)) > 0.3
        assert pcm.goertzel(heard[frames[-5] : frames[-1]], 600) > 0.9

    run(body)


def test_the_callee_is_heard_whole_meanwhile_and_a_recording_has_both(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        frames: list[bytes] = []

        async def agent(socket: ServerConnection) -> None:
            async for message in socket:
                if isinstance(message, bytes):
                    frames.append(message)

        async with serve(agent, "127.0.0.1", 0, subprotocols=[Subprotocol("audio.drachtio.org")]) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            name = "6b1f2a54-0000-4000-8000-000000000d15"
            fork = f"'uuid_audio_fork {name} start ws://127.0.0.1:{port}/fork/{name} mono 8k trunkline'"
            channel, pipe = await parked(world, "0121", channel=name, api_on_answer=fork), Pipe(world)
            record = world.directory / "both.wav"
            assert await world.esl.api(f"uuid_record {channel} start {record}") == "+OK Success\n"
            async with asyncio.timeout(WAIT_S):
                while sum(map(len, frames)) < 5 * FRAME:
                    await asyncio.sleep(0.01)
            before = sum(map(len, frames))
            async with pipe.both() as end:
                os.write(end, VOICE)
                await displace(world, channel, pipe.path)
            await pipe.until(None)
            told = b"".join(frames)
            # A second of sound lies between the two looks; nothing of the callee's is lost, doubled or mixed with it.
            assert 48 <= (len(told) - before) // FRAME <= 56
            assert pcm.goertzel(told[-40 * FRAME :], 440) > 0.99
            await world.esl.api(f"uuid_kill {channel}")
            await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel)
        recorded = pcm.read_sound(str(record))
        middle = recorded[len(recorded) // 2 - 10 * FRAME : len(recorded) // 2 + 10 * FRAME]
        assert min(pcm.goertzel(middle, 440), pcm.goertzel(middle, 600)) > 0.3

    run(body)


def test_a_pipe_that_is_held_open_and_empty_stops_the_channel_until_it_is_closed(run: Callable[..., None]) -> None:
    """Which is why the relay holds none open."""

    async def body(world: World) -> None:
        channel, pipe = await parked(world), Pipe(world)
        async with pipe.both() as end:
            os.write(end, VOICE[: FRAME * 5])
            await displace(world, channel, pipe.path)
            while unread(end):
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.1)
            assert await world.esl.api(f"uuid_kill {channel}") == "+OK\n"
            await world.esl.event("CHANNEL_HANGUP", channel)
            await asyncio.sleep(0.2)
            assert "CHANNEL_HANGUP_COMPLETE" not in world.esl.names(channel)
        await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel)

    run(body)


def test_what_is_put_in_its_place_at_once_is_no_new_beginning(run: Callable[..., None]) -> None:
    """As at each clear, and where a word follows a pause."""

    async def body(world: World) -> None:
        channel, pipe = await parked(world), Pipe(world)
        async with pipe.both() as end:
            os.write(end, VOICE)
            await displace(world, channel, pipe.path)
        for word in range(20):
            left = pipe.left()
            assert left, f"over before word {word}"
            end = os.open(pipe.path, os.O_WRONLY | os.O_NONBLOCK)
            try:
                pipe.take_back()
                os.write(end, VOICE[: FRAME * 40] if word % 2 else bytes(FRAME * 40))
            finally:
                os.close(end)
            await pipe.until(FRAME * 36)
        await pipe.until(None)
        assert 40 <= len(loud(world.heard(channel))) <= 110

    run(body)


def test_a_channel_that_stands_still_keeps_waiting_whoever_wants_another_bug_there(run: Callable[..., None]) -> None:
    """Which is why voices, and recordings, are begun over links of their own."""

    async def body(world: World) -> None:
        other = await world.second_client()
        channel, pipe, two = await parked(world), Pipe(world, "one"), Pipe(world, "two")
        async with pipe.both() as end:
            os.write(end, VOICE[: FRAME * 3])
            await displace(world, channel, pipe.path)
            while unread(end):
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.1)
            async with two.both() as held:
                os.write(held, VOICE)
                voice = asyncio.create_task(displace(world, channel, two.path))
                record = asyncio.create_task(other.api(f"uuid_record {channel} start {world.directory}/still.wav"))
                await asyncio.sleep(0.5)
                assert not voice.done()
                assert not record.done()
        async with asyncio.timeout(WAIT_S):
            assert await voice == "+OK Success\n"
            assert await record == "+OK Success\n"
        await other.close()

    run(body)


def test_it_waits_for_somebody_who_opens_the_pipe(run: Callable[..., None]) -> None:
    """Which a relay does that finds pipes of one that died (AudioFiles.open)."""

    async def body(world: World) -> None:
        channel, pipe = await parked(world), Pipe(world)
        asked = asyncio.create_task(displace(world, channel, pipe.path))
        await asyncio.sleep(0.3)
        assert not asked.done()
        async with asyncio.timeout(WAIT_S):
            while not asked.done():
                async with pipe.both():
                    await asyncio.sleep(0.01)
        assert await asked == "+OK Success\n"
        await pipe.until(None)

    run(body)


def test_a_hangup_is_carried_out_while_it_plays_and_a_channel_that_is_not_there_is_refused(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel, pipe = await parked(world), Pipe(world)
        async with pipe.both() as end:
            os.write(end, VOICE)
            await displace(world, channel, pipe.path)
        await world.esl.api(f"uuid_kill {channel}")
        await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel)
        await pipe.until(None)
        assert await displace(world, channel, pipe.path) == "-ERR Cannot locate session!\n"

    run(body)
