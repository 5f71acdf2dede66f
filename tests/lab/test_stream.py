"""The lab carrier over TCP: framing, and a call whose every message goes by one connection."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.carrier.outcomes import Mix, parse_mix
from lab.carrier.server import Carrier, CarrierConfig
from lab.sip import message as sip
from lab.sip.stream import Framer

BODY = st.text(alphabet="abc\r\n=\u00e9", max_size=40)


@given(bodies=st.lists(BODY, max_size=6), cuts=st.lists(st.integers(1, 60)), pings=st.booleans())
def test_messages_come_out_whole_however_the_stream_is_cut(bodies: list[str], cuts: list[int], pings: bool) -> None:
    sent = [sip.build("OPTIONS sip:a SIP/2.0", [("Via", "SIP/2.0/TCP a")], body) for body in bodies]
    stream = (b"\r\n\r\n" if pings else b"").join([b"", *sent])
    framer, got = Framer(), []
    for cut in [*cuts, len(stream)]:
        got += list(framer.feed(stream[:cut]))
        stream = stream[cut:]
    assert got == sent


def test_what_cannot_be_framed_is_refused() -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        list(Framer().feed(b"OPTIONS sip:a SIP/2.0\r\nVia: b\r\n\r\n"))


def test_a_call_over_tcp_stays_on_its_connection() -> None:
    asyncio.run(_call())


async def _listening() -> Carrier:
    """A carrier on a port number that was free for UDP and, one time or the next, for TCP as well."""
    for left in reversed(range(10)):
        carrier = Carrier(CarrierConfig(mix=Mix(1, parse_mix("answered_hangup=1"), (0, 0), (0.05, 0.05)), stream="tcp"))
        try:
            await carrier.start()
        except OSError:
            await carrier.stop()
            if left == 0:
                raise
        else:
            return carrier
    raise AssertionError("unreachable")


async def _call() -> None:
    carrier = await _listening()
    reader, writer = await asyncio.open_connection(*carrier.address)
    host, port = writer.get_extra_info("sockname")
    framer = Framer()

    def send(method: str, cseq: int, tag: str = "") -> None:
        headers = [
            ("Via", f"SIP/2.0/TCP {host}:{port};branch=z9hG4bK{method}{cseq}"),
            ("From", "<sip:+12025550100@switch>;tag=ours"),
            ("To", f"<sip:+12125550125@carrier>{tag}"),
            ("Call-ID", "one"),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"<sip:switch@{host}:{port};transport=tcp>"),
        ]
        writer.write(sip.build(f"{method} sip:+12125550125@carrier SIP/2.0", headers))

    async def until(what: str) -> sip.SipMessage:
        while True:
            for data in framer.feed(await asyncio.wait_for(reader.read(65536), 10)):
                message = sip.parse(data)
                if (message.method or f"{message.status} {message.cseq[1]}") == what:
                    return message

    try:
        send("INVITE", 1)
        answer = await until("200 INVITE")
        assert ";transport=tcp" in answer.get("contact")
        send("ACK", 1, f";tag={sip.tag_of(answer.get('to'))}")
        bye = await until("BYE")
        assert bye.get("via").startswith("SIP/2.0/TCP ")
    finally:
        writer.close()
        await carrier.stop()
