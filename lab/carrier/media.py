"""The callee's ear and mouth over real RTP (PCMU, RFC 2833), for a peer that is a real FreeSWITCH."""

from __future__ import annotations

import asyncio
import functools
import random
import struct
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from lab.audio import pcm
from lab.carrier.ear import Ear
from lab.sip.sdp import MediaLine
from lab.sip.udp import Address, UdpEndpoint

_RTP = struct.Struct("!BBHII")
#: A packet that was heard: when (ns, the kernel's), its sequence number, its timestamp.
PACKET = struct.Struct("<QHI")
_HEARD_FRAMES = 3000  # one minute
_DTMF = "0123456789*#ABCD"
_ECHO_FRAMES = 50


@functools.lru_cache(maxsize=32)
def _spoken(speech: str) -> tuple[bytes, ...]:
    """Made once: a minute of speech takes a second, in which no packet would leave."""
    return tuple(pcm.to_ulaw(frame) for frame in pcm.looped_frames(speech))


class MediaClock:
    """One 20 ms beat for every RTP stream of the process."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._beats: set[Callable[[], None]] = set()
        self._next = loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, beat: Callable[[], None]) -> None:
        self._beats.add(beat)
        if self._timer is None:
            self._next = self._loop.time()
            self._tick()

    def leave(self, beat: Callable[[], None]) -> None:
        self._beats.discard(beat)

    def stop(self) -> None:
        self._beats.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        if not self._beats:
            self._timer = None
            return
        for beat in list(self._beats):
            beat()
        self._next = max(self._next + pcm.FRAME_S, self._loop.time() - 0.2)
        self._timer = self._loop.call_at(self._next, self._tick)


class CalleeMedia:
    """Sends the callee's speech, keeps what it hears (`heard`, PCM16 8 kHz, the last minute)."""

    def __init__(
        self, clock: MediaClock, host: str, offer: MediaLine, call_id: str, record_dir: Path | None, ear: Ear | None = None
    ) -> None:
        self._clock = clock
        self._ear = ear
        self._peer: Address = (offer.host, offer.port)
        self._dtmf_payload = offer.dtmf_payload or 101
        self._endpoint = UdpEndpoint(host, 0, self._received)
        self._endpoint.start()
        self.port = self._endpoint.address[1]
        self.packets_heard = 0
        self.keys = ""  # pressed towards the callee
        self._last_key = b""
        self._keys_file = None if record_dir is None else record_dir / f"{call_id}.keys"
        self._heard: deque[bytes] = deque(maxlen=_HEARD_FRAMES)
        self._file = None
        if record_dir is not None:
            record_dir.mkdir(parents=True, exist_ok=True)
            self._file = open(record_dir / f"{call_id}.s16", "wb", buffering=0)  # noqa: SIM115
            self._packets = open(record_dir / f"{call_id}.packets", "wb", buffering=0)  # noqa: SIM115
        self._voice = pcm.looped_frames("silent")
        self._speech = _spoken("silent")
        self._echo = False
        self._at = 0
        self._sequence = random.randrange(30000)
        self._stamp = random.randrange(1 << 30)
        self._ssrc = random.randrange(1 << 31)
        self._digits: deque[tuple[int, str]] = deque()
        self._event: list[bytes] = []
        self._closed = False
        clock.join(self._beat)

    @property
    def heard(self) -> bytes:
        return b"".join(self._heard)

    def send_to(self, peer: Address) -> None:
        """The far end's audio is taken there; until it is known (port 0) nothing is sent."""
        self._peer = peer

    def speak(self, speech: str, dtmf: str = "") -> None:
        """From now on say `speech` (see Outcome.speech); press `dtmf` = `digits@seconds`."""
        self._echo = speech == "echo"
        self._voice = pcm.looped_frames(speech)
        self._speech = _spoken(speech)
        self._at = 0
        digits, _, when = dtmf.partition("@")
        first = int(float(when or 0) / pcm.FRAME_S)
        self._digits = deque((first + n * 15, digit) for n, digit in enumerate(digits) if digit in _DTMF)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._clock.leave(self._beat)
        self._endpoint.close()
        if self._file is not None:
            self._file.close()
            self._packets.close()

    def _received(self, data: bytes, _peer: Address, stamp: int) -> None:
        if len(data) >= 16 and data[1] & 0x7F == self._dtmf_payload:
            self._key(data)
        if len(data) <= 12 or data[1] & 0x7F != 0:
            return
        self.packets_heard += 1
        sound = pcm.from_ulaw(data[12:])
        self._heard.append(sound)
        if self._ear is not None:
            self._ear.hear(sound, stamp)
        if self._file is not None:
            self._file.write(sound)
            self._packets.write(PACKET.pack(stamp, *struct.unpack("!HI", data[2:8])))

    def _key(self, data: bytes) -> None:
        """The end of an event, which comes three times under one timestamp."""
        stamp, code, end = data[4:8], data[12], data[13] & 0x80
        if not end or stamp == self._last_key or code >= len(_DTMF):
            return
        self._last_key = stamp
        self.keys += _DTMF[code]
        if self._keys_file is not None:
            self._keys_file.write_text(self.keys)

    def _beat(self) -> None:
        if not self._peer[1]:
            return
        self._at += 1
        self._stamp = (self._stamp + 160) & 0xFFFFFFFF
        if self._digits and self._digits[0][0] <= self._at and not self._event:
            self._start_digit(self._digits.popleft()[1])
        if self._ear is not None and not self._event:
            spoken = self._voice[self._at % len(self._voice)] if not self._echo else b""
            self._ear.say(spoken, time.time_ns())
        if self._event:
            self._packet(self._dtmf_payload, self._event.pop(0), self._event_stamp)
            return
        if self._echo:
            heard = self._heard[-_ECHO_FRAMES] if len(self._heard) >= _ECHO_FRAMES else pcm.silence(pcm.FRAME_S)
            payload = pcm.to_ulaw(heard)
        else:
            payload = self._speech[self._at % len(self._speech)]
        self._packet(0, payload, self._stamp)

    def _start_digit(self, digit: str) -> None:
        """RFC 2833: rising duration under one timestamp, the end packet three times."""
        self._event_stamp = self._stamp
        code = _DTMF.index(digit)
        self._event = [struct.pack("!BBH", code, 10, 160 * n) for n in range(1, 6)]
        self._event += [struct.pack("!BBH", code, 0x80 | 10, 160 * 6)] * 3

    def _packet(self, payload_type: int, payload: bytes, stamp: int) -> None:
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._endpoint.send(_RTP.pack(0x80, payload_type, self._sequence, stamp, self._ssrc) + payload, self._peer)
