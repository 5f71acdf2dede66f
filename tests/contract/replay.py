"""Send the recorded commands to the simulated switch, in the recorded situation, and keep what it says."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from lab.carrier import Carrier, CarrierConfig, Mix
from lab.sip import message as sip
from lab.switch.config import GatewayConfig, SwitchConfig
from lab.switch.core import Switch

from .compare import identity
from .scenarios import Agent, Scenario
from .tracefile import Command, Item, Reply, TraceEvent, decode_frame

_REC = "/var/lib/freeswitch/rec"
_DEADLINE_S = 8.0
_PAUSE_S = 0.45


@dataclass(slots=True)
class Recording:
    """What the simulated switch said, in order, and what the agent's server saw."""

    items: list[Item] = field(default_factory=list)
    websocket: list[list[object]] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)


class EslRecorder:
    """A bare ESL client that keeps every frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.items: list[Item] = []
        self._news = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        while True:
            try:
                head = (await self._reader.readuntil(b"\n\n")).decode()
            except (asyncio.IncompleteReadError, ConnectionError):
                self.items.append(Reply(0.0, {"Content-Type": "closed"}, ""))
                self._news.set()
                return
            outer = {name: value for name, _, value in (line.partition(": ") for line in head.strip().split("\n"))}
            payload = (await self._reader.readexactly(int(outer.get("Content-Length", "0")))).decode()
            self.items.append(decode_frame(0.0, outer, payload))
            self._news.set()

    def send(self, text: str) -> None:
        self.items.append(Command(0.0, text))
        self._writer.write(text.encode() + b"\n\n")

    async def until(self, wanted: Counter[str]) -> None:
        """Wait until at least these keys were seen. Raises TimeoutError naming what is missing."""
        try:
            async with asyncio.timeout(_DEADLINE_S):
                while wanted - Counter(key_of(item) for item in self.items):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            missing = wanted - Counter(key_of(item) for item in self.items)
            raise AssertionError(f"never came: {dict(missing)}") from None

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()


def key_of(item: Item) -> str:
    """What an item is waited for by; heartbeats come when they come."""
    if isinstance(item, Command):
        return "command"
    if isinstance(item, Reply):
        return "reply"
    if item.name == "HEARTBEAT":
        return "heartbeat"
    return f"{item.name} {item.get('Event-Subclass')} {identity(item)}"


def free_port() -> int:
    with sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def replay(trace: list[Item], scenario: Scenario, tmp: Path) -> Recording:
    """Play one recording's client side. Raises AssertionError when the switch does not keep up."""
    recording = Recording()
    async with AsyncExitStack() as stack:
        mix = Mix(time_scale=scenario.time_scale)
        carrier = Carrier(CarrierConfig(name="a", mix=mix, log=tmp / "a.jsonl"))
        await carrier.start()
        stack.push_async_callback(carrier.stop)
        host, port = carrier.address
        gateways = [
            GatewayConfig("carrier_down", "127.0.0.1", 9, "b", ping_s=0, down=True),
            GatewayConfig("carrier_b", host, port, "b"),
            GatewayConfig("carrier_a", host, port),
        ]
        switch = Switch(
            SwitchConfig(
                gateways=gateways,
                heartbeat_s=scenario.heartbeat_s,
                hostname="vm",
                temp_dir=tmp,
                show_lag_s=0.2,
                max_sessions=2000,
            )
        )
        switch.hash.update(scenario.hash)
        await switch.start()
        stack.push_async_callback(switch.stop)
        agent_port, dead_port = free_port(), free_port()
        if scenario.agent is not None:
            server = await serve(
                _agent(scenario.agent, recording),
                "127.0.0.1",
                agent_port,
                subprotocols=[Subprotocol("audio.drachtio.org")],
                max_size=None,
            )
            stack.push_async_callback(_close_server, server)
        client = EslRecorder(*await asyncio.open_connection(*switch.esl_address, limit=1 << 24))
        stack.push_async_callback(client.close)
        words = {_REC: str(tmp), ":3900/": f":{agent_port}/", ":3999/": f":{dead_port}/"}
        await _play(trace, client, words, recording, switch if scenario.calls_in else None, scenario)
        recording.items = client.items
    return recording


async def _play(
    trace: list[Item],
    client: EslRecorder,
    words: dict[str, str],
    recording: Recording,
    called: Switch | None,
    scenario: Scenario,
) -> None:
    wanted: Counter[str] = Counter()
    before = 0.0
    caller: asyncio.Task[None] | None = None
    for item in trace:
        if isinstance(item, Command):
            await client.until(wanted)
            await asyncio.sleep(min(_PAUSE_S, max(0.0, item.at - before)))
            _learn_paths(trace, client.items, recording.paths)
            text = item.text
            for old, new in {**words, **recording.paths}.items():
                text = text.replace(old, new)
            client.send(text)
            if called is not None and text.startswith("event "):
                caller = asyncio.get_running_loop().create_task(_call_in(called, 2.0 * scenario.time_scale))
        key = key_of(item)
        if key != "heartbeat" or scenario.heartbeat_s:
            wanted[key] = 1 if key == "heartbeat" else wanted[key] + 1
        before = item.at
    await client.until(wanted)
    if caller is not None:
        await caller


def _learn_paths(trace: list[Item], mine: list[Item], paths: dict[str, str]) -> None:
    """A playAudio file has another name here; the recorded commands must name this one."""

    def files(items: list[Item]) -> list[str]:
        return [
            json.loads(item.body)["file"]
            for item in items
            if isinstance(item, TraceEvent) and item.get("Event-Subclass").endswith("::play_audio")
        ]

    for old, new in zip(files(trace), files(mine), strict=False):
        paths[old] = paths[old.replace(_REC, str(Path(new).parent))] = new


def _agent(behaviour: Agent, recording: Recording) -> Agent:
    """Records what the recorded server recorded: open, text, the first binary frame, closed."""

    async def handler(socket: ServerConnection) -> None:
        request = socket.request
        assert request is not None
        recording.websocket.append(["open", str(socket.subprotocol), request.path])
        script = asyncio.get_running_loop().create_task(behaviour(socket))
        frames = 0
        try:
            async for message in socket:
                if isinstance(message, str):
                    recording.websocket.append(["text", message])
                    continue
                frames += 1
                if frames == 1:
                    recording.websocket.append(["first-binary", len(message)])
        except ConnectionClosed:
            pass
        recording.websocket.append(["closed", frames])
        script.cancel()
        await asyncio.gather(script, return_exceptions=True)

    return handler


async def _close_server(server: Server) -> None:
    server.close()
    await server.wait_closed()


class _Caller(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answered: asyncio.Future[sip.SipMessage] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        message = sip.parse(data)
        if message.status == 200 and not self.answered.done():
            self.answered.set_result(message)


async def _call_in(switch: Switch, talk_s: float) -> None:
    """A carrier's INVITE to the switch, ACK, and BYE after a while, as SIPp's client did."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        _Caller, local_addr=("127.0.0.1", 0), remote_addr=switch.sofia.address
    )
    port = transport.get_extra_info("sockname")[1]
    host, sip_port = switch.sofia.address
    target = f"sip:+15557654321@{host}:{sip_port}"

    def request(method: str, cseq: int, to: str, body: str = "") -> bytes:
        headers = [
            ("Via", f"SIP/2.0/UDP 127.0.0.1:{port};branch={sip.new_branch()}"),
            ("From", f"sipp <sip:sipp@127.0.0.1:{port}>;tag=SIPpTag001"),
            ("To", to),
            ("Call-ID", "1-5812@127.0.0.1"),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"sip:sipp@127.0.0.1:{port}"),
            ("Max-Forwards", "70"),
            ("Subject", "Performance Test"),
        ]
        return sip.build(f"{method} {target} SIP/2.0", headers, body)

    sdp = (
        "v=0\r\no=user1 53655765 2353687637 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        "m=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )
    to = f"+15557654321 <{target}>"
    transport.sendto(request("INVITE", 1, to, sdp))
    async with asyncio.timeout(_DEADLINE_S):
        answer = await protocol.answered
    transport.sendto(request("ACK", 1, answer.get("to")))
    await asyncio.sleep(talk_s)
    transport.sendto(request("BYE", 2, answer.get("to")))
    await asyncio.sleep(0.05)
    transport.close()
