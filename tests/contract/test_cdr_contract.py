"""The CDRs of the simulated switch: in the real one's shape, agreeing with its events, tried again, left on disk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from calls.cdr import from_cdr
from calls.evidence import Evidence
from controller.evidence import from_event
from lab.carrier import Carrier, CarrierConfig
from lab.switch.config import GatewayConfig, SwitchConfig
from lab.switch.core import Switch
from lab.switch.json_cdr import CdrConfig
from tests.contract.cdrs import recorded
from tests.contract.world import ALL_EVENTS, NUMBER, WAIT_S, Esl
from tests.web.receiver import Got, Receiver


class House:
    """A switch that posts to a receiver, and a carrier."""

    def __init__(self, switch: Switch, esl: Esl, receiver: Receiver, spool: Path) -> None:
        self.switch, self.esl, self.receiver, self.spool = switch, esl, receiver, spool

    async def call(self, digits: str) -> tuple[str, dict[str, Any]]:
        """Its channel and its last event."""
        channel = await self.esl.originate(NUMBER + digits)
        return channel, await self.esl.event("CHANNEL_HANGUP_COMPLETE", channel)

    async def until(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not met():
                await asyncio.sleep(0.02)

    async def posted(self, channel: str) -> dict[str, Any]:
        await self.until(lambda: any(channel in got.path for got in self.receiver.requests))
        body: dict[str, Any] = next(got.json for got in self.receiver.requests if channel in got.path)
        return body


def in_house(
    spool: Path,
    body: Callable[[House], Coroutine[Any, Any, None]],
    *,
    answer: Callable[[Got], int | None] = lambda _: 200,
    url: str | None = None,
    **config: Any,
) -> None:
    async def run() -> None:
        with Receiver(behave=answer) as receiver:
            carrier = Carrier(CarrierConfig("carrier_a"))
            await carrier.start()
            cdr = CdrConfig(
                url=receiver.url if url is None else url, password="secret", spool=spool / "cdrs", delay_s=0.1, **config
            )
            switch = Switch(SwitchConfig(gateways=[GatewayConfig("carrier_a", *carrier.address)], heartbeat_s=0, cdr=cdr))
            await switch.start()
            esl = await Esl.connect(switch.esl_address, "ClueCon")
            await esl.command(f"event json {ALL_EVENTS}")
            try:
                await body(House(switch, esl, receiver, spool / "cdrs"))
            finally:
                await esl.close()
                await switch.stop()
                await carrier.stop()

    asyncio.run(run())


def names(value: object) -> object:
    return {name: names(inner) for name, inner in value.items()} if isinstance(value, dict) else None


@pytest.mark.parametrize(("digits", "real"), [("0101", "busy"), ("0110", "answered"), ("0104", None), ("0117", None)])
def test_a_record_is_worded_as_the_real_one_and_says_what_the_event_says(
    tmp_path: Path, digits: str, real: str | None
) -> None:
    async def body(house: House) -> None:
        channel, event = await house.call(digits)
        record = await house.posted(channel)
        seen, told = from_event(event), from_cdr(record)
        assert isinstance(seen, Evidence)
        assert told is not None
        assert (told.attempt_id, told.end) == (seen.attempt_id, seen.end)
        assert set(record["variables"]) == {
            name.removeprefix("variable_") for name, value in event.items() if name.startswith("variable_") and value
        }
        if real is not None:
            wanted = recorded(real)
            assert list(record) == list(wanted)
            assert names(record["channel_data"]) == names(wanted["channel_data"])
            ours, theirs = record["callflow"][0], wanted["callflow"][0]
            assert names(ours["times"]) == names(theirs["times"])
            assert names(ours["caller_profile"]) == names(theirs["caller_profile"])
            assert record["variables"]["sip_full_from"].startswith("%22Acme%22%20%3Csip%3A")

    in_house(tmp_path, body)


def test_the_record_is_on_its_way_before_the_event(tmp_path: Path) -> None:
    """As mod_json_cdr: it reports in the state before."""

    async def body(house: House) -> None:
        order: list[str] = []
        put, fire = house.switch.cdrs.put, house.switch.bus.fire
        house.switch.cdrs.put = lambda *a: (order.append("cdr"), put(*a))[1]  # type: ignore[method-assign]
        house.switch.bus.fire = lambda name, *a, **k: (order.append(name), fire(name, *a, **k))[1]  # type: ignore[method-assign]
        await house.call("0101")
        assert order.index("cdr") < order.index("CHANNEL_HANGUP_COMPLETE")

    in_house(tmp_path, body)


def test_what_is_not_taken_is_tried_again_and_then_left_on_disk(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        channel, event = await house.call("0101")
        file = house.spool / f"{channel}.cdr.json"
        await house.until(lambda: house.switch.cdrs.spooled == 1)
        assert [channel in got.path for got in house.receiver.requests] == [True] * 3
        text = file.read_text()
        assert text.endswith("}\n")
        told, seen = from_cdr(json.loads(text)), from_event(event)
        assert told is not None
        assert isinstance(seen, Evidence)
        assert told.end == seen.end

    in_house(tmp_path, body, answer=lambda _: 503)


def test_a_receiver_that_comes_back_in_time_leaves_no_file(tmp_path: Path) -> None:
    answers = iter([503, 503, 200])

    async def body(house: House) -> None:
        await house.call("0101")
        await house.until(lambda: house.switch.cdrs.posted == 1)
        assert list(house.spool.iterdir()) == []

    in_house(tmp_path, body, answer=lambda _: next(answers))


def test_a_receiver_that_hangs_holds_up_no_event(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        channels = [(await house.call("0101"))[0] for _ in range(4)]
        # One is being posted, one waits in the queue, those after them go to the disk at once.
        await house.until(lambda: house.switch.cdrs.spooled >= 2)
        assert {f"{channel}.cdr.json" for channel in channels[2:]} <= {path.name for path in house.spool.iterdir()}

    in_house(tmp_path, body, answer=lambda _: None, queue_capacity=1, timeout_s=2.0, retries=0)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_records_can_be_lost(tmp_path: Path, share: float) -> None:
    async def body(house: House) -> None:
        assert await house.esl.api(f"lab fault drop_cdrs {share}") == "+OK\n"
        await house.call("0101")
        await house.esl.api("lab fault drop_cdrs 0")
        last, _ = await house.call("0101")
        await house.posted(last)
        assert len(house.receiver.requests) == (1 if share else 2)
        assert list(house.spool.iterdir()) == []

    in_house(tmp_path, body)


def test_without_an_address_none_is_made(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        await house.call("0101")
        stats = json.loads(await house.esl.api("lab stats"))
        assert (stats["cdrs_posted"], stats["cdrs_spooled"]) == (0, 0)

    in_house(tmp_path, body, url="")
