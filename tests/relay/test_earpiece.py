"""The media socket is read without the library's help: every frame as it was sent; everything else is the library's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from controller.relay import fork
from controller.relay.earpiece import MAX_FRAME, MediaConnection
from tests.relay.house import run, until


@dataclass
class Heard:
    """What came of one socket; it is listened to only from ``listening`` on."""

    audio: list[bytes] = field(default_factory=list)
    texts: list[str | bytes] = field(default_factory=list)
    listening: asyncio.Event = field(default_factory=asyncio.Event)
    there: asyncio.Event = field(default_factory=asyncio.Event)
    closed: int | None = None


class Module:
    """The switch's module, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: ClientProtocol) -> None:
        self._reader, self._writer, self._protocol = reader, writer, protocol

    def bytes_of(self, payload: bytes, opcode: Opcode = Opcode.BINARY, *, fin: bool = True) -> bytes:
        """Masked by a random mask, as a client's must be."""
        return Frame(opcode, payload, fin).serialize(mask=True)

    async def write(self, data: bytes, size: int) -> None:
        """In pieces of ``size`` bytes, each a segment of its own."""
        for at in range(0, len(data), size):
            self._writer.write(data[at : at + size])
            await self._writer.drain()
            await asyncio.sleep(0)

    async def closed(self) -> int | None:
        """The close code that the relay sent."""
        while data := await self._reader.read(4096):
            self._protocol.receive_data(data)
        rcvd = self._protocol.close_rcvd
        return None if rcvd is None else rcvd.code


@asynccontextmanager
async def module(*, listening: bool = True) -> AsyncIterator[tuple[Module, Heard]]:
    heard = Heard()
    if listening:
        heard.listening.set()

    async def on_fork(_attempt: UUID, socket: MediaConnection) -> None:
        heard.there.set()
        await heard.listening.wait()
        socket.listen(heard.audio.append)
        async for text in socket:
            heard.texts.append(text)

    async with await fork.listen(on_fork, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/fork/{uuid4()}"), subprotocols=[fork.SUBPROTOCOL])
        protocol.send_request(protocol.connect())
        writer.writelines(protocol.data_to_send())
        protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        try:
            await asyncio.wait_for(heard.there.wait(), 10)
            yield Module(reader, writer, protocol), heard
        finally:
            writer.transport.abort()


SIZES = st.one_of(st.integers(0, 130), st.sampled_from([320, 640, 65_535, 65_536, 70_000]))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.one_of(SIZES, st.text(max_size=20)), min_size=1, max_size=8), st.integers(1, 2000))
def test_frames_arrive_whole_and_in_order_however_the_stream_is_cut(sent: list[int | str], cut: int) -> None:
    async def scenario() -> None:
        async with module() as (there, heard):
            audio = [bytes([n % 256]) * one for n, one in enumerate(sent) if isinstance(one, int)]
            texts = [one for one in sent if isinstance(one, str)]
            frames, left = b"", iter(audio)
            for one in sent:
                frames += there.bytes_of(next(left)) if isinstance(one, int) else there.bytes_of(one.encode(), Opcode.TEXT)
            await there.write(frames, max(cut, len(frames) // 300))
            await until(lambda: len(heard.audio) == len(audio) and len(heard.texts) == len(texts), "all that was sent")
            assert heard.audio == audio
            assert heard.texts == texts

    run(scenario())


def test_what_comes_before_somebody_listens_is_heard_first() -> None:
    async def scenario() -> None:
        async with module(listening=False) as (there, heard):
            await there.write(b"".join(there.bytes_of(bytes([n]) * 320) for n in range(5)), 100)
            await there.write(there.bytes_of(b"{}", Opcode.TEXT), 100)
            heard.listening.set()
            await until(lambda: heard.texts, "the text behind them")
            await there.write(there.bytes_of(b"\x05" * 320), 400)
            await until(lambda: len(heard.audio) == 6, "all six")
            assert [frame[0] for frame in heard.audio] == list(range(6))

    run(scenario())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (Frame(Opcode.BINARY, bytes(320)).serialize(mask=False), 1002),  # a client that does not mask
        (b"\xc2\xfe\x01\x40" + bytes(4 + 320), 1002),  # a bit that nobody agreed on
        (b"\x82\xff" + (MAX_FRAME + 1).to_bytes(8, "big") + bytes(4), 1009),
        (Frame(Opcode.CLOSE, (1000).to_bytes(2, "big")).serialize(mask=True), 1000),
    ],
    ids=["unmasked", "reserved bit", "too long", "close"],
)
def test_what_is_no_audio_is_the_librarys_to_judge(data: bytes, code: int) -> None:
    async def scenario() -> None:
        async with module() as (there, heard):
            await there.write(there.bytes_of(b"\x01" * 320) + data, 4096)
            assert await asyncio.wait_for(there.closed(), 10) == code
            assert heard.audio == [b"\x01" * 320]

    run(scenario())
