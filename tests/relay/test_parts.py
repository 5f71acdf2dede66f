"""The relay's small parts: texts, messages, addresses, files, frames kept; and the reference agent's ear."""

from __future__ import annotations

import asyncio
import io
import json
import stat
import wave
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.reference.hearing import Hearing, Speaking, Spoken
from agents.reference.sound import chime, from_bytes, rms, speech_in, to_bytes, tone
from controller.relay import protocol
from controller.relay.audio import AudioFiles, longest_s, wav
from controller.relay.fork import attempt_in
from controller.relay.guard import AddressRefused, is_public, judge
from controller.relay.texts import json_values
from controller.relay.uplink import Uplink

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(), v, max_size=4),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=5), st.sampled_from(["", " ", "\n"]))
def test_texts_that_came_as_one_frame_are_told_apart(values: list[object], between: str) -> None:
    assert json_values(between.join(map(json.dumps, values))) == values


@pytest.mark.parametrize("text", ["{", '{"a":1}}', "hello", '{"a":1}{', "[" * 100_000])
def test_what_is_no_json_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="character"):
        json_values(text)


@pytest.mark.parametrize(
    ("frame", "messages"),
    [
        ('{"event":"ready"}{"event":"clear"}', [protocol.Ready(), protocol.Clear()]),
        (b"\x01\x02", [protocol.Media(b"\x01\x02")]),
        ('{"event":"media","payload":"AQI="}', [protocol.Media(b"\x01\x02")]),
        ('{"event":"mark","name":"x"}', [protocol.Mark("x")]),
        ('{"event":"dtmf","digits":"12#A"}', [protocol.SendDtmf("12#A")]),
        ('{"event":"hangup"}', [protocol.Hangup(False)]),
        ('{"event":"notice"}', [protocol.Notice()]),
        ('{"event":"hangup","after_playback":true}', [protocol.Hangup(True)]),
    ],
)
def test_messages_of_an_agent(frame: str | bytes, messages: list[protocol.Message]) -> None:
    assert protocol.parse(frame) == messages


@pytest.mark.parametrize(
    ("frame", "code", "named"),
    [
        ("nonsense", "bad_json", "JSON"),
        ("[]", "bad_message", "object"),
        ("{}", "unknown_event", "event"),
        ('{"event":["ready"]}', "unknown_event", "event"),
        (b"\x01", "bad_audio", "16-bit"),
        ('{"event":"media"}', "bad_audio", "media.payload"),
        ('{"event":"media","payload":"%%"}', "bad_audio", "media.payload"),
        ('{"event":"media","payload":"é"}', "bad_audio", "media.payload"),
        ('{"event":"media","payload":"AQ=="}', "bad_audio", "16-bit"),
        ('{"event":"mark"}', "bad_message", "mark.name"),
        ('{"event":"mark","name":""}', "bad_message", "mark.name"),
        ('{"event":"dtmf","digits":"1\\n2"}', "bad_message", "dtmf.digits"),
        ('{"event":"dtmf","digits":5}', "bad_message", "dtmf.digits"),
        ('{"event":"hangup","after_playback":"yes"}', "bad_message", "hangup.after_playback"),
    ],
)
def test_a_bad_message_is_refused_by_its_field(frame: str | bytes, code: str, named: str) -> None:
    with pytest.raises(protocol.ProtocolError, match=named) as caught:
        protocol.parse(frame)
    assert caught.value.code == code


def test_what_the_relay_says_is_one_json_object_each() -> None:
    attempt = uuid4()
    said = protocol.start(
        call="call_1", attempt=attempt, to="+1", from_="+2", variables={"a": "ü"}, metadata={"b": [1]},
        direction="inbound", resumed=False,
    )  # fmt: skip
    start = json.loads(said)
    assert start["call"] == {
        "id": "call_1", "attempt": str(attempt), "direction": "inbound", "to": "+1", "from": "+2",
        "variables": {"a": "ü"}, "metadata": {"b": [1]},
    }  # fmt: skip
    assert start["runtime"] is None
    assert start["audio"] == {"encoding": "L16", "sample_rate": 8000, "channels": 1, "frame_bytes": 320}
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert json.loads(protocol.answered(at)) == {"event": "answered", "at": "2026-01-02T03:04:05+00:00"}
    assert json.loads(protocol.dtmf("5", None)) == {"event": "dtmf", "digit": "5"}
    assert json.loads(protocol.stop("hangup", by="callee", cause="NORMAL_CLEARING"))["by"] == "callee"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("127.0.0.1", False), ("10.1.2.3", False), ("169.254.169.254", False),
        ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False), ("::1", False), ("fe80::1%eth0", False),
        ("fd00::1", False), ("::ffff:127.0.0.1", False), ("64:ff9b::7f00:1", False), ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False), ("::", False), ("ff02::1", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8/", "ws://", "ws:///path", "ws://user:secret@8.8.8.8/", "ws://127.0.0.1:1/", "wss://localhost/",
        "ws://[::1]/", "ws://0x7f000001/", "ws://2130706433/", "ws://8.8.8.8:99999/", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_an_agent_is_not_a_way_into_our_network(url: str) -> None:
    with pytest.raises(AddressRefused, match="agent url"):
        asyncio.run(judge(url, allow_private=False, timeout_s=2.0))


def test_an_address_is_judged_once_and_that_one_is_used() -> None:
    target = asyncio.run(judge("wss://8.8.8.8/agent", allow_private=False, timeout_s=2.0))
    assert (target.host, target.port, target.secure) == ("8.8.8.8", 443, True)
    target = asyncio.run(judge("ws://localhost:81/", allow_private=True, timeout_s=2.0))
    assert (target.port, target.secure) == (81, False)
    assert target.host in ("127.0.0.1", "::1")


def test_a_playback_file_is_a_wave_that_others_can_read_but_not_find(tmp_path: Path) -> None:
    files = AudioFiles(tmp_path / "audio", "fs1")
    files.open()
    attempt, pcm = uuid4(), bytes(range(200))
    path = files.write(attempt, 7, pcm)
    assert path == tmp_path / "audio" / "fs1" / f"{attempt}-7.wav"
    with wave.open(str(path)) as opened:
        assert (opened.getframerate(), opened.getnchannels(), opened.getsampwidth()) == (8000, 1, 2)
        assert opened.readframes(1000) == pcm
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o711


def test_how_long_a_file_plays_at_most(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(b"\0" * 32_000))
    assert 2.0 <= longest_s(path) < 2.01
    path.write_bytes(wav(b"\0" * 32_000)[:40] + b"\xff\xff\xff\x7f" + b"\0" * 32_000)
    assert longest_s(path) < 2.01, "whatever its head says"
    path.write_bytes(b"\0" * 3250)
    assert longest_s(path) == 2.0
    path.unlink()
    assert longest_s(path) == 600.0


def test_files_are_removed_one_by_one_all_at_once_and_at_the_next_start(tmp_path: Path) -> None:
    files = AudioFiles(tmp_path, "fs1")
    files.open()
    one, two = uuid4(), uuid4()
    first = files.write(one, 1, b"ab")
    files.write(one, 2, b"ab")
    other = files.write(two, 1, b"ab")
    files.remove(one, first)
    files.remove(one, first)
    assert files.count == 2
    files.remove_all(one)
    files.remove_all(one)
    assert list(files.directory.iterdir()) == [other]
    (files.directory / "notes.txt").write_text("not ours")
    again = AudioFiles(tmp_path, "fs1")
    assert again.open() == 1
    assert [p.name for p in files.directory.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    "path",
    ["/", "/fork/", "/fork/x", "/fork/../etc", f"/fork/{UUID(int=1)}/x", f"/fork/{UUID(int=2)}?x", f"/x/{UUID(int=3)}"],
)
def test_a_media_socket_names_its_attempt_or_is_refused(path: str) -> None:
    assert attempt_in(path) is None
    attempt = uuid4()
    assert attempt_in(f"/fork/{attempt}") == attempt


async def _drain(uplink: Uplink, want: int) -> list[bytes]:
    got: list[bytes] = []
    enough = asyncio.Event()

    async def send(frame: bytes) -> None:
        got.append(frame)
        if len(got) >= want:
            enough.set()

    task = asyncio.create_task(uplink.run(send))
    async with asyncio.timeout(5):
        await enough.wait()
    task.cancel()
    return got


def test_the_first_words_are_kept_for_an_agent_that_is_late() -> None:
    uplink = Uplink(first_frames=10)
    frames = [bytes([i]) for i in range(30)]
    for frame in frames:
        uplink.put(frame)
    assert asyncio.run(_drain(uplink, 10)) == frames[:10], "the first 200 ms, not the last"
    assert uplink.dropped == 20


def test_whoever_keeps_up_gets_each_frame_at_once_and_otherwise_in_order() -> None:
    async def scenario() -> list[bytes]:
        uplink, got, idle = Uplink(first_frames=10), [], True

        async def send(frame: bytes) -> None:
            got.append(b"later " + frame)

        def at_once(frame: bytes) -> bool:
            if idle:
                got.append(frame)
            return idle

        uplink.put(b"0")
        task = asyncio.create_task(uplink.run(send, at_once))
        while len(got) < 1:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        uplink.put(b"1")
        assert got[-1] == b"1", "before anybody is woken"
        idle = False
        uplink.put(b"2")
        idle = True
        uplink.put(b"3")
        while len(got) < 4:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        uplink.put(b"4")
        task.cancel()
        await asyncio.wait([task])
        uplink.put(b"5")
        return got

    assert asyncio.run(scenario()) == [b"later 0", b"1", b"later 2", b"later 3", b"4"]


def test_an_agent_that_lags_loses_the_oldest() -> None:
    async def scenario() -> list[bytes]:
        uplink = Uplink(first_frames=1, live_frames=3)
        got: list[bytes] = []
        stuck = asyncio.Event()
        entered = asyncio.Event()

        async def send(frame: bytes) -> None:
            got.append(frame)
            entered.set()
            await stuck.wait()

        task = asyncio.create_task(uplink.run(send))
        uplink.put(b"0")
        async with asyncio.timeout(5):
            await entered.wait()
            for i in range(1, 11):
                uplink.put(bytes([48 + i]))
            assert uplink.dropped == 7
            stuck.set()
            while len(got) < 4:
                await asyncio.sleep(0)
        task.cancel()
        return got

    assert asyncio.run(scenario()) == [b"0", b"8", b"9", b":"]


def test_the_wave_of_a_file_and_of_a_pipe_is_understood() -> None:
    pcm = tone(1000, 200)
    assert speech_in(wav(pcm)) == pcm
    endless = bytearray(wav(pcm))
    endless[40:44] = b"\xff\xff\xff\x7f"
    assert speech_in(bytes(endless)) == pcm
    made = io.BytesIO()
    with wave.open(made, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(22_050)
        out.writeframes(to_bytes(from_bytes(pcm)) * 2)
    assert abs(len(speech_in(made.getvalue())) - 2 * len(pcm) * 8000 / 22_050) <= 4
    for bad in (b"", b"RIFF", wav(pcm)[:30], b"RIFF1234WAVEdata\0\0\0\0"):
        with pytest.raises(ValueError):
            speech_in(bad)


def test_speech_is_told_from_silence_and_a_pause_ends_it() -> None:
    hearing = Hearing()
    quiet, loud = bytes(320), tone(300, 20, peak=3000)
    assert rms(chime()) > 1000
    heard: list[Speaking | Spoken] = []
    for frame in [quiet] * 50 + [loud] * 2 + [quiet] * 20 + [loud] * 40 + [quiet] * 30 + [quiet] * 30:
        heard += hearing.hear(frame)
    assert isinstance(heard[0], Speaking)
    assert len(heard) == 2, "40 ms of noise are no speech"
    assert isinstance(heard[1], Spoken)
    assert 40 * 320 <= len(heard[1].pcm) <= 50 * 320
    assert not Hearing().hear(b"\0" * 100_001), "pieces of any size"
