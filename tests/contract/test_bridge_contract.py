"""What a transfer relies on: two answered legs become one conversation, and end together. Alike on both switches."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

import pytest

from controller import commands
from lab.audio import pcm

from .world import NUMBER, JsonEvent, World

#: Speaks at 440 Hz; is silent.
SPEAKS, SILENT, HZ = "0121", "0122", 440


async def parked(world: World, last: str) -> str:
    channel = await world.esl.originate(f"{NUMBER}{last}")
    await world.esl.event("CHANNEL_PARK", channel)
    return channel


async def say(world: World, line: commands.Command) -> str:
    return await world.esl.api(line.wire.decode().strip().removeprefix("api "))


async def bridged(world: World) -> tuple[str, str]:
    await world.esl.command("event json CHANNEL_BRIDGE CHANNEL_UNPARK CHANNEL_UNBRIDGE")
    first, second = await parked(world, SPEAKS), await parked(world, SILENT)
    reply = await say(world, commands.uuid_bridge(uuid.UUID(first), uuid.UUID(second)))
    assert reply == f"+OK {second}\n"
    event = await world.esl.event("CHANNEL_BRIDGE", first)
    assert (event["Bridge-A-Unique-ID"], event["Bridge-B-Unique-ID"]) == (first, second)
    return first, second


def played(event: JsonEvent, tag: str) -> bool:
    return event["Event-Name"] == "CHANNEL_EXECUTE_COMPLETE" and event.get("Application-UUID") == tag


@pytest.mark.parametrize("ends", [0, 1])
def test_two_legs_hear_each_other_and_end_together(run: Callable[..., None], ends: int) -> None:
    async def body(world: World) -> None:
        legs = await bridged(world)
        async with asyncio.timeout(8):
            while pcm.goertzel(world.heard(legs[1])[-3200:], HZ) < 0.8:
                await asyncio.sleep(0.05)
        for leg, other in (legs, reversed(legs)):
            dump = await world.esl.api(f"uuid_dump {leg}")
            assert f"variable_signal_bond: {other}\n" in dump, "whoever looks later sees it"
            assert "Channel-State: CS_EXECUTE\n" not in dump
        await world.esl.api(f"uuid_kill {legs[ends]}")
        for leg in legs:
            over = await world.esl.event("CHANNEL_HANGUP_COMPLETE", leg)
            assert over["Hangup-Cause"] == "NORMAL_CLEARING"
            assert over["variable_sip_hangup_disposition"] == "send_bye"
            await world.arrival(leg, "bye")

    run(body)


def test_what_is_played_to_a_leg_is_cut_off_and_said_to_be(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        await world.esl.command("event json CHANNEL_BRIDGE")
        first, second = await parked(world, SILENT), await parked(world, SILENT)
        await world.esl.execute(first, "playback", world.tone(900, 8000), "long")
        await world.esl.event("PLAYBACK_START", first)
        await say(world, commands.uuid_bridge(uuid.UUID(first), uuid.UUID(second)))
        cut = await world.esl.wait(lambda e: played(e, "long"), "its end")
        assert cut["Application-Response"] == "PLAYBACK ERROR"
        await world.esl.event("CHANNEL_BRIDGE", first)

    run(body)


def test_a_leg_that_is_not_there_is_no_bridge_and_costs_the_other_nothing(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        leg, nobody = uuid.UUID(await parked(world, SILENT)), uuid.uuid4()
        for pair in ((leg, nobody), (nobody, leg)):
            assert (await say(world, commands.uuid_bridge(*pair))).startswith("-ERR")
        assert await world.esl.api(f"uuid_exists {leg}") == "true"

    run(body)
