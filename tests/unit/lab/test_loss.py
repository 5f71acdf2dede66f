"""A line that loses datagrams: the same seed loses the same ones, each loss is noted, and no more than the share."""

from __future__ import annotations

import socket

import pytest

from lab.carrier.loss import LossyLine, facts_of
from lab.sip import message as sip
from lab.sip.udp import UdpEndpoint

INVITE = sip.build(
    "INVITE sip:+14155550101@127.0.0.1:5090 SIP/2.0",
    [("Via", "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKx"), ("Call-ID", "c1"), ("CSeq", "7 INVITE")],
)


def fate(share: float, seed: int, count: int) -> list[bool]:
    """Which of so many datagrams arrive."""
    line = LossyLine(share, seed, lambda way, data, stamp: None)
    return [line.arrives(b"x", 0) for _ in range(count)]


def test_a_seed_decides_which_are_lost() -> None:
    assert fate(0.02, 1, 2000) == fate(0.02, 1, 2000) != fate(0.02, 2, 2000)
    assert 20 <= fate(0.02, 1, 2000).count(False) <= 60
    assert all(fate(0.0, 1, 200))


def test_what_is_sent_is_lost_too_and_all_of_it_is_noted() -> None:
    noted: list[tuple[str, bytes, int]] = []
    line = LossyLine(0.5, 3, lambda way, data, stamp: noted.append((way, data, stamp)))
    endpoint = UdpEndpoint("127.0.0.1", 0, lambda data, peer, stamp: None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        far.settimeout(5)
        line.attach(endpoint)
        for _ in range(40):
            line.send(b"x", far.getsockname())
        line.send(b"x", far.getsockname())
        lost = sum(way == "out" for way, _, _ in noted)
        for _ in range(41 - lost):
            assert far.recv(10) == b"x"
        far.setblocking(False)
        with pytest.raises(BlockingIOError):
            far.recv(10)
    endpoint.close()
    assert 0 < lost < 41
    assert [line.arrives(b"y", 9) for _ in range(40)].count(False) == sum(way == "in" for way, _, _ in noted)


def test_a_lost_invite_is_told_as_a_transaction() -> None:
    assert facts_of(INVITE) == {
        "call_id": "c1", "what": "INVITE", "branch": "z9hG4bKx", "cseq": 7,
        "uri": "sip:+14155550101@127.0.0.1:5090", "number": "+14155550101",
    }  # fmt: skip
    assert facts_of(b"\r\n\r\n") == {}


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="loss: give a share"):
        LossyLine(share, 1, lambda way, data, stamp: None)
