"""A simulated switch that speaks RTP with the carrier: both hear each other to the bit; silence is sent, or is no packet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest

from lab.audio import pcm
from lab.carrier import Carrier, CarrierConfig, Mix
from lab.carrier.media import PACKET
from lab.switch.config import GatewayConfig, SwitchConfig
from lab.switch.core import Switch


async def until(condition: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"{what} did not come") from None


@pytest.mark.parametrize("idle", ["0", "-1"], ids=["silence is no packet", "silence is sent"])
def test_both_hear_each_other_to_the_bit(tmp_path: Path, idle: str) -> None:
    """``idle``: the switch's ``send_silence_when_idle``."""
    said = pcm.noise(0.5, 2)
    pcm.write_wav(str(tmp_path / "said.wav"), said)
    pcm.looped_frames("noise:1")

    async def main() -> None:
        mix = Mix(speech="noise:1", talk=(30.0, 30.0), ring=(0.05, 0.05))
        carrier = Carrier(CarrierConfig("carrier_a", mix=mix, record_dir=tmp_path))
        await carrier.start()
        switch = Switch(SwitchConfig(gateways=[GatewayConfig("carrier_a", *carrier.address)], temp_dir=tmp_path, rtp=True))
        await switch.start()
        switch.globals["send_silence_when_idle"] = idle
        try:
            name = str(uuid4())
            variables = f"{{origination_uuid={name},sip_invite_call_id={name}}}"
            reply = await switch.run_api(f"originate {variables}sofia/gateway/carrier_a/+14155554000 &park()")
            assert reply.startswith("+OK"), reply
            callee = switch.channels[name].callee
            spoken = set(pcm.looped_frames("noise:1"))
            await until(lambda: callee.frame(8000) in spoken, "the callee's voice at the switch")
            if idle == "0":
                assert carrier.media[name].packets_heard == 0, "nothing plays"
            else:
                await until(lambda: carrier.media[name].packets_heard > 2, "silence")
                assert not any(carrier.media[name].heard)
            switch.channels[name].apps.queue("playback", str(tmp_path / "said.wav"), "", locked=True)
            await until(lambda: said in carrier.media[name].heard, "the whole file at the callee")
            if idle == "0":
                assert carrier.media[name].packets_heard == len(said) // 320, "no packet of silence behind it"
        finally:
            await switch.stop()
            await carrier.stop()
        packets = list(PACKET.iter_unpack((tmp_path / f"{name}.packets").read_bytes()))
        assert len(packets) >= len(said) // 320
        assert all((b[1] - a[1]) & 0xFFFF == 1 and (b[2] - a[2]) & 0xFFFFFFFF == 160 for a, b in pairwise(packets))

    asyncio.run(main())
