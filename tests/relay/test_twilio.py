"""Agents that speak Twilio Media Streams: the messages as Twilio documents them, and a bot that was written for Twilio."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from agents.reference.sound import from_bytes, tone
from controller.relay import protocol, ulaw
from controller.relay.twilio import Twilio
from lab.audio.pcm import goertzel, write_wav
from store.holds import Wish
from tests.relay.house import FROM, ScriptedAgent, house, run, until, without_pauses

TWILIO = {"agent_protocol": "twilio"}


class StockBot:
    """As tutorials have them: waits for ``start``, greets, repeats a second of what it hears, hangs up by closing. It knows
    nothing of us and minds every field it reads.
    """

    def __init__(self, greeting: bytes) -> None:
        self.greeting = greeting  # mu-law
        self.got: list[dict[str, Any]] = []
        self.url = ""
        self.sockets: list[ServerConnection] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[StockBot]:
        async with serve(self._talk, "127.0.0.1", 0) as server:
            self.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/media"
            yield self

    def seen(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.got if message["event"] == event]

    async def _talk(self, ws: ServerConnection) -> None:
        self.sockets.append(ws)
        stream = None
        heard = b""
        try:
            async for text in ws:
                message = json.loads(text)
                self.got.append(message)
                if message["event"] == "start":
                    stream = message["start"]["streamSid"]
                    for at in range(0, len(self.greeting), 160):
                        await self._play(ws, stream, self.greeting[at : at + 160])
                    await ws.send(json.dumps({"event": "mark", "streamSid": stream, "mark": {"name": "greeted"}}))
                elif message["event"] == "media":
                    heard += base64.b64decode(message["media"]["payload"])
                    if len(heard) == 8000:
                        assert stream is not None
                        await self._play(ws, stream, heard)
                elif message["event"] == "dtmf":
                    if message["dtmf"]["digit"] == "0":
                        await ws.send(json.dumps({"event": "clear", "streamSid": stream}))
                    else:
                        await ws.close()
        except ConnectionClosed:
            pass

    async def _play(self, ws: ServerConnection, stream: str, ulaw_bytes: bytes) -> None:
        payload = base64.b64encode(ulaw_bytes).decode()
        await ws.send(json.dumps({"event": "media", "streamSid": stream, "media": {"payload": payload}}))


def spoken(pcm: bytes) -> bytes:
    """What is left of L16 after mu-law."""
    return ulaw.decode(ulaw.encode(pcm))


@given(st.binary(max_size=500))
def test_mu_law_there_and_back_is_itself(codes: bytes) -> None:
    back = ulaw.encode(ulaw.decode(codes))
    assert back.replace(b"\x7f", b"\xff") == codes.replace(b"\x7f", b"\xff")  # both mean nought


def test_mu_law_is_that_of_g711() -> None:
    known = {0x00: -32124, 0x80: 32124, 0xFF: 0, 0x7F: 0, 0xFE: 8, 0x7E: -8, 0xF0: 120, 0x70: -120, 0xDB: 524}
    for code, sample in known.items():
        assert from_bytes(ulaw.decode(bytes([code])))[0] == sample
    samples = from_bytes(ulaw.decode(ulaw.encode(tone(1000, 20, peak=20_000))))
    for was, became in zip(from_bytes(tone(1000, 20, peak=20_000)), samples, strict=True):
        assert abs(was - became) <= max(4, abs(was) / 16)


def test_a_stock_bot_greets_hears_and_is_interrupted(tmp_path: Path) -> None:
    async def scenario() -> None:
        greeting = tone(1000, 600)
        async with house(tmp_path) as h, StockBot(ulaw.encode(greeting)).listening() as bot:
            attempt = await h.dial("0122", bot.url, variables={"name": "Ada", "age": 36}, agent=TWILIO)
            await until(lambda: bot.got, "connected")
            assert bot.got == [{"event": "connected", "protocol": "Call", "version": "1.0.0"}]
            assert h.phones[attempt].answer_state != "answered", "it is connected while the phone rings"
            await until(lambda: spoken(greeting) in without_pauses(h.heard(attempt)), "the callee hears the greeting whole")
            await until(lambda: bot.seen("mark"), "the mark comes back")
            h.phones[attempt].callee.configure("speech=tone:600")
            await until(lambda: goertzel(h.heard(attempt)[-3200:], 600) > 0.8, "the callee is repeated", 20.0)
            begun_as_documented(h.book.calls[attempt].tenant_id, h.book.calls[attempt].call_id, attempt, bot)
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await until(lambda: bot.seen("stop"), "it is told of the end")
            await h.gone(attempt)
            assert bot.got[-1] == {
                "event": "stop",
                "sequenceNumber": bot.got[-1]["sequenceNumber"],
                "streamSid": f"MZ{attempt.hex}",
                "stop": {k: bot.seen("start")[0]["start"][k] for k in ("accountSid", "callSid")},
            }
            numbers = [int(message["sequenceNumber"]) for message in bot.got[1:]]
            assert numbers == list(range(1, len(numbers) + 1)), "nothing is missing or out of order"

    run(scenario())


def begun_as_documented(tenant: UUID, call: UUID, attempt: UUID, bot: StockBot) -> None:
    start, media = bot.got[1], bot.seen("media")
    assert (start["event"], start["sequenceNumber"], start["streamSid"]) == ("start", "1", f"MZ{attempt.hex}")
    facts = start["start"]
    assert facts["customParameters"].items() >= {"name": "Ada", "age": "36", "from_number": FROM}.items()
    assert json.loads(facts["customParameters"]["trunkline_runtime"])["token"].startswith("eyJ")
    assert {k: v for k, v in facts.items() if k != "customParameters"} == {
        "streamSid": f"MZ{attempt.hex}",
        "callSid": f"CA{call.hex}",
        "accountSid": f"AC{tenant.hex}",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    }
    for number, message in enumerate(media[:20], 1):
        assert message["media"]["track"] == "inbound"
        assert message["media"]["chunk"] == str(number)
        assert message["media"]["timestamp"] == str((number - 1) * 20)
        assert len(base64.b64decode(message["media"]["payload"])) == 160
        assert message["streamSid"] == f"MZ{attempt.hex}"


def test_keys_clear_and_marks_and_the_bots_own_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, StockBot(ulaw.encode(tone(1000, 8000))).listening() as bot:
            attempt = await h.dial("0121", bot.url, agent=TWILIO)
            await until(lambda: goertzel(h.heard(attempt)[-1600:], 1000) > 0.8, "it talks")
            assert bot.seen("mark") == [], "it has 8 s to say"
            h.phones[attempt].callee.press("0")
            await until(lambda: bot.seen("mark"), "a clear gives the marks back")
            assert bot.seen("mark")[0]["mark"] == {"name": "greeted"}
            assert bot.seen("dtmf")[0]["dtmf"] == {"track": "inbound_track", "digit": "0"}
            await until(lambda: goertzel(h.heard(attempt)[-1600:], 1000) < 0.1, "silence")
            h.phones[attempt].callee.press("9")  # it closes its socket
            await h.gone(attempt)
            assert h.book.reason() is None
            assert h.phones[attempt].vars["trunkline_hangup_by"] == "agent"
            assert h.phones[attempt].vars["trunkline_end_reason"] == "agent_closed"

    run(scenario())


def test_a_bot_on_hold_hears_silence_and_is_heard_by_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent(subprotocols=()).listening() as bot:
            write_wav(str(tmp_path / "announcements" / "music.wav"), tone(1300, 1500))
            attempt = await h.dial("0121", bot.url, agent=TWILIO)  # who speaks all the time
            call = await bot.call()
            stream = (await call.expect("start"))["streamSid"]

            async def say(hz: int, mark: str) -> None:
                payload = base64.b64encode(ulaw.encode(tone(hz, 5000))).decode()
                await call.send("media", streamSid=stream, media={"payload": payload})
                await call.send("mark", streamSid=stream, mark={"name": mark})

            def hears(hz: int) -> bool:
                return goertzel(h.heard(attempt)[-3200:], hz) > 0.8

            def silent(message: dict[str, Any]) -> bool:
                return set(base64.b64decode(message["media"]["payload"])) == {0xFF}

            def marks() -> list[str]:
                return [message["mark"]["name"] for message in call.seen("mark")]

            await say(700, "before")
            await until(lambda: hears(700), "the bot speaks")
            await until(lambda: call.seen("media"), "and hears")
            assert not any(map(silent, call.seen("media")[-5:]))
            h.book.standing.append(Wish(uuid4(), attempt, "hold", "music.wav", "customer", None))
            await until(lambda: hears(1300), "the file of the hold")
            await until(lambda: marks() == ["before"], "what was not heard is given back, as after a clear")
            seen = len(call.seen("media"))
            await say(1700, "meanwhile")
            await until(lambda: marks() == ["before", "meanwhile"], "and what is said now, at once")
            await until(lambda: len(call.seen("media")) > seen + 60, "its media goes on")
            assert all(map(silent, call.seen("media")[seen + 5 : seen + 60])), "of silence"
            await call.send("clear", streamSid=stream)
            await until(lambda: hears(1300), "no clear ends it")
            h.book.standing.append(Wish(uuid4(), attempt, "resume", None, "customer", "k"))
            await until(lambda: list(h.book.results.values()) == ["resumed", "resumed"], "it is over")
            await say(900, "after")
            await until(lambda: hears(900), "the bot talks on")
            await until(lambda: not silent(call.seen("media")[-1]), "and hears the callee")
            await call.send("clear", streamSid=stream)
            await until(lambda: marks() == ["before", "meanwhile", "after"], "its own clear")
            assert goertzel(h.heard(attempt), 1700) < 0.01, "what was said meanwhile is heard by nobody, then or later"
            assert set(call.order) == {"connected", "start", "media", "mark"}, "nothing that the dialect does not have"
            media = call.seen("media")
            assert [int(one["media"]["timestamp"]) for one in media] == [20 * n for n in range(len(media))]
            assert [int(one["sequenceNumber"]) for one in call.texts[1:]] == list(range(1, len(call.texts)))
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)
            assert h.book.reason() is None

    run(scenario())


def test_what_is_unknown_there_is_passed_over_and_what_is_broken_is_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent(subprotocols=()).listening() as agent:
            attempt = await h.dial("0121", agent.url, agent=TWILIO)
            call = await agent.call()
            await call.expect("start")
            for _ in range(20):
                await call.send("keepalive")
            await call.send("mark", mark={"name": "still here"})
            await call.expect("mark")
            assert "relay.bad_message" not in h.book.types()
            for _ in range(10):
                await call.send("media", media={"payload": "no base64"})
            await until(lambda: h.book.reason(), "the relay has enough")
            assert h.book.reason() == "agent_protocol"
            assert "relay.bad_message" in h.book.types(), "there is no message to tell it by, so the record has it"
            await h.gone(attempt)
            assert [message["event"] for message in call.texts if message["event"] == "error"] == []

    run(scenario())


@pytest.mark.parametrize(
    ("frame", "code", "named"),
    [
        (b"\x00\x00", "bad_audio", "media text"),
        ("no", "bad_json", "JSON"),
        ("[]", "bad_message", "object"),
        ('{"event":"media","media":{}}', "bad_audio", "media.payload"),
        ('{"event":"media","media":{"payload":"é"}}', "bad_audio", "media.payload"),
        ('{"event":"media"}', "bad_message", "media"),
        ('{"event":"mark","mark":{"name":""}}', "bad_message", "mark.name"),
        ('{"event":"clear","streamSid":"MZ0"}', "bad_message", "streamSid"),
        ('{"event":"stop"}', "unknown_event", "event"),
        ('{"event":"clear"}' * 101, "bad_json", "100 values"),
    ],
)
def test_a_bad_message_is_refused_by_its_field(tmp_path: Path, frame: str | bytes, code: str, named: str) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h:
            call = h.book.calls[await h.dial("0102", "ws://127.0.0.1:1/")]
            with pytest.raises(protocol.ProtocolError, match=named) as caught:
                Twilio(call, resumed=False, greeting=None, runtime=None).parse(frame)
            assert caught.value.code == code

    asyncio.run(scenario())
