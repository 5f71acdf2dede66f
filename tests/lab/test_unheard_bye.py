"""The lab carrier says BYE again until it is answered, whatever comes in between."""

from __future__ import annotations

import asyncio

from lab.carrier.outcomes import Mix, parse_mix
from lab.carrier.server import Carrier, CarrierConfig
from lab.sip import message as sip


class _Phone(asyncio.DatagramProtocol):
    """The calling side: what it got, in order."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[sip.SipMessage] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.got.put_nowait(sip.parse(data))

    async def until(self, what: str) -> sip.SipMessage:
        while True:
            message = await asyncio.wait_for(self.got.get(), 30)
            if (message.method or f"{message.status} {message.cseq[1]}") == what:
                return message


async def _call(outcome: str) -> list[int]:
    """The CSeq of each BYE of a call whose first one is lost; the ACK comes twice, as it does when the 200 was repeated."""
    carrier = Carrier(CarrierConfig(mix=Mix(1, parse_mix(f"{outcome}=1"), (0, 0), (0, 0))))
    await carrier.start()
    loop = asyncio.get_running_loop()
    way, phone = await loop.create_datagram_endpoint(_Phone, local_addr=("127.0.0.1", 0))
    host, port = way.get_extra_info("sockname")

    def send(method: str, tag: str = "") -> None:
        headers = [
            ("Via", f"SIP/2.0/UDP {host}:{port};branch=z9hG4bK{method}"),
            ("From", "<sip:+12025550100@switch>;tag=ours"),
            ("To", f"<sip:+12125550125@carrier>{tag}"),
            ("Call-ID", "one"),
            ("CSeq", f"1 {method}"),
            ("Contact", f"<sip:switch@{host}:{port}>"),
        ]
        way.sendto(sip.build(f"{method} sip:+12125550125@carrier SIP/2.0", headers), carrier.address)

    try:
        send("INVITE")
        tag = sip.tag_of((await phone.until("200 INVITE")).get("to"))
        send("ACK", f";tag={tag}")
        first = await phone.until("BYE")
        send("ACK", f";tag={tag}")
        second = await phone.until("BYE")
        way.sendto(sip.respond(second, 200, "OK"), carrier.address)
        return [first.cseq[0], second.cseq[0]]
    finally:
        way.close()
        await carrier.stop()


def test_a_bye_that_was_lost_is_said_again() -> None:
    for outcome in ("hangup_on_ack", "answered_hangup"):
        first, second = asyncio.run(_call(outcome))
        assert first == second, outcome
