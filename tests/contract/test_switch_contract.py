"""What the controller relies on when it dials, alike on the simulated switch and on a real FreeSWITCH."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from .world import NUMBER, World


@pytest.mark.parametrize(
    ("digits", "cause", "q850", "status", "phrase", "rang"),
    [
        ("0101", "USER_BUSY", "17", "486", "Busy Here", True),
        ("0103", "CALL_REJECTED", "21", "603", "Decline", True),
        ("0104", "UNALLOCATED_NUMBER", "1", "404", "Not Found", False),
        ("0105", "NORMAL_TEMPORARY_FAILURE", "41", "503", "Service Unavailable", False),
        ("0107", "NO_USER_RESPONSE", "18", "480", "Temporarily Unavailable", True),
        ("0116", "CALL_REJECTED", "21", "603", "Network Blocked", True),
        ("0117", "NORMAL_TEMPORARY_FAILURE", "41", "503", "CPS limit exceeded", False),
    ],
)
def test_a_refusal_names_cause_status_and_phrase(
    run: Callable[..., None], digits: str, cause: str, q850: str, status: str, phrase: str, rang: bool
) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(NUMBER + digits)
        end = await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel)
        assert await world.esl.job(channel) == f"-ERR {cause}\n"
        assert (end["Hangup-Cause"], end["variable_hangup_cause_q850"]) == (cause, q850)
        assert end["variable_sip_term_status"] == end["variable_sip_invite_failure_status"] == status
        assert end["variable_sip_invite_failure_phrase"] == phrase
        assert end["variable_proto_specific_hangup_cause"] == f"sip:{status}"
        assert end["variable_sip_hangup_disposition"] == "recv_refuse"
        assert (end["variable_answer_epoch"], end["variable_billsec"]) == ("0", "0")
        assert ("CHANNEL_PROGRESS" in world.esl.names(channel)) is rang
        assert "CHANNEL_ANSWER" not in world.esl.names(channel)

    run(body)


def test_an_answered_call_goes_through_its_states_in_order(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0110")
        end = await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel)
        assert await world.esl.job(channel) == f"+OK {channel}\n"
        wanted = ["CHANNEL_CREATE", "CHANNEL_PROGRESS", "CHANNEL_ANSWER", "CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE"]
        assert [name for name in world.esl.names(channel) if name in wanted] == wanted
        sequences = [int(e["Event-Sequence"]) for e in world.esl.events if e.get("Unique-ID") == channel]
        assert sequences == sorted(sequences)
        assert end["Hangup-Cause"] == "NORMAL_CLEARING"
        assert end["variable_sip_hangup_disposition"] == "recv_bye"
        # The callee talks for 0.3 s by its own clock; a switch that is short of time hears the answer late.
        assert 0 < int(end["variable_billmsec"]) <= 1500
        assert int(end["variable_progress_uepoch"]) < int(end["variable_answer_uepoch"])
        assert end["variable_trunkline_attempt"] == channel

    run(body)


def test_the_channel_uuid_is_the_sip_call_id(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0110", sip_h_X_Attempt="x")
        await world.esl.event("CHANNEL_ANSWER", channel)
        assert [r["verdict"] for r in world.arrivals(channel, "invite")] == ["admitted"]

    run(body)


def test_a_second_originate_with_a_live_uuid_is_refused_by_the_switch(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0120")
        await world.esl.event("CHANNEL_ANSWER", channel)
        await world.esl.originate(f"{NUMBER}0120", channel=channel, job=f"again-{channel}")
        assert await world.esl.job(f"again-{channel}") == "-ERR DESTINATION_OUT_OF_ORDER\n"
        assert world.esl.names(channel).count("CHANNEL_CREATE") == 1
        assert len(world.arrivals(channel, "invite")) == 1
        assert await world.esl.api(f"uuid_exists {channel}") == "true"

    run(body)


def test_a_kill_while_ringing_cancels(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0102")
        await world.esl.event("CHANNEL_PROGRESS", channel)
        assert await world.esl.api(f"uuid_kill {channel} ORIGINATOR_CANCEL") == "+OK\n"
        assert await world.esl.api(f"uuid_exists {channel}") == "false"
        end = await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel)
        assert end["variable_sip_hangup_disposition"] == "send_cancel"
        assert (end["variable_sip_invite_failure_status"], end["variable_hangup_cause_q850"]) == ("487", "16")
        await world.arrival(channel, "cancel")
        assert (await world.arrival(channel, "final"))["status"] == 487

    run(body)


def test_an_answer_that_crosses_the_cancel_is_hung_up_and_never_told(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0114")
        await world.esl.event("CHANNEL_PROGRESS", channel)
        await world.esl.api(f"uuid_kill {channel} ORIGINATOR_CANCEL")
        end = await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel)
        await world.arrival(channel, "answer")
        await world.arrival(channel, "bye")
        assert "CHANNEL_ANSWER" not in world.esl.names(channel)
        assert end["variable_sip_hangup_disposition"] == "send_cancel"

    run(body)


def test_a_kill_before_any_response_does_not_stop_the_invites(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0106")
        await world.arrival(channel, "invite")
        await world.esl.api(f"uuid_kill {channel}")
        await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel)
        killed = len(world.arrivals(channel, "retransmit"))
        async with asyncio.timeout(4):
            while len(world.arrivals(channel, "retransmit")) <= killed:
                await asyncio.sleep(0.05)
        assert world.arrivals(channel, "cancel") == []

    run(body)


def test_no_answer_in_time_is_no_answer(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0102", originate_timeout="2")
        end = await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel)
        assert await world.esl.job(channel) == "-ERR NO_ANSWER\n"
        assert (end["Hangup-Cause"], end["variable_sip_hangup_disposition"]) == ("NO_ANSWER", "send_cancel")
        await world.arrival(channel, "cancel")

    run(body)


def test_an_unknown_gateway_is_refused_without_a_create(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0120", gateway="nope")
        assert await world.esl.job(channel) == "-ERR INVALID_GATEWAY\n"
        assert "CHANNEL_CREATE" not in world.esl.names(channel)

    run(body)


def test_a_redirect_is_the_end_when_redirects_are_fatal(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0112")
        end = await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel)
        assert end["variable_proto_specific_hangup_cause"] == "sip:302"
        assert end["Hangup-Cause"] == "REQUESTED_CHAN_UNAVAIL"
        assert len(world.arrivals(channel, "invite")) == 1

    run(body)


def test_the_tombstone_is_kept_and_deleted(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        assert await world.esl.api("hash insert/trunkline/some-attempt/1") == "+OK\n"
        assert await world.esl.api("hash select/trunkline/some-attempt") == "1"
        assert await world.esl.api("hash delete/trunkline/some-attempt") == "+OK\n"
        assert await world.esl.api("hash select/trunkline/some-attempt") == "-ERR no reply\n"

    run(body)


def test_show_channels_has_no_rows_key_when_empty_and_lags_behind(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        async def rows() -> list[dict[str, str]]:
            found: list[dict[str, str]] = json.loads(await world.esl.api("show channels as json")).get("rows", [])
            return found

        async with asyncio.timeout(5):  # also the end of an earlier call shows late
            while await rows():
                await asyncio.sleep(0.05)
        assert json.loads(await world.esl.api("show channels as json")) == {"row_count": 0}
        channel = await world.esl.originate(f"{NUMBER}0120", presence_data="p", accountcode="a")
        await world.esl.event("CHANNEL_ANSWER", channel)
        assert await world.esl.api(f"uuid_exists {channel}") == "true"
        async with asyncio.timeout(5):
            while not (found := await rows()) or found[0]["state"] != "CS_EXECUTE":
                await asyncio.sleep(0.05)
        assert (found[0]["uuid"], found[0]["presence_data"], found[0]["accountcode"]) == (channel, "p", "a")

    run(body)


def test_filters_are_ored_and_hold_back_every_other_event(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        narrow = await world.second_client()
        try:
            await narrow.command("event json CHANNEL_CREATE CHANNEL_HANGUP_COMPLETE BACKGROUND_JOB")
            await narrow.command("filter variable_trunkline_lane mine")
            await narrow.command("filter Event-Name CHANNEL_HANGUP_COMPLETE")
            mine = await world.esl.originate(f"{NUMBER}0104", trunkline_lane="mine")
            other = await world.esl.originate(f"{NUMBER}0104", trunkline_lane="other")
            for channel in (mine, other):
                await narrow.event("CHANNEL_HANGUP_COMPLETE", channel)
                await world.esl.job(channel)
            assert narrow.names(mine) == ["CHANNEL_CREATE", "CHANNEL_HANGUP_COMPLETE"]
            assert narrow.names(other) == ["CHANNEL_HANGUP_COMPLETE"]
            assert not [e for e in narrow.events if e["Event-Name"] == "BACKGROUND_JOB"]
        finally:
            await narrow.close()

    run(body)


def test_sched_hangup_on_answer_ends_the_call(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0120", execute_on_answer="'sched_hangup +1 allotted_timeout'")
        end = await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel)
        assert end["Hangup-Cause"] == "ALLOTTED_TIMEOUT"
        await world.arrival(channel, "bye")

    run(body)


def test_a_misspelt_cause_becomes_normal_clearing(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0102")
        await world.esl.event("CHANNEL_PROGRESS", channel)
        await world.esl.api(f"uuid_kill {channel} ALLOTED_TIMEOUT")
        assert (await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel))["Hangup-Cause"] == "NORMAL_CLEARING"

    run(body)


def test_a_carrier_over_its_rate_refuses_by_503_and_text(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        calls = [await world.esl.originate(f"{NUMBER}0120") for _ in range(3)]
        refused = 0
        for channel in calls:
            await world.esl.first(channel, "CHANNEL_ANSWER", "CHANNEL_HANGUP_COMPLETE")
            ends = [
                e for e in world.esl.events if e.get("Unique-ID") == channel and e["Event-Name"] == "CHANNEL_HANGUP_COMPLETE"
            ]
            refused += len(ends)
            assert all(e["variable_sip_invite_failure_phrase"] == "CPS limit exceeded" for e in ends)
        assert refused == 1

    run(body, cps=2)


def test_variables_are_set_read_and_dumped(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        channel = await world.esl.originate(f"{NUMBER}0120")
        await world.esl.event("CHANNEL_ANSWER", channel)
        assert await world.esl.api(f"uuid_setvar {channel} trunkline_note two words") == "+OK\n"
        assert await world.esl.api(f"uuid_getvar {channel} trunkline_note") == "two words"
        assert await world.esl.api(f"uuid_getvar {channel} never_set") == "_undef_"
        dump = json.loads(await world.esl.api(f"uuid_dump {channel} json"))
        assert (dump["Unique-ID"], dump["variable_trunkline_note"]) == (channel, "two words")
        assert await world.esl.api("uuid_kill 00000000-0000-0000-0000-000000000000") == "-ERR No such channel!\n"

    run(body)
