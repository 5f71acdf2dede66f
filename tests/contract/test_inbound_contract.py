"""Calls that a carrier places to the switch, on dialplan/inbound.xml: what both kinds of switch promise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .world import JsonEvent, World

DID = "+4989111222"


async def ring(world: World, channel: str) -> None:
    """As the controller does when it takes a call."""
    headers, _ = await world.esl.command(
        f"sendmsg {channel}\ncall-command: execute\nexecute-app-name: ring_ready\nevent-lock: true"
    )
    assert headers["Reply-Text"].startswith("+OK")


async def ended(world: World, channel: str) -> JsonEvent:
    return await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel)


def test_a_call_is_announced_and_waits_unrung(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        call, channel = await world.arrive(DID, "+4930123456", display="x;evil,a=b")
        said = next(e for e in world.esl.events if e.get("Event-Subclass") == "trunkline::inbound")
        assert (said["Event-Name"], said["Call-Direction"]) == ("CUSTOM", "inbound")
        assert (said["Caller-Destination-Number"], said["Caller-Caller-ID-Number"]) == (DID, "+4930123456")
        assert said["variable_trunkline_attempt"] == said["variable_uuid"] == channel
        assert said["variable_sip_network_ip"] == "127.0.0.1"
        assert said["variable_sip_network_port"] == str(world.caller.address[1])
        assert said["variable_sip_call_id"] == call.call_id
        await world.esl.event("CHANNEL_PARK", channel)
        assert call.statuses == [100]

    run(body)


def test_rung_answered_and_hung_up_by_the_caller(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        call, channel = await world.arrive(DID)
        await ring(world, channel)
        await call.until_status(180)
        progress = await world.esl.event("CHANNEL_PROGRESS", channel)
        assert (progress["variable_trunkline_attempt"], progress["Call-Direction"]) == (channel, "inbound")
        assert await world.esl.api(f"uuid_answer {channel}") == "+OK\n"
        await call.until_status(200)
        await world.esl.event("CHANNEL_ANSWER", channel)
        assert call.statuses == [100, 180, 200]
        assert all(not message.body for message in call.said[:-1])  # no early media: nothing is heard before the answer
        call.hang_up()
        end = await ended(world, channel)
        assert (end["Hangup-Cause"], end["variable_sip_hangup_disposition"]) == ("NORMAL_CLEARING", "recv_bye")
        assert end["Caller-Channel-Progress-Time"] != "0"
        # Its clock goes in steps, of 20 ms on some machines.
        assert int(end["Caller-Channel-Answered-Time"]) >= int(end["Caller-Channel-Progress-Time"])

    run(body)


def test_the_answer_takes_out_the_fuse_and_puts_in_the_last_one(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        _, channel = await world.arrive(DID)
        assert await world.esl.api(f"uuid_answer {channel}") == "+OK\n"
        await world.esl.wait(
            lambda e: e.get("Unique-ID") == channel and e.get("Application-Data") == "+7200 ALLOTTED_TIMEOUT",
            "the last fuse",
        )
        ran = [
            (e["Application"], e.get("Application-Data"))
            for e in world.esl.events
            if e.get("Unique-ID") == channel and e["Event-Name"] == "CHANNEL_EXECUTE"
        ]
        assert ran[-2:] == [("sched_cancel", None), ("sched_hangup", "+7200 ALLOTTED_TIMEOUT")]
        assert ("sched_hangup", "+30 NORMAL_TEMPORARY_FAILURE") in ran

    run(body)


def test_a_call_of_ours_can_be_bounded_after_the_answer(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        call, channel = await world.arrive(DID)
        await world.esl.api(f"uuid_answer {channel}")
        await call.until_status(200)
        assert (await world.esl.api(f"sched_hangup +1 {channel} ALLOTTED_TIMEOUT")).startswith("+OK")
        await call.until_ended()
        end = await ended(world, channel)
        assert (end["Hangup-Cause"], end["variable_sip_hangup_disposition"]) == ("ALLOTTED_TIMEOUT", "send_bye")

    run(body)


@pytest.mark.parametrize(
    ("cause", "status", "q850"),
    [
        ("UNALLOCATED_NUMBER", 404, 1),
        ("NO_ANSWER", 480, 19),
        ("NORMAL_CLEARING", 480, 16),
        ("USER_BUSY", 486, 17),
        ("NORMAL_CIRCUIT_CONGESTION", 503, 34),
        ("NORMAL_TEMPORARY_FAILURE", 503, 41),
    ],
)
def test_a_hangup_before_the_answer_refuses(run: Callable[..., None], cause: str, status: int, q850: int) -> None:
    async def body(world: World) -> None:
        call, channel = await world.arrive(DID)
        assert await world.esl.api(f"uuid_kill {channel} {cause}") == "+OK\n"
        await call.until_ended()
        assert call.statuses == [100, status]
        assert call.said[-1].get("reason") == f'Q.850;cause={q850};text="{cause}"'
        end = await ended(world, channel)
        assert (end["Hangup-Cause"], end["variable_sip_hangup_disposition"]) == (cause, "send_refuse")
        assert end["variable_hangup_cause_q850"] == str(q850)
        assert "variable_sip_term_status" not in end

    run(body)


def test_the_caller_gives_up_before_the_answer(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        call, channel = await world.arrive(DID)
        await ring(world, channel)
        await call.until_status(180)
        call.cancel()
        await call.until_ended()
        assert call.statuses == [100, 180, 487]
        end = await ended(world, channel)
        assert (end["Hangup-Cause"], end["variable_sip_hangup_disposition"]) == ("ORIGINATOR_CANCEL", "recv_cancel")
        assert (end["variable_sip_term_status"], end["variable_sip_invite_failure_phrase"]) == ("487", "CANCEL")
        assert await world.esl.api(f"uuid_answer {channel}") == "-ERROR\n"

    run(body)


def test_what_is_no_number_is_refused_without_a_word_to_anybody(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        call = world.caller.call("hello", words="offer")
        await call.until_ended()
        assert call.statuses == [100, 404]
        assert not any(e.get("Event-Subclass") == "trunkline::inbound" for e in world.esl.events)

    run(body)


def test_show_channels_says_whose_it_is(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        _, channel = await world.arrive(DID)
        await world.shown(channel, presence_data="inbound", direction="inbound", context="inbound", dest=DID)

    run(body)
