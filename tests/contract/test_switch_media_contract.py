"""What the relay relies on: playback, break, the audio fork, keys; alike on both switches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from controller.esl_replies import dump
from controller.frames import text_of
from lab.audio import pcm

from .world import NUMBER, World


def test_queued_playbacks_follow_without_a_gap_and_are_heard(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0122")
        await world.esl.event("CHANNEL_EXECUTE", channel)
        for hz in (300, 600, 900):
            assert await world.esl.execute(channel, "playback", world.tone(hz, 400), f"tone-{hz}") == "+OK"
        await world.esl.wait(
            lambda e: e["Event-Name"] == "CHANNEL_EXECUTE_COMPLETE" and e.get("Application-UUID") == "tone-900",
            "the third playback's end",
        )
        plays = [e for e in world.esl.events if e["Event-Name"] in ("PLAYBACK_START", "PLAYBACK_STOP")]
        assert [e["Event-Name"] for e in plays] == ["PLAYBACK_START", "PLAYBACK_STOP"] * 3
        assert {e["Playback-Status"] for e in plays[1::2]} == {"done"}
        stamps = [int(e["Event-Date-Timestamp"]) for e in plays]
        assert all(begin - end < 60_000 for end, begin in zip(stamps[1::2], stamps[2::2], strict=False))
        heard = world.heard(channel)
        for hz in (300, 600, 900):
            assert max(pcm.goertzel(heard[at : at + 3200], hz) for at in range(0, len(heard), 800)) > 0.8

    run(body)


def test_a_file_of_another_rate_is_heard_at_its_own_speed(run: Callable[..., None]) -> None:
    """As a voice makes them: 22,050 samples a second."""

    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0122")
        await world.esl.event("CHANNEL_EXECUTE", channel)
        path = world.sounds / "spoken.wav"
        pcm.write_wav(str(path), pcm.tone(600, 1.0, 22_050), 22_050)
        path.chmod(0o644)
        await world.esl.execute(channel, "playback", str(path), "spoken")
        await world.esl.wait(
            lambda e: e["Event-Name"] == "CHANNEL_EXECUTE_COMPLETE" and e.get("Application-UUID") == "spoken", "its end"
        )
        heard = world.heard(channel)
        loud = [at for at in range(0, len(heard) - 319, 320) if max(pcm.unpack(heard[at : at + 320])) > 1000]
        assert 48 <= len(loud) <= 52, "a second of 20 ms frames"
        assert pcm.goertzel(heard[loud[5] : loud[45]], 600) > 0.8

    run(body)


def test_what_begins_to_play_before_the_park_is_cut_off(run: Callable[..., None]) -> None:
    """The channel is on its way from the originate to its application then. What is sent after CHANNEL_PARK is whole."""

    async def body(world: World) -> None:
        cut = 0
        for number in range(10):  # an idle listener of a real switch tells of the answer too late for this
            channel, busy = await world.esl.originate(f"{NUMBER}0122"), await world.second_client()
            try:
                await busy.command("event json CHANNEL_ANSWER")
                while not [e for e in busy.events if e["Unique-ID"] == channel]:
                    await busy.api("uuid_exists nobody")
                await busy.execute(channel, "playback", world.tone(440, 200), f"early-{number}")
                await world.esl.event("CHANNEL_PARK", channel)
                await busy.execute(channel, "playback", world.tone(880, 200), f"late-{number}")
                ends = {}
                for tag in ("early", "late"):
                    end = await world.esl.wait(
                        lambda e, tag=f"{tag}-{number}": (
                            e.get("Application-UUID") == tag  # type: ignore[misc]
                            and e["Event-Name"] == "CHANNEL_EXECUTE_COMPLETE"
                        ),
                        tag,
                    )
                    ends[tag] = end["Application-Response"]
            finally:
                await busy.close()
            await world.esl.api(f"uuid_kill {channel}")
            assert ends["late"] == "FILE PLAYED"
            cut += ends["early"] == "PLAYBACK ERROR"
            if cut:
                break
        assert cut == 1

    run(body)


def test_break_all_stops_the_sound_and_flushes_the_queue(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0122")
        await world.esl.event("CHANNEL_EXECUTE", channel)
        await world.esl.execute(channel, "playback", world.tone(440, 5000), "long")
        await world.esl.execute(channel, "playback", world.tone(880, 5000), "never")
        await world.esl.event("PLAYBACK_START", channel)
        assert await world.esl.api(f"uuid_break {channel} all") == "+OK\n"
        stop = await world.esl.event("PLAYBACK_STOP", channel)
        assert stop["Playback-Status"] == "break"
        await world.esl.execute(channel, "playback", world.tone(500, 100), "after")
        await world.esl.wait(
            lambda e: e.get("Application-UUID") == "after" and e["Event-Name"] == "CHANNEL_EXECUTE_COMPLETE",
            "the next playback",
        )
        assert not [e for e in world.esl.events if e.get("Application-UUID") == "never"]

    run(body)


def test_a_channel_says_of_itself_whether_a_file_plays(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0122")
        await world.esl.event("CHANNEL_PARK", channel)
        assert await _playing(world, channel) is None
        path = world.tone(600, 600)
        await world.esl.execute(channel, "playback", path, "file")
        await world.esl.event("PLAYBACK_START", channel)
        assert await _playing(world, channel) == path
        await world.esl.wait(
            lambda e: e["Event-Name"] == "CHANNEL_EXECUTE_COMPLETE" and e.get("Application-UUID") == "file", "its end"
        )
        assert await _playing(world, channel) is None

    run(body)


async def _playing(world: World, channel: str) -> str | None:
    """As :class:`controller.relay.playing.Playing` reads it."""
    told = dump(await world.esl.api(f"uuid_dump {channel}"))
    if told.get("variable_current_application") != "playback" or "variable_current_application_response" in told:
        return None
    return text_of(told, "variable_current_application_data")


def test_the_fork_opens_with_the_answer_and_carries_the_callees_voice(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        paths: list[str] = []
        protocols: list[str | None] = []
        frames: list[bytes] = []
        enough = asyncio.Event()

        async def agent(socket: ServerConnection) -> None:
            assert socket.request is not None
            paths.append(socket.request.path)
            protocols.append(socket.subprotocol)
            async for message in socket:
                if isinstance(message, bytes):
                    frames.append(message)
                    if len(frames) >= 50:
                        enough.set()

        async with serve(agent, "127.0.0.1", 0, subprotocols=[Subprotocol("audio.drachtio.org")]) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            channel = "6b1f2a54-0000-4000-8000-000000000001"
            fork = f"'uuid_audio_fork {channel} start ws://127.0.0.1:{port}/fork/{channel} mono 8k trunkline'"
            await world.esl.originate(f"{NUMBER}0121", channel=channel, api_on_answer=fork)
            await world.esl.custom("mod_audio_fork::connect", channel)
            async with asyncio.timeout(5):
                await enough.wait()
            assert (paths, protocols) == ([f"/fork/{channel}"], ["audio.drachtio.org"])
            # 20 ms each; what waited while the machine was busy comes in one.
            assert all(len(frame) % 320 == 0 for frame in frames)
            assert pcm.goertzel(b"".join(frames[25:50]), 440) > 0.8
            await world.esl.api(f"uuid_kill {channel}")
            await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel)

    run(body)


def test_a_fork_without_a_listener_fails_and_its_bug_stays(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0120")
        await world.esl.event("CHANNEL_ANSWER", channel)
        start = f"uuid_audio_fork {channel} start ws://127.0.0.1:9/none mono 8k trunkline"
        assert await world.esl.api(start) == "+OK Success\n"
        failed = await world.esl.custom("mod_audio_fork::connect_failed", channel)
        assert json.loads(failed["_body"]) == {"reason": "Unable to connect"}
        assert await world.esl.api(start) == "-ERR Operation Failed\n"

    run(body)


def test_keys_the_callee_presses_arrive_as_dtmf(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0124")
        await world.esl.wait(lambda e: e.get("DTMF-Digit") == "#", "the last digit")
        digits = [e["DTMF-Digit"] for e in world.esl.events if e.get("Unique-ID") == channel and "DTMF-Digit" in e]
        assert digits == ["1", "2", "#"]
        pressed = [e for e in world.esl.events if "DTMF-Digit" in e]
        assert not [name for event in pressed for name in event if name.startswith("variable_")]
        await world.esl.api(f"uuid_kill {channel}")
        assert (await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel))["variable_digits_dialed"] == "12#"

    run(body)
