"""Two legs put through to each other: who hears what, who is told what, and what a leg that comes to nothing costs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from agents.reference.sound import tone
from calls.verdict import Finding
from controller.frames import text_of
from controller.relay.person import Person
from controller.relay.session import CallSession
from controller.relay.switch import Switch
from lab.audio import pcm
from store.transfers import Asked, Open
from tests.relay.house import AgentCall, House, ScriptedAgent, a_relay, house, run, talking, until, without_pauses
from tests.relay.test_drain import draining
from tests.relay.test_failures import closed_port

#: Speaks at 440 Hz; is silent; busy.
SPEAKS, SILENT = "0121", "0122"
TO = "+442079460123"


def hears(h: House, attempt: UUID, hz: int = 440) -> bool:
    return pcm.goertzel(h.heard(attempt)[-3200:], hz) > 0.8


async def through(h: House, agent: ScriptedAgent) -> tuple[UUID, UUID, AgentCall]:
    first, call = await talking(h, agent, SPEAKS)
    await call.say(tone(700, 20_000))
    await until(lambda: hears(h, first, 700), "the agent speaks")
    second = await h.dial(SILENT, first=first)
    await until(lambda: hears(h, second), "the second leg hears the first one's party")
    return first, second, call


@pytest.mark.parametrize("ends", [0, 1])
def test_who_answers_is_put_through_and_the_agent_takes_its_leave(tmp_path: Path, ends: int) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            *legs, call = await through(h, agent)
            assert (await call.expect("stop"))["reason"] == "transferred"
            assert await until(lambda: call.closed.is_set(), "its socket is closed")
            assert call.code == 1000
            assert not any(h.phones[legs[0]].forks.values()), "nobody listens in"
            await until(lambda: not hears(h, legs[0], 700), "the agent is silent")
            assert h.book.through == [legs[1]]
            assert h.relay.desk.count == 2, "both are followed to their end"
            h.phones[legs[ends]].hangup("NORMAL_CLEARING")
            for leg in legs:
                await until(lambda leg=leg: str(leg) not in h.switch.channels, "one ends the other")  # type: ignore[misc]
            for leg in legs:
                await h.gone(leg)
            assert h.book.reason() is None

    run(scenario())


def test_a_second_leg_that_comes_to_nothing_leaves_the_agent_where_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            first, call = await talking(h, agent, SPEAKS)
            await call.send("transfer", id="sales", to=TO)
            assert await call.expect("transfer") == {"event": "transfer", "id": "sales", "status": "requested"}
            assert h.book.asked_transfers == [(TO, "agent:sales", "agent")]
            rings = Open(uuid4(), first, "agent:sales", uuid4(), "ringing", False, None)
            h.book.under_way.append(rings)
            over = replace(rings, status="busy", ended=True, end_reason="busy")
            h.book.under_way[:] = [over]
            told = await until(lambda: call.seen("transfer")[1:], "the agent hears of it")
            assert told == [{"event": "transfer", "id": "sales", "status": "failed", "reason": "busy"}]
            assert h.book.failed_transfers == {over.command_id: "busy"}
            await call.say(tone(700, 400))
            await until(lambda: hears(h, first, 700), "the agent talks on")
            h.phones[first].hangup("NORMAL_CLEARING")
            await h.gone(first)

    run(scenario())


def test_what_came_of_it_is_told_by_the_relay_that_carries_the_call(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, own_relay=False) as h, ScriptedAgent().listening() as agent:
            port = closed_port()
            async with a_relay(h, relay_port=port) as old:
                h.relay = old
                first, call = await talking(h, agent, SPEAKS)
                await until(lambda: call.audio, "a conversation")
                async with draining(old), a_relay(h, relay_port=port) as h.relay:
                    old.desk.not_transferred, told = (lambda *_: False), old.desk.not_transferred  # type: ignore[method-assign]
                    rung = Open(uuid4(), first, "agent:sales", uuid4(), "busy", True, "busy")
                    looks = h.book.looks
                    h.book.under_way.append(rung)
                    await until(lambda: h.book.looks >= looks + 4, "the next relay, which has no word with the agent, looks")
                    assert h.book.failed_transfers == {}
                    old.desk.not_transferred = told  # type: ignore[method-assign]
                    heard = await until(lambda: call.seen("transfer"), "the agent hears of it")
                    assert [(one["id"], one["status"], one["reason"]) for one in heard] == [("sales", "failed", "busy")]
                    await until(lambda: h.book.failed_transfers == {rung.command_id: "busy"}, "it is on record")
                    h.phones[first].hangup("NORMAL_CLEARING")
                    h.book.ended.add(first)
                    await until(lambda: old.desk.count == 0, "the call is over")

    run(scenario())


def test_a_bridge_that_was_not_heard_of_is_seen(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            first, call = await talking(h, agent, SPEAKS)
            h.book.under_way.append(Open(uuid4(), first, None, uuid4(), "ringing", False, None))
            leg = h.relay.desk._sessions[first].leg
            await until(lambda: leg.transferring, "the relay knows of the transfer")
            pass_on = h.relay.desk.on_event  # by the link, from its beginning
            h.relay.news._on_event = lambda event: (
                None if text_of(event, "Event-Name") == "CHANNEL_BRIDGE" else pass_on(event)
            )
            second = await h.dial(SILENT, first=first)
            assert (await call.expect("stop"))["reason"] == "transferred"
            await until(lambda: not any(h.phones[first].forks.values()), "nobody listens in")
            await until(lambda: hears(h, second), "the two talk on")
            h.phones[first].hangup("NORMAL_CLEARING")
            for one in (first, second):
                await h.gone(one)
            assert h.book.reason() is None

    run(scenario())


def test_an_agent_that_does_not_know_yet_is_not_heard_by_who_is_put_through(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            first, call = await talking(h, agent, SILENT)
            hear = h.relay.desk.on_event
            h.relay.news._on_event = lambda event: None if text_of(event, "Event-Name") == "CHANNEL_BRIDGE" else hear(event)
            await call.say(tone(700, 20_000))
            await until(lambda: hears(h, first, 700), "the agent speaks")
            second = await h.dial(SPEAKS, first=first)
            await until(lambda: h.book.through == [second], "they are put through")
            at = len(h.heard(first))
            await until(lambda: len(h.heard(first)) > at + 8000, "for half a second")
            assert call.seen("stop") == []
            await until(lambda: hears(h, first), "the two talk")
            assert pcm.goertzel(h.heard(first)[at:], 700) < 0.1
            h.phones[first].hangup("NORMAL_CLEARING")
            for leg in (first, second):
                await h.gone(leg)

    run(scenario())


def test_an_agent_whose_callee_is_not_put_through_after_all_talks_on(tmp_path: Path, monkeypatch: Any) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            first, call = await talking(h, agent, SILENT)

            async def refuses(switch: Switch, attempt: UUID, other: UUID) -> str | None:
                await until(lambda: not any(h.heard(first)[-1600:]), "the agent waits")
                return "-ERR no"

            monkeypatch.setattr(Switch, "bridge", refuses)
            said = tone(700, 1500)
            await call.say(said)
            await call.send("mark", name="end")
            await until(lambda: hears(h, first, 700), "the agent speaks")
            second = await h.dial(SILENT, first=first)
            await until(lambda: str(second) not in h.switch.channels, "the other leg is not wanted")
            assert (await call.expect("mark"))["played"] is True
            assert without_pauses(h.heard(first)) == said
            h.phones[first].hangup("NORMAL_CLEARING")
            for leg in (first, second):
                await h.gone(leg)

    run(scenario())


@pytest.mark.parametrize("kind", ["websocket", "sip"])
def test_what_was_tried_in_vain_before_is_told_to_whoever_asks_again(tmp_path: Path, kind: str) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            h.book.transfer_answer = Asked("requested", uuid4(), failed="busy")
            if kind == "sip":
                first = await h.dial(SPEAKS, agent_kind="sip", agent_number=TO)
                await h.gone(first)
                assert h.book.reason() == "agent_unreachable"
                return
            first, call = await talking(h, agent, SPEAKS)
            await call.send("transfer", id="sales", to=TO)
            told = await call.expect("transfer")
            assert told == {"event": "transfer", "id": "sales", "status": "failed", "reason": "busy"}
            h.phones[first].hangup("NORMAL_CLEARING")
            await h.gone(first)

    run(scenario())


def test_what_is_refused_is_told_with_its_reason_and_costs_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            first, call = await talking(h, agent, SPEAKS)
            rule = Finding("destination", "destination_not_allowed", "/to", "no", "ask")
            answers = [Asked("not_allowed"), Asked("forbidden", findings=[rule])]
            for n, answer in enumerate(answers):
                h.book.transfer_answer = answer
                await call.send("transfer", id=f"t{n}", to=TO)
                await until(lambda n=n: len(call.seen("transfer")) > n, "an answer")  # type: ignore[misc]
            assert [told.get("reason") for told in call.seen("transfer")] == ["not_allowed", "destination_not_allowed"]
            for wrong in ({"to": TO}, {"id": "x"}, {"id": "x", "to": "0800"}, {"id": "x y", "to": TO}):
                before = len(call.seen("error"))
                await call.send("transfer", **wrong)
                await until(lambda before=before: call.seen("error")[before:], "an error")  # type: ignore[misc]
                assert call.seen("error")[-1]["code"] == "bad_message"
            assert len(h.book.asked_transfers) == 2
            h.phones[first].hangup("NORMAL_CLEARING")
            await h.gone(first)

    run(scenario())


def test_a_callee_who_does_not_wait_calls_the_second_leg_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            first, _ = await talking(h, agent, SPEAKS)
            leg = h.relay.desk._sessions[first].leg
            h.book.under_way.append(Open(uuid4(), first, None, uuid4(), "ringing", False, None))
            await until(lambda: leg.transferring, "the relay knows of the transfer")
            h.phones[first].hangup("NORMAL_CLEARING")
            await h.gone(first)
            assert h.book.called_off == [first]
            # Answered all the same: nobody is there any more.
            late = await h.dial(SILENT, first=first)
            await h.gone(late)
            assert h.phones[late].vars["trunkline_end_reason"] == "transfer_over"

    run(scenario())


def test_an_agent_that_is_a_person_is_rung_on_the_answer_and_put_through(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h:
            h.book.transfer_answer = Asked("not_in_progress", status="ringing")
            first = await h.dial(SPEAKS, agent_kind="sip", agent_number=TO)
            await until(lambda: h.book.asked_transfers, "it is asked for")
            h.book.transfer_answer = Asked("requested", uuid4())
            await until(lambda: hears(h, first, 425), "the callee hears it ring")
            assert set(h.book.asked_transfers) == {(TO, "agent:itself", "platform")}
            second = await h.dial(SILENT, first=first)
            await until(lambda: hears(h, second), "the person hears the callee")
            await until(lambda: not hears(h, first, 425), "it rings no more")
            h.phones[second].hangup("NORMAL_CLEARING")
            for leg in (first, second):
                await h.gone(leg)
            assert h.book.reason() is None

    run(scenario())


@pytest.mark.parametrize("joined", [True, False])
def test_it_does_not_ring_in_the_middle_of_a_talk_and_rings_on_if_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, joined: bool
) -> None:
    """``joined``: the switch takes its time to join the two, and is late to say so; else it refuses to."""
    monkeypatch.setattr("controller.relay.person._PAUSE_S", 0.01)
    monkeypatch.setattr(CallSession, "put_through", lambda _: None)
    rung: list[str] = []
    silent: list[str] = []
    before: list[int] = []  # how often it had rung by the time that they are joined
    play, on_played, bridge = Switch.play, Person.on_played, Switch.bridge

    def playing(switch: Switch, attempt: UUID, path: Path, playback: str) -> None:
        rung.append(playback)
        play(switch, attempt, path, playback)

    def played(person: Person, playback: str, response: str, at: float) -> None:
        on_played(person, playback, response, at)
        silent.append(playback)

    async def slow(switch: Switch, attempt: UUID, other: UUID) -> str | None:
        await until(lambda: rung[0] in silent, "it rings no more")
        await asyncio.sleep(0.2)  # some twenty pauses
        before.append(len(rung))
        return await bridge(switch, attempt, other) if joined else "-ERR no"

    monkeypatch.setattr(Switch, "play", playing)
    monkeypatch.setattr(Person, "on_played", played)
    monkeypatch.setattr(Switch, "bridge", slow)

    async def scenario() -> None:
        async with house(tmp_path) as h:
            first = await h.dial(SPEAKS, agent_kind="sip", agent_number=TO)
            await until(lambda: hears(h, first, 425), "the callee hears it ring")
            await h.dial(SILENT, first=first)
            if joined:
                await until(lambda: h.book.through, "they talk")
                await asyncio.sleep(0.2)
                assert (before, len(rung)) == ([1], 1)
            else:
                assert await until(h.book.reason, "the second leg ends") == "transfer_over"
                await until(lambda: len(rung) > 1, "it rings on")
                assert before == [1]

    run(scenario())


@pytest.mark.parametrize("how", ["refused", "busy"])
def test_a_person_who_is_not_there_ends_the_call(tmp_path: Path, how: str) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h:
            if how == "refused":
                h.book.transfer_answer = Asked("no_route")
            first = await h.dial(SPEAKS, agent_kind="sip", agent_number=TO)
            await until(lambda: h.book.asked_transfers, "it is asked for")
            if how == "busy":
                h.book.under_way.append(Open(uuid4(), first, "agent:itself", uuid4(), "busy", True, "busy"))
            await h.gone(first)
            reason = "agent_refused" if how == "refused" else "agent_unreachable"
            assert (h.book.reason(), h.phones[first].vars["trunkline_end_reason"]) == (reason, reason)
            assert h.book.called_off == [first], "whatever rings, rings for nobody"

    run(scenario())


def succession(h: House, first: UUID, url: str, **agent: Any) -> Open:
    wanted = Open(uuid4(), first, "agent:next", None, None, False, None, uuid4(), "expert", url, **agent)
    h.book.under_way.append(wanted)
    return wanted


def test_another_agent_takes_over_once_it_is_ready(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent, ScriptedAgent().listening() as expert:
            first, call = await talking(h, agent, SPEAKS)
            await call.say(tone(700, 20_000))
            await until(lambda: hears(h, first, 700), "the first agent speaks")
            wanted = succession(h, first, expert.url, agent_sample_rate=16_000)
            following = await expert.call()
            start = await following.expect("start")
            assert (start["resumed"], start["greeting"], start["audio"]["sample_rate"]) == (True, None, 16_000)
            assert hears(h, first, 700), "the first one talks on"
            assert call.seen("stop") == []
            await following.send("dtmf", digits="1")
            await until(lambda: following.seen("error"), "it is not its turn")
            await following.send("ready")
            await following.expect("answered")
            assert (await call.expect("stop"))["reason"] == "transferred"
            await until(lambda: following.audio, "the callee is heard by the second agent")
            assert pcm.goertzel(b"".join(following.audio)[-6400:], 440, 16_000) > 0.8
            await following.say(pcm.tone(900, 5.0, 16_000))
            await until(lambda: hears(h, first, 900), "and hears it")
            assert h.book.handed == [wanted.agent_id]
            await following.send("hangup")
            await h.gone(first)
            assert h.phones[first].vars["trunkline_end_reason"] == "agent_hangup"
            assert (await following.expect("stop"))["reason"] == "agent_hangup"

    run(scenario())


@pytest.mark.parametrize("how", ["closes", "hangs up", "is not ready", "is not there"])
def test_an_agent_that_cannot_take_over_leaves_the_call_to_the_first(tmp_path: Path, how: str) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent, ScriptedAgent().listening() as expert:
            first, call = await talking(h, agent, SPEAKS)
            wanted = succession(h, first, expert.url if how != "is not there" else "ws://127.0.0.1:1/")
            if how != "is not there":
                following = await expert.call()
                await following.expect("start")
                if how == "closes":
                    await following.socket.close()
                elif how == "hangs up":
                    await following.send("hangup")
            told = await until(lambda: call.seen("transfer"), "the first agent hears of it")
            assert (told[0]["id"], told[0]["status"]) == ("next", "failed")
            assert set(h.book.failed_transfers) == {wanted.command_id}
            await call.say(tone(700, 400))
            await until(lambda: hears(h, first, 700), "the first agent talks on")
            assert h.book.reason() is None
            h.phones[first].hangup("NORMAL_CLEARING")
            await h.gone(first)

    run(scenario())


def test_a_callee_who_hangs_up_meanwhile_leaves_no_agent_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent, ScriptedAgent().listening() as expert:
            first, _ = await talking(h, agent, SPEAKS)
            succession(h, first, expert.url)
            following = await expert.call()
            await following.expect("start")
            h.phones[first].hangup("NORMAL_CLEARING")
            await following.expect("stop")
            await h.gone(first)

    run(scenario())


def test_a_callee_who_hangs_up_as_the_next_one_is_about_to_begin_leaves_no_agent_behind(tmp_path: Path) -> None:
    """The first one takes its time to let go."""

    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent, ScriptedAgent().listening() as expert:
            first, _ = await talking(h, agent, SPEAKS)
            session = h.relay.desk._sessions[first]
            real = session._serving
            assert real is not None

            async def slow() -> None:
                try:
                    await asyncio.wait([real])
                except asyncio.CancelledError:
                    h.phones[first].hangup("NORMAL_CLEARING")
                    real.cancel()
                    await asyncio.wait([real])
                    await until(lambda: session._next is None or session._next.cancelling(), "the call is over")

            session._serving = asyncio.create_task(slow())
            succession(h, first, expert.url)
            following = await expert.call()
            await following.send("ready")
            assert (await following.expect("stop"))["reason"] == "hangup"
            assert following.seen("answered") == []
            await h.gone(first)

    run(scenario())


def test_a_relay_that_is_replaced_lets_the_two_talk_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, own_relay=False) as h, ScriptedAgent().listening() as agent:
            async with a_relay(h) as h.relay:
                first, second, _ = await through(h, agent)
            async with a_relay(h) as h.relay:
                await until(lambda: h.relay.desk.count == 2, "the next one follows both")
                await asyncio.sleep(0.3)  # in which an agent would be asked for
                assert agent.asked == 1
                assert hears(h, second)
                h.phones[second].hangup("NORMAL_CLEARING")
                for leg in (first, second):
                    await h.gone(leg)
            assert h.book.reason() is None

    run(scenario())
