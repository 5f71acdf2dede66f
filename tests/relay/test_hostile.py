"""Agents that mean harm: each is followed by its fallback, as documented, and a call beside them does not notice.

A wrong or a used token: test_token.py; an address that leads inside: test_failures.py, tests/web/test_hostile_urls.py.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from websockets.asyncio.client import connect

from agents.reference.sound import tone
from controller.relay import agent as agent_module
from controller.relay.fair import FairConnection, Pace
from lab.audio.pcm import write_wav
from tests.relay.hostile import (
    Deed,
    die_in_mid_sentence,
    endless_headers,
    flood,
    frame,
    never_read,
    raw_server,
    say_nothing,
    send,
    text,
)
from tests.relay.house import AgentCall, House, ScriptedAgent, house, run, until, without_pauses

SORRY = tone(1300, 300)
FALLBACK = {"agent_fallback": {"action": "announcement", "audio": "sorry.wav"}}
CLEAR = text('{"event":"clear"}')
TEN_MB = b"\x82\x7f" + (10_000_000).to_bytes(8, "big") + bytes(10_000_000)

#: What it does, whether it is a WebSocket server at all, and what becomes of it.
Kinds = dict[str, tuple[Deed, bool, str]]
REFUSED: Kinds = {
    "10 MB": (send(TEN_MB), True, "agent_protocol"),
    "garbage": (send(*[text("}{ \x00 garbage")] * 10), True, "agent_protocol"),
    "deep garbage": (send(*[text("[" * 6_000)] * 10), True, "agent_protocol"),
    "no WebSocket": (send(b"\xff" * 4000), True, "agent_protocol"),
    "audio without end": (flood(frame(0x2, bytes(32_000))), True, "agent_protocol"),
    "clears without end": (flood(CLEAR), True, "agent_protocol"),
    "marks without end": (flood(frame(0x2, bytes(320)) + text('{"event":"mark","name":"m"}')), True, "agent_protocol"),
}
GIVEN_UP: Kinds = {
    "no answer": (say_nothing, False, "agent_unreachable"),
    "a nonsensical answer": (lambda connection: connection.sendall(b"\x00SSH-2.0-x\r\n\r\n"), False, "agent_unreachable"),
    "an answer without end": (endless_headers, False, "agent_unreachable"),
    "never ready": (say_nothing, True, "agent_not_ready"),
    "empty messages without end": (flood(b"\x82\x00"), True, "agent_lost"),
    "pings without end": (flood(b"\x89\x00"), True, "agent_lost"),
    "a reader that never reads": (never_read, True, "agent_lost"),
    "death in mid-sentence": (die_in_mid_sentence, True, "agent_lost"),
}


def reason(h: House, attempt: UUID) -> str | None:
    return next((data["reason"] for of, type_, data in h.book.notes if of == attempt and type_ == "relay.failed"), None)


async def goes_on(h: House, attempt: UUID, call: AgentCall, over: asyncio.Event) -> int:
    """A conversation both ways, until ``over``: all that was said is heard, in both directions. How often that was."""
    said = [number.to_bytes(2, "little") * 160 for number in range(1, 30_000)]
    count = iter(said)
    h.phones[attempt].callee.frame = lambda rate: next(count)  # type: ignore[method-assign]
    await until(lambda: call.audio and call.audio[-1] in said[:9], "the callee")
    call.audio.clear()
    turns = 0
    while not over.is_set():
        turns += 1
        words = tone(500 + 10 * (turns % 40), 700)
        await call.say(words)
        await until(lambda words=words: words in without_pauses(h.heard(attempt)[-64_000:]), "the agent is heard")  # type: ignore[misc]
        heard = b"".join(call.audio)
        at = b"".join(said).find(heard[:320])
        assert b"".join(said)[at : at + len(heard)] == heard, "the callee is heard without a hole"
    return turns


async def beside(h: House, kinds: Kinds) -> None:
    """A conversation goes on while each of ``kinds`` does its worst and is followed by its fallback."""
    write_wav(str(Path(h.settings.announcement_dir) / "sorry.wav"), SORRY)
    with ExitStack() as servers:
        async with ScriptedAgent().listening() as good:
            ours = await h.dial("0121", good.url)
            call = await good.call()
            await call.send("ready")
            await call.expect("answered")
            over = asyncio.Event()
            conversation = asyncio.create_task(goes_on(h, ours, call, over))
            attempts: dict[str, UUID] = {}
            for name, (deed, shakes, _) in kinds.items():
                url = servers.enter_context(raw_server(deed, shakes_hands=shakes))
                attempts[name] = await h.dial("0118", url, agent=FALLBACK)
            await until(lambda: len(h.switch.channels) == 1, "all but the good one are over", 45.0)
            over.set()
            assert await conversation >= 1
            outcome = {name: reason(h, attempt) for name, attempt in attempts.items()}
            assert outcome == {name: ends for name, (_, _, ends) in kinds.items()}
            for name, attempt in attempts.items():
                assert SORRY in h.heard(attempt), f"{name}: the callee hears the fallback"
                assert h.phones[attempt].vars["trunkline_end_reason"] == outcome[name]
            assert reason(h, ours) is None
            h.phones[ours].hangup("NORMAL_CLEARING")
            await h.gone(ours)


def test_what_is_against_the_rules_is_refused_and_a_call_beside_it_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, agent_reconnects=0, relay_max_buffer_s=5.0) as h:
            await beside(h, REFUSED)

    run(scenario())


def test_what_leads_nowhere_is_given_up_and_a_call_beside_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "_PING_EVERY_S", 0.5)
    monkeypatch.setattr(agent_module, "_PING_WAIT_S", 4.0)

    async def scenario() -> None:
        async with house(tmp_path, agent_reconnects=0, agent_connect_timeout_s=2.0, agent_ready_timeout_s=2.0) as h:
            await beside(h, GIVEN_UP)

    run(scenario())


@pytest.mark.parametrize("piece", [b"\x82\x00", b"\x89\x00", CLEAR], ids=["nothing", "pings", "clears"])
def test_what_is_sent_at_once_is_read_in_turns(piece: bytes) -> None:
    """Between two pieces everything else in the loop has its turn: no more than a piece is read without."""
    most = turns = since = 0

    async def scenario(url: str) -> None:
        nonlocal most, turns, since
        loop = asyncio.get_running_loop()
        read = 0

        class Counted(FairConnection):
            def process_event(self, event: Any) -> None:
                nonlocal since, read
                since, read = since + 1, read + 1
                super().process_event(event)

        def turn() -> None:
            nonlocal most, turns, since
            most, since, turns = max(most, since), 0, turns + 1
            if read < 6_000:
                loop.call_soon(turn)

        async with connect(url, proxy=None, compression=None, create_connection=Counted, ping_interval=None) as client:
            turn()

            async def consume() -> None:
                async for _ in client:
                    pass

            consuming = asyncio.create_task(consume())
            await until(lambda: read >= 6_000, "enough was read", 60.0)
            consuming.cancel()
            client.transport.abort()

    with raw_server(flood(piece)) as url:
        asyncio.run(scenario(url))
    assert most <= 1024 // len(piece) + 1


def test_what_came_in_pieces_and_at_once_is_the_same(tmp_path: Path) -> None:
    """Messages of all sizes, and the close behind them, are read whole and in order."""
    sizes = [0, 1, 125, 126, 700, 1024, 5000, 60_000, 3, 0, 20_000]
    messages = [bytes([number + 1]) * size for number, size in enumerate(sizes)]

    def deed(connection: socket.socket) -> None:
        connection.sendall(b"".join(frame(0x2, message) for message in messages) + frame(0x8, b"\x03\xe8bye"))
        connection.shutdown(socket.SHUT_WR)
        say_nothing(connection)

    async def scenario(url: str) -> None:
        async with connect(url, proxy=None, compression=None, create_connection=FairConnection) as client:
            assert [message async for message in client] == messages
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (1000, "bye")

    with raw_server(deed) as url:
        asyncio.run(asyncio.wait_for(scenario(url), 30.0))


@pytest.mark.parametrize(
    ("size", "count", "read"),
    [(0, 100_000, range(1, 4_000)), (320, 780, range(780, 781))],
    ids=["what costs more than it is", "audio"],
)
def test_what_came_with_the_end_is_not_read_for_ever(size: int, count: int, read: range) -> None:
    """As TLS hands it over: all that it holds and then the end, without a turn for anybody between them."""

    async def scenario(url: str) -> None:
        frames = 0

        class Counted(FairConnection):
            def process_event(self, event: Any) -> None:
                nonlocal frames
                frames += 1
                super().process_event(event)

        async with connect(url, proxy=None, compression=None, create_connection=Counted, ping_interval=None) as client:
            frames = 0
            client.data_received(frame(0x2, b"\1" * size) * count)
            client.eof_received()
            assert frames in read
            client.transport.abort()

    with raw_server(say_nothing) as url:
        asyncio.run(asyncio.wait_for(scenario(url), 30.0))


def test_deeds_are_paced() -> None:
    pace = Pace(10.0, 3)
    assert [pace.allows(100.0) for _ in range(4)] == [True, True, True, False]
    assert [pace.allows(100.15) for _ in range(2)] == [True, False]
    assert [pace.allows(200.0) for _ in range(4)] == [True, True, True, False]
