"""mod_audio_fork (drachtio): the callee's audio to a WebSocket, JSON commands back as CUSTOM events."""

from __future__ import annotations

import asyncio
import base64
import binascii
import itertools
import json
import ssl
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from lab.audio import pcm
from lab.switch.recording import mix

if TYPE_CHECKING:
    from lab.switch.channel import Channel

_SUBPROTOCOL = "audio.drachtio.org"
_BUFFER_FRAMES = 100  # two seconds wait for the socket
_play_count = itertools.count(0)
_RAW = {8000: ".r8", 16000: ".r16", 24000: ".r24", 32000: ".r32", 48000: ".r48", 64000: ".r64"}


class AudioFork(asyncio.Protocol):
    """One bug on one channel. It stays attached after a drop or a failed connect, until `stop`."""

    def __init__(self, channel: Channel, bugname: str, url: str, mix_type: str, rate: int, metadata: str) -> None:
        self._channel = channel
        self.bugname = bugname
        self._url = url
        self._mix_type = mix_type
        self.rate = rate
        self._metadata = metadata
        self._transport: asyncio.Transport | None = None
        self._protocol: ClientProtocol | None = None
        self._open = False
        self._closing = False
        self.paused = False
        self._waiting: deque[bytes] = deque(maxlen=_BUFFER_FRAMES)
        self._texts: list[str] = []
        self._fragments: list[bytes] = []
        self._files: list[str] = []

    def start(self) -> None:
        self._channel.forks[self.bugname] = self
        self._channel.fire("MEDIA_BUG_START", self._bug())
        self._channel.switch.media.watch(self._channel)
        self._channel.switch.spawn(self._connect())

    def _bug(self) -> list[tuple[str, str]]:
        return [("Media-Bug-Function", self.bugname), ("Media-Bug-Target", "N/A")]

    def _tell(self, subclass: str, body: str | None = None) -> None:
        if not self._channel.hungup and self.bugname in self._channel.forks:
            self._channel.fire("CUSTOM", subclass=f"mod_audio_fork::{subclass}", body=body)

    async def _connect(self) -> None:
        loop = self._channel.switch.loop
        try:
            uri = parse_uri(self._url)
            context: ssl.SSLContext | None = None
            if uri.secure:
                context = ssl.create_default_context()
                if self._channel.vars.get("MOD_AUDIO_FORK_ALLOW_SELFSIGNED") == "true":
                    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self._protocol = self._client(uri)
            await loop.create_connection(lambda: self, uri.host, uri.port, ssl=context)
        except (OSError, InvalidURI):
            self._tell("connect_failed", '{"reason":"Unable to connect"}')

    def _client(self, uri: WebSocketURI) -> ClientProtocol:
        return ClientProtocol(uri, subprotocols=[Subprotocol(_SUBPROTOCOL)], max_size=None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert self._protocol is not None
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own kind
        if self._closing:
            self._transport.abort()
            return
        request = self._protocol.connect()
        user = self._channel.vars.get("MOD_AUDIO_BASIC_AUTH_USERNAME")
        if user is not None:
            secret = f"{user}:{self._channel.vars.get('MOD_AUDIO_BASIC_AUTH_PASSWORD', '')}"
            request.headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
        self._protocol.send_request(request)
        self._flush_protocol()

    def _flush_protocol(self) -> None:
        assert self._protocol is not None
        if self._transport is None:
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._protocol is None:
            return
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._handshaken()
            elif isinstance(event, Frame):
                self._frame(event)
        self._flush_protocol()

    def eof_received(self) -> None:
        if self._protocol is not None:
            self._protocol.receive_eof()

    def _handshaken(self) -> None:
        assert self._protocol is not None
        if self._protocol.state is not State.OPEN:
            self._closing = True
            self._tell("connect_failed", '{"reason":"Unable to connect"}')
            return
        self._open = True
        self._tell("connect")
        if self._metadata:
            self.send_text(self._metadata)
        self._flush_texts()
        while self._waiting:
            self._write_frame(self._waiting.popleft())

    def connection_lost(self, exc: Exception | None) -> None:
        was_open, self._open, self._transport = self._open, False, None
        if self._closing:
            return
        if was_open:
            self._tell("disconnect")
        else:
            self._tell("connect_failed", '{"reason":"Unable to connect"}')

    # --- down to the agent ----------------------------------------------------------------------------------------

    def send_frame(self) -> None:
        """20 ms of the call; waits in a short buffer until the socket is open."""
        if self.paused or self._closing:
            return
        frame = self._channel.callee.frame(self.rate)
        if self._mix_type != "mono":
            frame = self._mixed(frame)
        if self._open:
            self._write_frame(frame)
        elif self._transport is not None or self._protocol is None:
            self._waiting.append(frame)

    def _mixed(self, frame: bytes) -> bytes:
        heard = pcm.resample(self._channel.callee.last_heard, 8000, self.rate)
        if self._mix_type == "mixed":
            return mix(frame, heard)
        return b"".join(frame[at : at + 2] + heard[at : at + 2] for at in range(0, len(frame), 2))

    def _write_frame(self, payload: bytes) -> None:
        # A zero masking key is a legal one and leaves the payload as it is: 10,000 frames a second stay cheap.
        if self._transport is not None:
            self._transport.write(b"\x82\xfe" + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload)

    def send_text(self, text: str) -> None:
        """Texts queued together leave as one frame, as with the real module."""
        self._texts.append(text)
        self._channel.switch.loop.call_soon(self._flush_texts)

    def _flush_texts(self) -> None:
        if self._texts and self._open and self._protocol is not None:
            text, self._texts = "".join(self._texts), []
            self._protocol.send_text(text.encode())
            self._flush_protocol()

    # --- up from the agent ----------------------------------------------------------------------------------------

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT or (frame.opcode is Opcode.CONT and self._fragments):
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                data, self._fragments = b"".join(self._fragments), []
                self._message(data.decode("utf-8", "replace"))

    def _message(self, text: str) -> None:
        """One JSON object; what follows it in the same frame is lost, as there."""
        try:
            message, _ = json.JSONDecoder().raw_decode(text.lstrip())
        except ValueError:
            return
        if not isinstance(message, dict):
            return
        kind, data = message.get("type"), message.get("data")
        if kind == "playAudio" and isinstance(data, dict):
            self._play_audio(data)
        elif kind == "killAudio":
            self._tell("kill_audio")
            self._channel.apps.request_break(everything=False)
        elif kind in ("transcription", "transfer", "disconnect", "error"):
            self._tell(kind, None if data is None else _dump(data))
        elif kind == "json":
            self._tell("json", _dump(message))

    def _play_audio(self, data: dict[str, Any]) -> None:
        audio = data.pop("audioContent", None)
        kind = data.get("audioContentType")
        suffix = ".wav" if kind in ("wave", "wav") else _RAW.get(data.get("sampleRate", 0), ".r16")
        if isinstance(audio, str) and kind in ("raw", "wave", "wav"):
            path = self._channel.switch.config.temp_dir / f"{self._channel.uuid}_{next(_play_count)}.tmp{suffix}"
            try:
                path.write_bytes(base64.b64decode(audio))
            except (binascii.Error, OSError):
                return
            self._files.append(str(path))
            data["file"] = str(path)
        self._tell("play_audio", _dump(data))

    # --- the end --------------------------------------------------------------------------------------------------

    def close(self, text: str = "") -> None:
        """`stop`, or the hangup: the last text, a clean close, MEDIA_BUG_STOP."""
        self._channel.forks.pop(self.bugname, None)
        self._channel.fire("MEDIA_BUG_STOP", self._bug())
        if text:
            self._texts.append(text)
        self._flush_texts()
        self._closing = True
        if self._open and self._protocol is not None and self._protocol.state is State.OPEN:
            self._open = False
            self._protocol.send_close(1000)
            self._flush_protocol()
        elif self._transport is not None:
            self._transport.abort()
        for name in self._files:
            Path(name).unlink(missing_ok=True)

    def drop(self) -> None:
        """The process dies: the socket is simply gone."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
