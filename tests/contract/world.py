"""A switch to ask and carriers to ring: the simulated one always, a real FreeSWITCH when FREESWITCH_ESL names it.

The real one must have the gateways `carrier_a` -> 127.0.0.1:5090 and `carrier_b` -> 127.0.0.1:5091, where these tests
start our carriers, and mod_audio_fork.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from lab.audio import pcm
from lab.carrier import Carrier, CarrierConfig, Mix
from lab.carrier.caller import Caller, PlacedCall
from lab.judge import Record, read_log
from lab.switch.config import GatewayConfig, SwitchConfig
from lab.switch.core import Switch
from lab.switch.directory import read_users

BACKENDS = ["lab", *(["freeswitch"] if os.environ.get("FREESWITCH_ESL") else [])]
WAIT_S = 8.0
NUMBER = "+1415555"  # the last four digits decide the call
ALL_EVENTS = (
    "CHANNEL_CREATE CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_ANSWER CHANNEL_PARK CHANNEL_EXECUTE "
    "CHANNEL_EXECUTE_COMPLETE CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE CHANNEL_DESTROY PLAYBACK_START "
    "PLAYBACK_STOP DTMF BACKGROUND_JOB CUSTOM mod_audio_fork::connect mod_audio_fork::connect_failed "
    "mod_audio_fork::disconnect trunkline::inbound"
)
_USER_PASSWORD = "password-of-the-users"
DIALPLAN = Path(__file__).parents[2] / "dialplan" / "inbound.xml"
JsonEvent = dict[str, Any]


class Esl:
    """A small ESL client in `event json`; every event is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._replies: asyncio.Queue[tuple[dict[str, str], str]] = asyncio.Queue()
        self.events: list[JsonEvent] = []
        self._news = asyncio.Condition()
        self._task = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def greeted(cls, address: tuple[str, int]) -> Esl:
        """Connected, and asked to log in."""
        esl = cls(*await asyncio.open_connection(*address, limit=1 << 24))
        await esl._replies.get()
        return esl

    @classmethod
    async def connect(cls, address: tuple[str, int], password: str) -> Esl:
        esl = await cls.greeted(address)
        assert (await esl.command(f"auth {password}"))[0]["Reply-Text"] == "+OK accepted"
        return esl

    async def _read(self) -> None:
        while True:
            try:
                head = (await self._reader.readuntil(b"\n\n")).decode()
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            outer = {name: value for name, _, value in (line.partition(": ") for line in head.strip().split("\n"))}
            body = (await self._reader.readexactly(int(outer.get("Content-Length", "0")))).decode("utf-8", "replace")
            if outer["Content-Type"] == "text/event-json":
                async with self._news:
                    self.events.append(json.loads(body))
                    self._news.notify_all()
            else:
                await self._replies.put((outer, body))

    async def command(self, text: str) -> tuple[dict[str, str], str]:
        self._writer.write(text.encode() + b"\n\n")
        async with asyncio.timeout(WAIT_S):
            return await self._replies.get()

    async def api(self, line: str) -> str:
        return (await self.command(f"api {line}"))[1]

    async def wait(self, wanted: Callable[[JsonEvent], bool], what: str, timeout_s: float = WAIT_S) -> JsonEvent:
        """The first event that fits, also one that came before."""
        try:
            async with asyncio.timeout(timeout_s), self._news:
                while True:
                    for event in self.events:
                        if wanted(event):
                            return event
                    await self._news.wait()
        except TimeoutError:
            seen = [(e["Event-Name"], e.get("Event-Subclass", "")) for e in self.events]
            raise AssertionError(f"{what} did not come; seen: {seen}") from None

    async def event(self, name: str, channel: str, timeout_s: float = WAIT_S) -> JsonEvent:
        return await self.wait(lambda e: e["Event-Name"] == name and e.get("Unique-ID") == channel, name, timeout_s)

    async def first(self, channel: str, *names: str) -> JsonEvent:
        """Whichever of these comes first."""
        return await self.wait(lambda e: e.get("Unique-ID") == channel and e["Event-Name"] in names, " or ".join(names))

    async def custom(self, subclass: str, channel: str) -> JsonEvent:
        return await self.wait(lambda e: e.get("Event-Subclass") == subclass and e.get("Unique-ID") == channel, subclass)

    async def job(self, job: str) -> str:
        """The answer of a bgapi."""
        event = await self.wait(lambda e: e["Event-Name"] == "BACKGROUND_JOB" and e["Job-UUID"] == job, f"job {job}")
        return str(event["_body"])

    def names(self, channel: str) -> list[str]:
        return [e["Event-Name"] for e in self.events if e.get("Unique-ID") == channel]

    async def originate(
        self, number: str, *, channel: str = "", gateway: str = "carrier_a", job: str = "", **variables: str
    ) -> str:
        """`bgapi originate` as the controller words it; gives the channel's UUID, the job has the same."""
        channel = channel or str(uuid.uuid4())
        given = {
            "origination_uuid": channel,
            "sip_invite_call_id": channel,
            "trunkline_attempt": channel,
            "origination_caller_id_number": "15550001111",
            "origination_caller_id_name": "Acme",
            "originate_timeout": "20",
            "ignore_early_media": "true",
            "outbound_redirect_fatal": "true",
            **variables,
        }
        words = ",".join(f"{name}={value}" for name, value in given.items())
        headers, _ = await self.command(
            f"bgapi originate {{{words}}}sofia/gateway/{gateway}/{number} &park()\nJob-UUID: {job or channel}"
        )
        assert headers["Reply-Text"] == f"+OK Job-UUID: {job or channel}"
        return channel

    async def execute(self, channel: str, application: str, argument: str, event_uuid: str) -> str:
        headers, _ = await self.command(
            f"sendmsg {channel}\ncall-command: execute\nexecute-app-name: {application}\nexecute-app-arg: {argument}\n"
            f"event-lock: true\nasync: true\nEvent-UUID: {event_uuid}"
        )
        return headers["Reply-Text"]

    async def ended(self) -> None:
        """Wait until the switch has closed the connection."""
        await asyncio.wait([self._task])

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()


class World:
    """One switch, two carriers of ours."""

    def __init__(self, esl: Esl, carrier: Carrier, log: Path, switch: Switch | None) -> None:
        self.esl = esl
        self.carrier = carrier
        self.directory = log.parent  # the switch may write there
        self._log = log
        self._switch = switch

    def arrivals(self, channel: str, *kinds: str) -> list[Record]:
        """What the carrier's socket saw of that call (its Call-ID is the channel's UUID)."""
        return [r for r in read_log(self._log) if r.get("call_id") == channel and (not kinds or r["k"] in kinds)]

    async def arrival(self, channel: str, kind: str, timeout_s: float = WAIT_S) -> Record:
        async with asyncio.timeout(timeout_s):
            while not (found := self.arrivals(channel, kind)):
                await asyncio.sleep(0.02)
        return found[0]

    def heard(self, channel: str) -> bytes:
        """PCM16 at 8 kHz as the callee heard it."""
        if self._switch is not None:
            return self._switch.channels[channel].callee.heard
        return self.carrier.media[channel].heard

    async def arrive(self, number: str, from_: str = "+4930123456", **more: Any) -> tuple[PlacedCall, str]:
        """A call to the switch, and its channel there, once the dialplan has announced it."""
        before = {id(event) for event in self.esl.events}
        words = None if self._switch is None else "offer"
        call = self.caller.call(number, from_, words=words, **more)
        event = await self.esl.wait(
            lambda e: id(e) not in before and e.get("Event-Subclass") == "trunkline::inbound", "the call's announcement"
        )
        return call, str(event["Unique-ID"])

    caller: Caller

    async def shown(self, channel: str, **columns: str) -> None:
        """`show channels` lists it like this, which may take a second."""
        async with asyncio.timeout(WAIT_S):
            while True:
                rows = json.loads(await self.esl.api("show channels as json")).get("rows", [])
                row = next((row for row in rows if row["uuid"] == channel), None)
                if row is not None:
                    assert {name: row[name] for name in columns} == columns
                    return
                await asyncio.sleep(0.05)

    async def second_client(self) -> Esl:
        return await Esl.connect(*self._door)

    async def stranger(self) -> Esl:
        """A client that has not logged in yet."""
        return await Esl.greeted(self._door[0])

    def tone(self, hz: int, ms: int) -> str:
        """A WAV file with a tone that the switch can read, whoever it runs as."""
        file = self.sounds / f"{hz}-{ms}.wav"
        pcm.write_wav(str(file), pcm.tone_stream(f"%({ms},0,{hz})"))
        file.chmod(0o644)
        return str(file)

    sounds = Path()
    user_password = ""
    _door: tuple[tuple[str, int], str] = (("", 0), "")


@asynccontextmanager
async def open_world(backend: str, tmp: Path, *, cps: int = 0, channels: int = 0) -> AsyncIterator[World]:
    """Carriers, switch and a subscribed client; ended with its calls."""
    real = backend == "freeswitch"
    async with AsyncExitStack() as stack:
        log = tmp / "carrier_a.jsonl"
        carriers = []
        for name, port in (("carrier_a", 5090), ("carrier_b", 5091)):
            config = CarrierConfig(
                name=name, port=port if real else 0, mix=Mix(), log=tmp / f"{name}.jsonl", cps=cps, channels=channels
            )
            carriers.append(Carrier(config))
            await carriers[-1].start()
            stack.push_async_callback(carriers[-1].stop)
        switch: Switch | None = None
        if real:
            host, _, port_text = os.environ["FREESWITCH_ESL"].rpartition(":")
            door = ((host, int(port_text)), os.environ["FREESWITCH_PASSWORD"])
        else:
            gateways = [GatewayConfig(c.config.name, *c.address) for c in carriers]
            users = read_users(_USER_PASSWORD)
            switch = Switch(SwitchConfig(gateways=gateways, temp_dir=tmp, users=users, dialplan=DIALPLAN))
            await switch.start()
            stack.push_async_callback(switch.stop)
            door = (switch.esl_address, switch.config.password)
        esl = await Esl.connect(*door)
        stack.push_async_callback(esl.close)
        if real:
            await _bring_up(esl, [carrier.config.name for carrier in carriers])
        await esl.command(f"event json {ALL_EVENTS}")
        world = World(esl, carriers[0], log, switch)
        world._door = door
        world.user_password = os.environ["FREESWITCH_TRUNKLINE_PASSWORD"] if real else _USER_PASSWORD
        world.sounds = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        world.sounds.chmod(0o755)
        world.caller = Caller(switch.sofia.address if switch is not None else _sip_door(), log=tmp / "caller.jsonl")
        await world.caller.start()
        stack.push_async_callback(world.caller.stop)
        stack.push_async_callback(_hang_up_all, esl)
        yield world


def _sip_door() -> tuple[str, int]:
    """Where a real switch takes calls: FREESWITCH_SIP_IP and FREESWITCH_SIP_PORT, as it was given them."""
    return os.environ.get("FREESWITCH_SIP_IP", "127.0.0.1"), int(os.environ.get("FREESWITCH_SIP_PORT", "5060"))


async def _bring_up(esl: Esl, gateways: list[str]) -> None:
    """A real switch pings its gateways; one whose carrier was away is DOWN until the next ping. Made anew, it is UP."""

    async def down() -> list[str]:
        return [name for name in gateways if "<status>UP</status>" not in await esl.api(f"sofia xmlstatus gateway {name}")]

    for name in await down():
        await esl.api(f"sofia profile carriers killgw {name}")
        async with asyncio.timeout(WAIT_S):
            while "Invalid Gateway" not in await esl.api(f"sofia xmlstatus gateway {name}"):
                await asyncio.sleep(0.1)
    async with asyncio.timeout(WAIT_S):
        while await down():
            await esl.api("sofia profile carriers rescan")
            await asyncio.sleep(0.3)


async def _hang_up_all(esl: Esl) -> None:
    """Leave no call behind on a real switch."""
    created = {e["Unique-ID"] for e in esl.events if e["Event-Name"] == "CHANNEL_CREATE"}
    ended = {e["Unique-ID"] for e in esl.events if e["Event-Name"] == "CHANNEL_HANGUP_COMPLETE"}
    for channel in created - ended:
        await esl.api(f"uuid_kill {channel}")
        await esl.event("CHANNEL_HANGUP_COMPLETE", channel)
