"""A relay that is told to end carries its conversations to their end, beside the next relay, which leaves them alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from agents.reference.sound import tone
from controller import commands
from controller.relay.drain import drain
from controller.relay.run import Relay
from tests.relay.house import AgentCall, House, ScriptedAgent, a_relay, house, run, until
from tests.relay.test_failures import closed_port

#: s; longer than any scenario takes.
LONG_S = 60.0


async def talking(h: House, agent: ScriptedAgent) -> tuple[UUID, AgentCall]:
    """A call on h.relay whose callee and agent hear each other."""
    attempt = await h.dial("0121", agent.url)
    call = await agent.call()
    await call.send("ready")
    await until(lambda: call.audio, "a conversation")
    return attempt, call


@asynccontextmanager
async def draining(relay: Relay, limit_s: float = LONG_S) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(drain(relay, limit_s, asyncio.Event()))
    await until(lambda: not relay.server.is_serving(), "nobody is taken any more")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def test_a_conversation_goes_on_while_the_next_relay_takes_the_new_calls(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, own_relay=False) as h, ScriptedAgent().listening() as agent:
            port = closed_port()
            async with a_relay(h, relay_port=port) as old:
                h.relay = old
                first, heard = await talking(h, agent)
                async with draining(old) as over:
                    async with a_relay(h, relay_port=port) as h.relay:  # the port is free at once
                        second, other = await talking(h, agent)
                        await heard.say(tone(900, 400))
                        await until(lambda: tone(900, 400) in h.heard(first), "the first goes on: the agent is heard")
                        before = len(heard.audio)
                        await until(lambda: len(heard.audio) > before, "and so is the callee")
                        # Several looks of the new relay's at what is up on the switch (reconcile_interval_s 0.5).
                        looks = h.asked.count(f"uuid_dump {first}")
                        await until(lambda: h.asked.count(f"uuid_dump {first}") >= looks + 3, "the next relay looks")
                        assert (agent.calls.qsize(), heard.seen("stop"), h.relay.desk.count) == (0, [], 1)
                        assert not over.done()
                        h.phones[first].hangup("NORMAL_CLEARING")
                        h.book.ended.add(first)
                        await asyncio.wait_for(over, LONG_S)
                        assert (await heard.expect("stop"))["reason"] == "hangup"
                        assert other.seen("stop") == []
                        h.phones[second].hangup("NORMAL_CLEARING")
                        await h.gone(second)

    run(scenario())


def test_when_its_time_is_over_the_next_relay_takes_the_conversation_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, own_relay=False) as h, ScriptedAgent().listening() as agent:
            port = closed_port()
            async with a_relay(h, relay_port=port) as h.relay:
                attempt, call = await talking(h, agent)
                await asyncio.wait_for(drain(h.relay, 0.3, asyncio.Event()), LONG_S)
                assert call.seen("stop") == []
            assert (await call.expect("stop"))["reason"] == "relay_restart"
            assert h.phones[attempt].answer_state == "answered", "a relay that stops hangs nothing up"
            async with a_relay(h, relay_port=port) as h.relay:
                again = await agent.call()
                assert (await again.expect("start"))["resumed"] is True
                await again.send("ready")
                await until(lambda: again.audio, "the callee's audio again")
                h.phones[attempt].hangup("NORMAL_CLEARING")
                await h.gone(attempt)

    run(scenario())


def test_a_call_that_still_rings_is_the_next_relays(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, own_relay=False) as h, ScriptedAgent().listening() as agent:
            port = closed_port()
            async with a_relay(h, relay_port=port) as old:
                h.relay = old
                attempt = await h.dial("0102", agent.url)  # rings on
                call = await agent.call()
                await call.expect("start")
                await asyncio.wait_for(drain(old, LONG_S, asyncio.Event()), LONG_S)
                assert (await call.expect("stop"))["reason"] == "relay_restart"
                async with a_relay(h, relay_port=port) as h.relay:
                    again = await agent.call()
                    await again.expect("start")
                    h.phones[attempt].hangup("NORMAL_CLEARING")
                    await h.gone(attempt)

    run(scenario())


def test_the_note_of_a_relay_that_died_while_draining_runs_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, own_relay=False) as h, ScriptedAgent().listening() as agent:
            port = closed_port()
            async with a_relay(h, relay_port=port) as h.relay:
                attempt, call = await talking(h, agent)
            await call.expect("stop")
            until_s = int(time.time()) + 3
            await h.dialer.ask(commands.uuid_setvar(attempt, "trunkline_relay_until", str(until_s)))
            async with a_relay(h, relay_port=port) as h.relay:
                assert (await (await agent.call()).expect("start"))["resumed"] is True
                assert time.time() >= until_s
                h.phones[attempt].hangup("NORMAL_CLEARING")
                await h.gone(attempt)

    run(scenario())


def test_a_hangup_that_cannot_be_carried_out_at_once_is_put_on_record(tmp_path: Path) -> None:
    """So that a controller carries it out, whatever becomes of this relay."""

    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            first, call = await talking(h, agent)
            await call.socket.close()
            await h.gone(first)
            assert h.book.wishes == [], "it was carried out at once"
            second, call = await talking(h, agent)
            for connection in list(h.switch.connections):
                connection.cut()
            await until(lambda: not h.relay.deeds.up, "the link is down")
            await call.socket.close()
            await until(lambda: h.book.wishes, "the wish is on record")
            await h.gone(second)
            assert h.book.wishes == [(second, "agent")]

    run(scenario())
