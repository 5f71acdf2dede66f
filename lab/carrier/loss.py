"""A line that loses datagrams, both ways, at the carrier's own socket."""

from __future__ import annotations

import random
from collections.abc import Callable

from lab.sip import message as sip
from lab.sip.udp import Address, UdpEndpoint

#: (way `in` or `out`, the datagram, its stamp or 0).
Note = Callable[[str, bytes, int], None]


class LossyLine:
    """Between a socket and who reads it. `share` 0 to 1 of the datagrams of each way never arrive; the same seed and the
    same order of datagrams lose the same ones. Every loss is noted.
    """

    def __init__(self, share: float, seed: int, note: Note) -> None:
        if not 0 <= share < 1:
            raise ValueError(f"loss: give a share from 0 to below 1, not {share:g}")
        self._share = share
        self._note = note
        self._in, self._out = random.Random(f"{seed}:in"), random.Random(f"{seed}:out")
        self._endpoint: UdpEndpoint | None = None

    def attach(self, endpoint: UdpEndpoint) -> None:
        """The socket that sends."""
        self._endpoint = endpoint

    def arrives(self, data: bytes, stamp: int) -> bool:
        """Whether this datagram gets through to the reader."""
        if self._share and self._in.random() < self._share:
            self._note("in", data, stamp)
            return False
        return True

    def send(self, data: bytes, address: Address) -> None:
        """Send, or lose on the way."""
        assert self._endpoint is not None, "attach a socket first"
        if self._share and self._out.random() < self._share:
            self._note("out", data, 0)
            return
        self._endpoint.send(data, address)


def facts_of(data: bytes) -> dict[str, object]:
    """What a lost datagram was, as facts of the arrival log; nothing of what is no SIP."""
    try:
        message = sip.parse(data)
    except (sip.SipError, ValueError):
        return {}
    facts: dict[str, object] = {
        "call_id": message.call_id,
        "what": message.method or f"{message.status} {message.cseq[1]}",
        "branch": message.branch,
        "cseq": message.cseq[0],
    }
    if message.method == "INVITE":
        facts |= {"uri": message.uri, "number": sip.user_of(message.uri)}
    return facts
