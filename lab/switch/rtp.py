"""A callee behind real RTP (PCMU), for a carrier that speaks it: what they say comes by it, and what they hear goes."""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING

from lab.audio import pcm
from lab.sip.udp import Address, UdpEndpoint
from lab.switch.callee import SILENT, Callee

if TYPE_CHECKING:
    from lab.sip.sdp import MediaLine
    from lab.switch.channel import Channel

_RTP = struct.Struct("!BBHII")
#: 20 ms frames that wait for the channel's own beat; older ones are lost, as in a socket's buffer.
_WAITING = 25


class RtpCallee(Callee):
    """One frame is taken each beat, and one sent where the channel sends one."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel)
        self._arrived: deque[bytes] = deque(maxlen=_WAITING)
        self._now = SILENT
        self._peer: Address | None = None
        self._sequence = channel.switch.random.randrange(1 << 15)
        self._stamp = channel.switch.random.randrange(1 << 31)
        self._ssrc = channel.switch.random.randrange(1 << 31)
        self._endpoint = UdpEndpoint(channel.switch.sofia.host, 0, self._received)
        self._endpoint.start()
        self._open = True

    @property
    def port(self) -> int:
        """Where RTP is taken."""
        return self._endpoint.address[1]

    @property
    def live(self) -> bool:
        return self._peer is not None and self._open

    def connect(self, media: MediaLine) -> None:
        self._peer = (media.host, media.port)

    def stop(self) -> None:
        super().stop()
        if self._open:
            self._open = False
            self._endpoint.close()

    def advance(self) -> None:
        self._now = self._arrived.popleft() if self._arrived else SILENT

    def frame(self, rate: int) -> bytes:
        return self._now if rate == 8000 else pcm.resample(self._now, 8000, rate)

    def hear(self, frame: bytes | None) -> None:
        super().hear(frame)
        self._stamp = (self._stamp + 160) & 0xFFFFFFFF
        if frame is None or self._peer is None or not self._open:
            return
        self._sequence = (self._sequence + 1) & 0xFFFF
        head = _RTP.pack(0x80, 0, self._sequence, self._stamp, self._ssrc)
        self._endpoint.send(head + pcm.to_ulaw(frame), self._peer)

    def _received(self, data: bytes, _peer: Address, _stamp: int) -> None:
        if len(data) == 172 and data[1] & 0x7F == 0:
            self._arrived.append(pcm.from_ulaw(data[12:]))
