"""What fails ends the call, with the true reason and nothing left behind; what can be mended is mended."""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agents.reference.__main__ import listening
from agents.reference.sound import tone
from lab.audio.pcm import goertzel, write_wav
from tests.relay.house import DEADLINE_S, House, ScriptedAgent, a_relay, house, run, until


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


async def failed(h: House, attempt: object, reason: str) -> None:
    """The call was hung up by the platform, for this reason, and both the record and the channel say so."""
    await until(lambda: h.book.reason(), "the relay says why")
    assert h.book.reason() == reason
    phone = h.phones[attempt]  # type: ignore[index]
    await h.gone(attempt)  # type: ignore[arg-type]
    assert phone.vars["trunkline_hangup_by"] == "platform"
    assert phone.vars["trunkline_end_reason"] == reason


def test_an_agent_nobody_can_reach(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h:
            attempt = await h.dial("0122", f"ws://127.0.0.1:{closed_port()}/")
            await failed(h, attempt, "agent_unreachable")

    run(scenario())


def test_a_callee_who_is_gone_before_the_agent_is_given_up_leaves_word_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        down = ScriptedAgent(refuse=HTTPStatus.SERVICE_UNAVAILABLE).listening()
        async with house(tmp_path, agent_connect_timeout_s=60) as h, down as agent:
            attempt = await h.dial("0122", agent.url)
            await until(lambda: "relay.agent_away" in h.book.types(), "why nobody talks is on the call's record")
            await until(lambda: agent.asked > 3, "it is tried on")
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)
            (told,) = [data for _, type_, data in h.book.notes if type_ == "relay.agent_away"]
            assert told["detail"] == "the agent answered HTTP 503"
            assert h.book.reason() is None

    run(scenario())


def test_a_phone_that_rings_is_not_left_to_ring_for_an_agent_that_is_not_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h:
            attempt = await h.dial("0102", f"ws://127.0.0.1:{closed_port()}/")  # rings for ever
            await failed(h, attempt, "agent_unreachable")

    run(scenario())


@pytest.mark.parametrize(
    ("status", "reason", "asked_again"),
    [
        (HTTPStatus.FORBIDDEN, "agent_refused", False),
        (HTTPStatus.FOUND, "agent_refused", False),
        (HTTPStatus.SERVICE_UNAVAILABLE, "agent_unreachable", True),
    ],
)
def test_an_agent_that_says_no(tmp_path: Path, status: HTTPStatus, reason: str, asked_again: bool) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent(refuse=status).listening() as agent:
            attempt = await h.dial("0122", agent.url)
            await failed(h, attempt, reason)
            assert (agent.asked > 1) is asked_again
            assert agent.calls.empty(), "a redirect is not followed"

    run(scenario())


def test_an_agent_that_is_late_but_comes_while_the_phone_rings(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, agent_connect_timeout_s=10.0) as h:
            agent = ScriptedAgent(refuse=HTTPStatus.SERVICE_UNAVAILABLE)
            async with agent.listening():
                attempt = await h.dial("0122", agent.url)
                await until(lambda: agent.asked, "the first try")
                agent.refuse = None
                call = await agent.call()
                await call.send("ready")
                await call.expect("answered")
                h.phones[attempt].hangup("NORMAL_CLEARING")
                await h.gone(attempt)
                assert h.book.reason() is None

    run(scenario())


def test_a_private_address_is_not_connected_to(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, agent_allow_private=False) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0122", agent.url)
            await failed(h, attempt, "agent_address_refused")
            assert agent.asked == 0

    run(scenario())


def test_an_agent_that_never_gets_ready(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0122", agent.url)
            call = await agent.call()
            await failed(h, attempt, "agent_not_ready")
            assert (await call.expect("stop"))["reason"] == "agent_not_ready"
            assert call.audio == []

    run(scenario())


@pytest.mark.parametrize("talking", [False, True])
def test_an_agent_that_dies(tmp_path: Path, talking: bool) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0121", agent.url)
            call = await agent.call()
            await call.send("ready")
            if talking:
                await call.expect("answered")
                await call.say(tone(500, 5000))
                await until(lambda: goertzel(h.heard(attempt)[-3200:], 500) > 0.8, "it talks")
            call.socket.transport.abort()
            await failed(h, attempt, "agent_lost")

    run(scenario())


def test_an_agent_that_closes_in_order_has_hung_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0121", agent.url)
            call = await agent.call()
            await call.send("ready")
            await call.expect("answered")
            await call.socket.close()
            await h.gone(attempt)
            assert h.book.reason() is None
            assert h.phones[attempt].vars["trunkline_hangup_by"] == "agent"
            assert h.phones[attempt].vars["trunkline_end_reason"] == "agent_closed"

    run(scenario())


def test_one_bad_message_is_told_and_forgiven_ten_are_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0122", agent.url)
            call = await agent.call()
            await call.send("ready")
            await call.socket.send("{")
            assert (await call.expect("error"))["code"] == "bad_json"
            await call.say(tone(500, 300))
            await until(lambda: tone(500, 300) in h.heard(attempt), "it is heard all the same")
            for _ in range(9):
                await call.send("nonsense")
            await failed(h, attempt, "agent_protocol")
            assert len(call.seen("error")) >= 9

    run(scenario())


def test_more_audio_than_is_kept_is_refused_not_gathered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, relay_max_buffer_s=1.0) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0102", agent.url)  # rings: nothing is played yet
            call = await agent.call()
            await call.send("ready")
            await call.socket.send(tone(500, 900))
            await call.socket.send(tone(600, 900))
            error = await call.expect("error")
            assert error["code"] == "buffer_full"
            assert call.order == ["start", "error"], "nobody answered, and nobody says so"
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_media_socket_that_falls_is_opened_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0121", agent.url)
            call = await agent.call()
            await call.send("ready")
            await until(lambda: call.audio, "audio")
            old = h.phones[attempt].forks["trunkline"]
            assert old._transport is not None
            old._transport.abort()
            await until(lambda: h.phones[attempt].forks.get("trunkline") not in (None, old), "a new media socket")
            count = len(call.audio)
            await until(lambda: len(call.audio) > count + 10, "audio again")
            assert h.book.types().count("relay.fork_connected") == 2
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_switch_that_cannot_open_a_media_socket_does_not_leave_a_mute_call(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, relay_fork_timeout_s=0.2) as h, ScriptedAgent().listening() as agent:
            h.switch.faults.ignored.add("uuid_audio_fork")
            attempt = await h.dial("0121", agent.url)
            call = await agent.call()
            await call.send("ready")
            await failed(h, attempt, "media_lost")

    run(scenario())


def test_a_link_that_falls_in_mid_call_comes_back_and_nothing_is_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0121", agent.url)
            call = await agent.call()
            await call.send("ready")
            await call.expect("answered")
            for connection in list(h.switch.connections):
                connection.cut()
            await until(lambda: not h.relay.deeds.up, "the link is down")
            await call.say(tone(900, 600))
            await until(lambda: tone(900, 600) in h.heard(attempt), "what was said meanwhile")
            await h.relay.news.wait_up(DEADLINE_S)
            # An end nobody told us of: the channel is gone while the events were not heard.
            for connection in list(h.switch.connections):
                connection.cut()
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await call.expect("stop")
            await h.gone(attempt)

    run(scenario())


def test_an_answer_nobody_told_us_of_is_learnt_from_the_channel(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, reconcile_interval_s=60.0) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0121", agent.url)
            call = await agent.call()
            await call.send("ready")
            h.switch.faults.set("drop_events", 1.0)
            await h.answered(attempt)
            await until(lambda: call.audio, "audio flows")
            assert call.order[:2] == ["start", "answered"]
            h.switch.faults.clear()
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_a_new_relay_takes_up_a_call_the_old_one_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, own_relay=False) as h, ScriptedAgent().listening() as agent:
            port = closed_port()
            async with a_relay(h, relay_port=port) as h.relay:
                attempt = await h.dial("0121", agent.url)
                call = await agent.call()
                await call.send("ready")
                await until(lambda: call.audio, "a conversation")
            assert (await call.expect("stop"))["reason"] == "relay_restart"
            assert h.phones[attempt].answer_state == "answered", "a relay that stops hangs nothing up"
            async with a_relay(h, relay_port=port) as h.relay:
                again = await agent.call()
                start = await again.expect("start")
                assert start["resumed"] is True
                await again.send("ready")
                await again.expect("answered")
                await until(lambda: again.audio, "the callee's audio again")
                await again.say(tone(900, 400))
                await until(lambda: tone(900, 400) in h.heard(attempt), "the callee hears the agent again")
                h.phones[attempt].hangup("NORMAL_CLEARING")
                await h.gone(attempt)

    run(scenario())


def test_the_media_server_knows_its_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h:
            base = f"ws://127.0.0.1:{h.relay.port}"
            with pytest.raises(InvalidStatus):
                await connect(f"{base}/fork/etc", proxy=None)
            async with connect(f"{base}/fork/00000000-0000-4000-8000-000000000000", proxy=None) as stranger:
                with pytest.raises(ConnectionClosed) as closed:
                    await asyncio.wait_for(stranger.recv(), DEADLINE_S)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1008
            await until(lambda: h.relay.desk.count == 0, "nothing is kept of it")

    run(scenario())


def test_an_announcement_is_played_whole_then_the_call_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h:
            said = tone(700, 1200)
            write_wav(str(tmp_path / "announcements" / "hello.wav"), said)
            attempt = await h.dial("0122", audio="hello.wav")
            await h.gone(attempt)
            assert said in h.heard(attempt)
            assert h.phones[attempt].vars["trunkline_hangup_by"] == "platform"
            assert h.phones[attempt].vars["trunkline_end_reason"] == "announcement_played"
            assert "relay.first_audio" in h.book.types()

    run(scenario())


def test_an_announcement_that_is_not_there_ends_the_call_and_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h:
            attempt = await h.dial("0122", audio="missing.wav")
            await failed(h, attempt, "announcement_failed")

    run(scenario())


def test_the_end_of_an_announced_call_is_learnt_also_when_no_event_tells_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h:
            write_wav(str(tmp_path / "announcements" / "long.wav"), tone(700, 20_000))
            attempt = await h.dial("0122", audio="long.wav")
            await until(lambda: len(h.heard(attempt)) > 3200, "it plays")
            h.switch.faults.set("drop_events", 1.0)
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_an_announcement_the_callee_does_not_hear_to_its_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h:
            write_wav(str(tmp_path / "announcements" / "long.wav"), tone(700, 20_000))
            attempt = await h.dial("0110", audio="long.wav")
            await h.gone(attempt)
            assert "trunkline_hangup_by" not in h.phones[attempt].vars
            assert h.book.reason() is None

    run(scenario())


@pytest.mark.parametrize("over_meanwhile", [False, True])
def test_an_announcement_survives_the_relay_that_began_it(tmp_path: Path, over_meanwhile: bool) -> None:
    async def scenario() -> None:
        async with house(tmp_path, own_relay=False) as h:
            said = tone(700, 1000 if over_meanwhile else 4000)
            write_wav(str(tmp_path / "announcements" / "hello.wav"), said)
            async with a_relay(h) as h.relay:
                attempt = await h.dial("0122", audio="hello.wav")
                await until(lambda: len(h.heard(attempt)) > 3200, "it plays")
            if over_meanwhile:
                await until(lambda: said in h.heard(attempt), "it is over")
            async with a_relay(h) as h.relay:
                await h.gone(attempt)
            assert said in h.heard(attempt), "once, and whole"
            assert h.heard(attempt).count(said[:3200]) == 1
            assert h.phones[attempt].vars["trunkline_end_reason"] == "announcement_played"

    run(scenario())


def test_a_directory_the_switch_could_not_be_told_of_is_refused_at_the_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, own_relay=False) as h:
            with pytest.raises(ValueError, match="TRUNKLINE_ANNOUNCEMENT_DIR"):
                async with a_relay(h, announcement_dir="/srv/our announcements"):
                    pass

    run(scenario())


def test_a_call_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, listening("127.0.0.1", 0) as port:
            attempt = await h.dial("0125", f"ws://127.0.0.1:{port}/")  # hangs up after 3 s
            h.book.calls.clear()
            phone = h.phones[attempt]
            await until(lambda: str(attempt) not in h.switch.channels, "the callee hangs up")
            assert "trunkline_hangup_by" not in phone.vars
            await until(lambda: h.relay.desk.count == 0, "nothing is kept of it")

    run(scenario())
