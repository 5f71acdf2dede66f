"""An agent that is lost in mid-call is connected again; one that stays away, or is none, is followed by its fallback."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from agents.reference.sound import tone
from controller.frames import Event, text_of
from lab.audio.pcm import goertzel, write_wav
from store.transfers import Asked, Open
from tests.relay.house import AgentCall, House, ScriptedAgent, house, run, until, without_pauses
from tests.relay.test_failures import closed_port, failed
from tests.relay.test_script import voice

SORRY = tone(1300, 600)
FALLBACK = {"agent_fallback": {"action": "announcement", "audio": "sorry.wav"}}


async def apologised(h: House, attempt: UUID, reason: str) -> None:
    """The callee heard the fallback whole, then the platform hung up, for the agent's failure."""
    await until(lambda: SORRY in h.heard(attempt), "the callee hears the fallback")
    await failed(h, attempt, reason)
    assert "relay.fallback" in h.book.types()


def test_a_lost_agent_is_connected_again_and_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0121", agent.url, agent={"agent_secret": "agsec_" + "0f" * 32})
            first = await agent.call()
            await first.send("ready")
            await first.expect("answered")
            said = [number.to_bytes(2, "little") * 160 for number in range(1, 5000)]
            count = iter(said)
            h.phones[attempt].callee.frame = lambda rate: next(count)  # type: ignore[method-assign]
            await first.say(tone(700, 1500))
            await first.send("mark", name="said")
            await until(lambda: goertzel(h.heard(attempt)[-1600:], 700) > 0.8, "it talks")
            await until(lambda: first.audio, "the callee, before")
            first.socket.transport.abort()
            second = await agent.call()
            assert (await second.expect("start"))["resumed"] is True
            assert second.headers["Authorization"] != first.headers["Authorization"], "a token is good for one connection"
            await second.send("ready")
            await until(lambda: tone(700, 1500) in without_pauses(h.heard(attempt)), "what it had said is heard to its end")
            await until(lambda: len(second.audio) > 20, "the callee")
            assert second.order[:2] == ["start", "answered"]
            heard = b"".join(second.audio)
            at = b"".join(said).find(heard[:320])
            assert b"".join(said)[at : at + len(heard)] == heard, "without a hole"
            assert said.index(first.audio[-1]) + 10 > said.index(second.audio[0]), "and from where it had been lost"
            await second.expect("mark")
            await second.say(tone(900, 300))
            await until(lambda: tone(900, 300) in without_pauses(h.heard(attempt)), "it goes on")
            assert h.book.types().count("relay.agent_lost") == 1
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)
            assert h.book.reason() is None

    run(scenario())


def test_an_agent_is_not_connected_again_for_ever(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, agent_reconnects=2) as h, ScriptedAgent().listening() as agent:
            write_wav(str(tmp_path / "announcements" / "sorry.wav"), SORRY)
            attempt = await h.dial("0122", agent.url, agent=FALLBACK)
            for _ in range(3):
                call = await agent.call()
                await call.send("ready")
                await call.expect("answered")
                call.socket.transport.abort()
            await apologised(h, attempt, "agent_lost")
            assert agent.asked == 3

    run(scenario())


@pytest.mark.parametrize("again", ["refused", "away", "silent"])
def test_an_agent_that_stays_away_is_lost_and_the_callee_hears_why(tmp_path: Path, again: str) -> None:
    async def scenario() -> None:
        async with house(tmp_path, agent_reconnect_timeout_s=0.6) as h:
            write_wav(str(tmp_path / "announcements" / "sorry.wav"), SORRY)
            agent = ScriptedAgent()
            async with agent.listening():
                attempt = await h.dial("0122", agent.url, agent=FALLBACK)
                call = await agent.call()
                await call.send("ready")
                await call.expect("answered")
                await call.say(tone(700, 20_000))
                await until(lambda: goertzel(h.heard(attempt)[-1600:], 700) > 0.8, "it talks")
                if again == "refused":
                    agent.refuse = HTTPStatus.FORBIDDEN
                if again != "away":
                    call.socket.transport.abort()
                    await apologised(h, attempt, "agent_lost")
            if again == "away":  # its whole server is gone
                await apologised(h, attempt, "agent_lost")
            assert goertzel(h.heard(attempt)[h.heard(attempt).index(SORRY) :], 700) < 0.1, "the agent is not heard any more"

    run(scenario())


def test_an_agent_that_has_said_goodbye_need_not_come_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0122", agent.url, agent=FALLBACK)
            call = await agent.call()
            await call.send("ready")
            await call.expect("answered")
            await call.say(tone(700, 900))
            await call.send("hangup", after_playback=True)
            await until(lambda: goertzel(h.heard(attempt)[-1600:], 700) > 0.8, "it talks")
            call.socket.transport.abort()
            await h.gone(attempt)
            assert tone(700, 900) in without_pauses(h.heard(attempt))
            assert (agent.asked, h.book.reason()) == (1, None)
            assert h.phones[attempt].vars["trunkline_end_reason"] == "agent_hangup"

    run(scenario())


def test_an_agent_that_was_never_there_is_followed_too_once_somebody_has_picked_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, agent_connect_timeout_s=0.6) as h:
            write_wav(str(tmp_path / "announcements" / "sorry.wav"), SORRY)
            attempt = await h.dial("0118", f"ws://127.0.0.1:{closed_port()}/", agent=FALLBACK)  # answers at once
            await apologised(h, attempt, "agent_unreachable")

    run(scenario())


def test_a_phone_that_rings_is_not_left_to_ring_for_an_apology(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h:
            attempt = await h.dial("0102", f"ws://127.0.0.1:{closed_port()}/", agent=FALLBACK)  # rings for ever
            await failed(h, attempt, "agent_unreachable")
            assert "relay.fallback" not in h.book.types()

    run(scenario())


async def lost(h: House, outcome: str, wanted: dict[str, Any]) -> tuple[UUID, AgentCall]:
    """A call whose agent was there, and is gone for good."""
    async with ScriptedAgent().listening() as agent:
        attempt = await h.dial(outcome, agent.url, agent={"agent_fallback": wanted}, variables={"name": "Ada"})
        call = await agent.call()
        await call.send("ready")
        await call.expect("answered")
        call.socket.transport.abort()
    return attempt, call


def test_a_lost_agents_callee_hears_a_text(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, agent_reconnects=0, tts_program=voice(tmp_path)) as h:
            attempt, _ = await lost(h, "0122", {"action": "announcement", "text": "Sorry, {{name}}"})
            await failed(h, attempt, "agent_lost")
            assert (tmp_path / "asked").read_text() == "en: Sorry, Ada\n"
            assert without_pauses(h.heard(attempt)) == b"\x00\x10" * 80 * len("Sorry, Ada")

    run(scenario())


def test_a_text_that_cannot_be_spoken_ends_the_call_for_the_agents_failure(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, agent_reconnects=0, tts_program=str(tmp_path / "nowhere")) as h:
            attempt, _ = await lost(h, "0122", {"action": "announcement", "text": "Sorry"})
            await failed(h, attempt, "agent_lost")

    run(scenario())


def rings(h: House, attempt: UUID) -> list[Path]:
    """Files that the relay lets the switch play to the attempt from now on."""
    switch, files = h.relay.desk._parts.switch, []
    play = switch.play

    def noted(to: UUID, path: Path, playback: str) -> None:
        if to == attempt:
            files.append(path)
        play(to, path, playback)

    switch.play = noted  # type: ignore[method-assign]
    return files


def ends(h: House, attempt: UUID) -> list[Event]:
    """The switch's words on what it has played to the attempt, from now on, once the relay has heard them."""
    told, heard = h.relay.desk.on_event, []

    def on_event(event: Event) -> None:
        told(event)
        name, whose = text_of(event, "Event-Name"), text_of(event, "Unique-ID")
        if (name, whose) == ("CHANNEL_EXECUTE_COMPLETE", str(attempt)):
            heard.append(event)

    h.relay.news._on_event = on_event
    return heard


THROUGH = {"action": "transfer", "to": "+442079460123"}


def test_a_lost_agents_callee_is_put_through_to_somebody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, agent_reconnects=0) as h:
            h.book.transfer_answer = Asked("pending")  # the agent had somebody rung
            first, _ = await lost(h, "0121", THROUGH)
            await until(lambda: h.book.asked_transfers, "it is asked for")
            h.book.under_way.append(Open(uuid4(), first, "agent:fallback", uuid4(), "busy", True, "busy"))
            h.book.transfer_answer = Asked("requested", uuid4())
            await until(lambda: len(h.book.asked_transfers) > 1, "and again once that came to nothing")
            assert set(h.book.asked_transfers) == {("+442079460123", "agent: fallback", "platform")}
            assert goertzel(h.heard(first), 425) > 0.1, "it rings"
            rung, over = rings(h, first), ends(h, first)
            h.relay.desk._parts.switch.break_all(first)  # as whoever puts them through does, a moment before
            await until(lambda: over, "the switch says that it is played, as if it were to its end")
            assert (text_of(over[0], "Application-Response"), rung) == ("FILE PLAYED", [])
            second = await h.dial("0122", first=first)
            await until(lambda: goertzel(h.heard(second)[-1600:], 440) > 0.8, "the person hears the callee")
            at = len(h.heard(second))
            await until(lambda: len(h.heard(second)) > at + 2 * 16_000, "2 s more")
            assert rung == [], "nor is it begun again in the middle of their talk"
            h.phones[second].hangup("NORMAL_CLEARING")
            for leg in (first, second):
                await h.gone(leg)
            assert h.phones[first].vars.get("trunkline_end_reason") is None, "the call did not fail"
            assert [type_ for type_ in h.book.types() if type_ in ("relay.failed", "relay.fallback")] == [
                "relay.failed",
                "relay.fallback",
            ]

    run(scenario())


@pytest.mark.parametrize("how", ["refused", "busy"])
def test_where_nobody_is_put_through_the_call_ends_for_the_agents_failure(tmp_path: Path, how: str) -> None:
    async def scenario() -> None:
        async with house(tmp_path, agent_reconnects=0) as h:
            if how == "refused":
                h.book.transfer_answer = Asked("no_route")
            first, _ = await lost(h, "0122", THROUGH)
            await until(lambda: h.book.asked_transfers, "it is asked for")
            if how == "busy":
                h.book.under_way.append(Open(uuid4(), first, "agent: fallback", uuid4(), "busy", True, "busy"))
            await failed(h, first, "agent_lost")
            assert h.book.called_off == [first]

    run(scenario())


def test_a_fallback_that_cannot_be_played_ends_the_call_for_the_agents_failure(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, agent_connect_timeout_s=0.6) as h:
            attempt = await h.dial("0118", f"ws://127.0.0.1:{closed_port()}/", agent=FALLBACK)
            await failed(h, attempt, "agent_unreachable")

    run(scenario())


def test_a_callee_who_hangs_up_during_the_apology_has_hung_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, agent_reconnects=0) as h, ScriptedAgent().listening() as agent:
            write_wav(str(tmp_path / "announcements" / "sorry.wav"), tone(1300, 20_000))
            attempt = await h.dial("0122", agent.url, agent=FALLBACK)
            call = await agent.call()
            await call.send("ready")
            await call.expect("answered")
            call.socket.transport.abort()
            await until(lambda: goertzel(h.heard(attempt)[-1600:], 1300) > 0.8, "the fallback")
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)
            assert h.book.reason() == "agent_lost"
            assert "trunkline_hangup_by" not in h.phones[attempt].vars

    run(scenario())
