"""The processes as others start them: readiness, limits at the socket, crashes, faults, the callee's RTP ear."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.audio import pcm
from lab.carrier import Carrier, CarrierConfig, Mix
from lab.carrier.call import T1
from lab.host import LabCarrier, LabError, LabProcess, LabSwitch
from lab.judge import judge, read_log
from lab.sip import message as sip
from lab.sip.sdp import offer_sdp, parse_sdp

WAIT_S = 8.0


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.01)


class Client:
    """A blocking ESL client, one reply at a time."""

    def __init__(self, address: tuple[str, int], password: str) -> None:
        self._socket = socket.create_connection(address, timeout=WAIT_S)
        self._file = self._socket.makefile("rb")
        self.frame()
        assert self.ask(f"auth {password}")[0]["Reply-Text"] == "+OK accepted"

    def frame(self) -> tuple[dict[str, str], str]:
        headers: dict[str, str] = {}
        while line := self._file.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            headers[name] = value
        if not headers:
            raise ConnectionError("closed")
        return headers, self._file.read(int(headers.get("Content-Length", "0"))).decode()

    def send(self, command: str) -> None:
        self._socket.sendall(command.encode() + b"\n\n")

    def ask(self, command: str) -> tuple[dict[str, str], str]:
        self.send(command)
        return self.frame()

    def api(self, command: str) -> str:
        return self.ask(f"api {command}")[1]

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def carrier(tmp_path: Path) -> Iterator[LabCarrier]:
    with LabCarrier("carrier_a", log=tmp_path / "a.jsonl") as running:
        yield running


@pytest.fixture
def switch(carrier: LabCarrier) -> Iterator[LabSwitch]:
    with LabSwitch({"carrier_a": carrier.sip}, password="secret word") as running:
        yield running


@pytest.fixture
def client(switch: LabSwitch) -> Iterator[Client]:
    connected = Client(switch.esl, switch.password)
    yield connected
    connected.close()


def test_sigterm_ends_cleanly_and_hangs_up(carrier: LabCarrier, switch: LabSwitch, client: Client) -> None:
    client.ask("bgapi originate {origination_uuid=u1,sip_invite_call_id=u1}sofia/gateway/carrier_a/+14155550120 &park()")
    until(lambda: any(r["k"] == "ack" for r in read_log(carrier.log)), "the answer")
    switch.send_signal(signal.SIGTERM)
    assert switch.wait() == 0
    until(lambda: [r["why"] for r in read_log(carrier.log) if r["k"] == "end"] == ["bye received"], "the BYE")


@pytest.mark.parametrize("fatal", ["uuid_audio_fork u1 start ws://127.0.0.1:9/ mono", "lab crash"])
def test_the_fatal_commands_kill_the_process_without_a_bye(
    carrier: LabCarrier, switch: LabSwitch, client: Client, fatal: str
) -> None:
    client.ask("bgapi originate {origination_uuid=u1,sip_invite_call_id=u1}sofia/gateway/carrier_a/+14155550120 &park()")
    until(lambda: any(r["k"] == "ack" for r in read_log(carrier.log)), "the answer")
    client.send(f"api {fatal}")
    assert switch.wait() == 139
    assert [r for r in read_log(carrier.log) if r["k"] in ("bye", "end")] == []


def test_a_fork_before_there_is_media_kills_the_process(carrier: LabCarrier, switch: LabSwitch, client: Client) -> None:
    client.ask("bgapi originate {origination_uuid=u1,sip_invite_call_id=u1}sofia/gateway/carrier_a/+14155550102 &park()")
    until(lambda: any(r["k"] == "progress" for r in read_log(carrier.log)), "ringing")
    client.send("api uuid_audio_fork u1 start ws://127.0.0.1:9/ mono 8k bug")
    assert switch.wait() == 139


def test_a_restart_forgets_the_hash_and_has_a_new_core(carrier: LabCarrier) -> None:
    cores = set()
    for _ in range(2):
        with LabSwitch({"carrier_a": carrier.sip}) as switch:
            cores.add(switch.core_uuid)
            client = Client(switch.esl, switch.password)
            assert client.api("hash select/trunkline/x") == "-ERR no reply\n"
            assert client.api("hash insert/trunkline/x/1") == "+OK\n"
            client.close()
    assert len(cores) == 2


def test_a_swallowed_reply_never_comes(client: Client) -> None:
    assert client.api("lab swallow 1") == "+OK\n"
    client.send("api status")
    assert client.api("version short") == "1.10.12-release\n"  # the first answer that arrives is the second one's


def test_an_ignored_command_says_ok_and_does_nothing(carrier: LabCarrier, client: Client) -> None:
    client.api("lab ignore uuid_kill")
    client.ask("bgapi originate {origination_uuid=u1,sip_invite_call_id=u1}sofia/gateway/carrier_a/+14155550120 &park()")
    until(lambda: any(r["k"] == "ack" for r in read_log(carrier.log)), "the answer")
    assert client.api("uuid_kill u1") == "+OK\n"
    assert client.api("uuid_exists u1") == "true"
    client.api("lab ignore none")
    assert client.api("uuid_kill u1") == "+OK\n"
    assert client.api("uuid_exists u1") == "false"


def test_a_cut_resets_every_connection(client: Client) -> None:
    def read_on() -> None:
        while True:
            client.frame()

    client.send("api lab cut")
    with pytest.raises(ConnectionError):
        read_on()


def test_a_gateway_goes_down_with_its_event(client: Client) -> None:
    client.ask("event json CUSTOM sofia::gateway_state")
    client.send("api lab gateway carrier_a down")
    headers, body = client.frame()
    event = json.loads(body)
    assert (headers["Content-Type"], event["Gateway"], event["Ping-Status"]) == ("text/event-json", "carrier_a", "DOWN")
    client.frame()
    assert client.api("originate {origination_uuid=u2}sofia/gateway/carrier_a/+14155550120 &park()") == (
        "-ERR GATEWAY_DOWN\n"
    )


def test_a_silent_gateway_is_found_by_its_ping(tmp_path: Path) -> None:
    with LabSwitch({"gone": "127.0.0.1:9,ping=0.3"}) as switch:
        client = Client(switch.esl, switch.password)
        until(lambda: "<status>DOWN</status>" in client.api("sofia xmlstatus gateway gone"), "DOWN")
        client.close()


def test_a_carrier_refuses_what_is_over_its_channels(tmp_path: Path) -> None:
    log = tmp_path / "a.jsonl"
    with LabCarrier("a", channels=3, log=log) as carrier, LabSwitch({"a": carrier.sip}) as switch:
        client = Client(switch.esl, switch.password)
        for n in range(5):
            client.ask(
                f"bgapi originate {{origination_uuid=c{n},sip_invite_call_id=c{n}}}sofia/gateway/a/+14155550120 &park()"
            )
        until(lambda: sum(r["k"] == "invite" for r in read_log(log)) == 5, "five INVITEs")
        until(lambda: sum(r["k"] == "answer" for r in read_log(log)) == 3, "three answers")
        client.close()
    verdict = judge(log)
    assert verdict.verdicts == {"admitted": 3, "channels": 2}
    assert verdict.peak_channels >= 4  # the dialer asked for more than it may: a violation, although refused
    assert not verdict.ok


def test_a_process_that_cannot_start_says_so() -> None:
    with pytest.raises(LabError, match=r"lab\.switch"):
        LabProcess("lab.switch", ["--esl", "nonsense"]).start()


class Peer(asyncio.DatagramProtocol):
    """A bare SIP client and RTP end."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        self.messages.put_nowait(data)


def request(method: str, number: str, port: int, branch: str, body: str = "", to_tag: str = "") -> bytes:
    to = f"<sip:{number}@127.0.0.1>" + (f";tag={to_tag}" if to_tag else "")
    headers = [
        ("Via", f"SIP/2.0/UDP 127.0.0.1:{port};branch={branch}"),
        ("From", "<sip:x@127.0.0.1>;tag=f"),
        ("To", to),
        ("Call-ID", "one-call"),
        ("CSeq", f"1 {method}"),
        ("Contact", f"<sip:x@127.0.0.1:{port}>"),
    ]
    return sip.build(f"{method} sip:{number}@127.0.0.1 SIP/2.0", headers, body)


def test_a_repeated_invite_is_one_call_and_gets_its_last_answer_again(tmp_path: Path) -> None:
    async def main() -> None:
        carrier = Carrier(CarrierConfig(log=tmp_path / "a.jsonl", cps=1))
        await carrier.start()
        loop = asyncio.get_running_loop()
        transport, peer = await loop.create_datagram_endpoint(Peer, remote_addr=carrier.address)
        port = transport.get_extra_info("sockname")[1]
        for _ in range(3):
            transport.sendto(request("INVITE", "+14155550102", port, "z9hG4bKsame", offer_sdp("127.0.0.1", 9, 1, [])))
        async with asyncio.timeout(WAIT_S):
            statuses = [sip.parse(await peer.messages.get()).status for _ in range(4)]
        assert statuses == [100, 180, 180, 180]
        transport.close()
        await carrier.stop()

    asyncio.run(main())
    verdict = judge(tmp_path / "a.jsonl")
    assert (verdict.invites, verdict.retransmissions, verdict.ok) == (1, 2, True)
    stamps = [r for r in read_log(tmp_path / "a.jsonl") if r["k"] == "start"]
    assert stamps[0]["stamps"] in ("kernel", "process")


def test_an_unacknowledged_answer_is_repeated(tmp_path: Path) -> None:
    async def main() -> None:
        carrier = Carrier(CarrierConfig(log=tmp_path / "a.jsonl", mix=Mix(time_scale=0.1)))
        await carrier.start()
        loop = asyncio.get_running_loop()
        transport, peer = await loop.create_datagram_endpoint(Peer, remote_addr=carrier.address)
        port = transport.get_extra_info("sockname")[1]
        transport.sendto(request("INVITE", "+14155550120", port, "z9hG4bKone", offer_sdp("127.0.0.1", 9, 1, [])))
        answers = 0
        async with asyncio.timeout(WAIT_S + T1):
            while answers < 2:
                answers += sip.parse(await peer.messages.get()).status == 200
        transport.close()
        await carrier.stop()

    asyncio.run(main())


def test_the_callee_hears_and_speaks_rtp(tmp_path: Path) -> None:
    """A peer that offers plain SDP, as a real FreeSWITCH does: its tone is in the callee's record, ours in the RTP."""

    async def main() -> None:
        log = tmp_path / "arrivals.jsonl"
        carrier = Carrier(CarrierConfig(mix=Mix(time_scale=0.1), record_dir=tmp_path, log=log))
        await carrier.start()
        loop = asyncio.get_running_loop()
        rtp_transport, rtp = await loop.create_datagram_endpoint(Peer, local_addr=("127.0.0.1", 0))
        rtp_port = rtp_transport.get_extra_info("sockname")[1]
        transport, peer = await loop.create_datagram_endpoint(Peer, remote_addr=carrier.address)
        port = transport.get_extra_info("sockname")[1]
        offer = offer_sdp("127.0.0.1", rtp_port, 1, ["PCMU"])
        transport.sendto(request("INVITE", "+14155550121", port, "z9hG4bKone", offer))
        async with asyncio.timeout(WAIT_S):
            while (answer := sip.parse(await peer.messages.get())).status != 200:
                pass
        media = parse_sdp(answer.body)
        assert media is not None
        assert media.lab is None
        transport.sendto(request("ACK", "+14155550121", port, "z9hG4bKack", to_tag=sip.tag_of(answer.get("to"))))
        mine = [pcm.to_ulaw(frame) for frame in pcm.frames(pcm.tone(700, 1.0))]
        for number, payload in enumerate(mine):
            header = struct.pack("!BBHII", 0x80, 0, number, number * 160, 1)
            rtp_transport.sendto(header + payload, ("127.0.0.1", media.port))
        spoken = b""
        async with asyncio.timeout(WAIT_S):
            while len(spoken) < 8000:
                packet = await rtp.messages.get()
                spoken += pcm.from_ulaw(packet[12:]) if packet[1] == 0 else b""
            while carrier.media["one-call"].packets_heard < len(mine):
                await asyncio.sleep(0.01)
        assert pcm.goertzel(spoken[-4800:], 440) > 0.8
        assert pcm.goertzel(carrier.media["one-call"].heard, 700) > 0.8
        async with asyncio.timeout(WAIT_S):
            while not [fact for fact in read_log(log) if fact["k"] == "quiet"]:
                await asyncio.sleep(0.01)
        kinds = [fact["k"] for fact in read_log(log)]
        assert [kinds.count(kind) for kind in ("rtp", "heard", "quiet", "speaks", "pauses")] == [1, 1, 1, 1, 0]
        transport.close()
        rtp_transport.close()
        await carrier.stop()

    asyncio.run(main())
    assert pcm.goertzel((tmp_path / "one-call.s16").read_bytes(), 700) > 0.8
