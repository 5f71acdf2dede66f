"""Link, builders and evidence together on the simulated switch, over real TCP, with a carrier behind it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import gevent
import gevent.socket
import pytest

from calls.evidence import Evidence, State
from controller import commands
from controller.commands import Command
from controller.esl import CommandRefused, EslLink, Subscription
from controller.esl_replies import channels, dump, exists, fence, job
from controller.evidence import LocalRefusal, from_dump, from_event
from controller.frames import Event
from settings import Settings
from tests.esl.stub import wait_for


@dataclass
class Lab:
    settings: Settings
    core: str


def started(*arguments: str) -> tuple[subprocess.Popen[str], dict[str, str]]:
    process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    carrier, where = started("lab.carrier")
    gateways = [f"--gateway=carrier_a={where['sip']}", "--gateway=gone=127.0.0.1:9,down"]
    switch, facts = started("lab.switch", "--heartbeat=1", *gateways)
    host, _, port = facts["esl"].rpartition(":")
    settings = Settings.model_validate(
        {"esl_host": host, "esl_port": int(port), "esl_password": "ClueCon", "esl_ping_interval_s": 0.2}
    )
    yield Lab(settings, facts["core_uuid"])
    for process in (switch, carrier):
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


class Phone:
    """Both links of a controller, and what was seen."""

    def __init__(self, settings: Settings) -> None:
        self.link = EslLink(settings)
        self.events = EslLink(settings, role="events")
        self.seen: list[Evidence | LocalRefusal] = []
        self.names: list[str] = []
        self.events.on_event(self._event)
        self.events.connect()
        self.link.connect()

    def _event(self, event: Event) -> None:
        self.names.append(str(event["Event-Name"]))
        if (found := from_event(event)) is not None:
            self.seen.append(found)

    def dial(self, number: str, gateway: str = "carrier_a") -> UUID:
        attempt = uuid4()
        pair = self.link.write(
            [
                commands.hash_insert("trunkline", attempt, 3),
                commands.originate(
                    attempt_id=attempt,
                    call_ref=f"call_{uuid4().hex}",
                    tenant="acme",
                    gateway=gateway,
                    to_number=number,
                    from_number="+12025550123",
                    originate_timeout_s=20,
                    max_duration_s=60,
                ),
            ]
        )
        assert pair[0].accepted() == "+OK"
        assert job(pair[1].accepted()) == attempt
        return attempt

    def states(self, attempt: UUID) -> list[str]:
        return [str(e.state) for e in self.seen if isinstance(e, Evidence) and e.attempt_id == attempt]


@pytest.fixture
def phone(lab: Lab) -> Iterator[Phone]:
    item = Phone(lab.settings)
    yield item
    item.link.stop()
    item.events.stop()


def test_same_switch_on_both_links(phone: Phone, lab: Lab) -> None:
    assert phone.link.core_uuid == phone.events.core_uuid == lab.core
    wait_for(lambda: "HEARTBEAT" in phone.names)
    wait_for(lambda: phone.link.round_trip_s is not None)


def test_a_call_from_tombstone_to_end(phone: Phone) -> None:
    attempt = phone.dial("+14155550120")
    wait_for(lambda: "in_progress" in phone.states(attempt))
    assert fence(phone.link.call(commands.hash_select("trunkline", attempt))) == 3
    assert exists(phone.link.call(commands.uuid_exists(attempt)))
    text = phone.link.call(commands.uuid_dump(attempt))
    assert dump(text)["variable_trunkline_attempt"] == str(attempt)
    evidence = from_dump(attempt, text, datetime.now(UTC))
    assert evidence is not None
    assert evidence.state is State.IN_PROGRESS
    assert phone.link.call(commands.uuid_getvar(attempt, "trunkline_attempt")) == str(attempt)
    wait_for(lambda: str(attempt) in [row["uuid"] for row in channels(phone.link.call(commands.show_channels()))])
    note, kill = phone.link.write(
        [commands.uuid_setvar(attempt, "trunkline_hangup_by", "customer"), commands.uuid_kill(attempt)]
    )
    assert (note.accepted(), kill.accepted()) == ("+OK", "+OK")
    wait_for(lambda: "ended" in phone.states(attempt))
    assert phone.states(attempt) == ["dialing", "ringing", "in_progress", "ended"]
    (end,) = [e.end for e in phone.seen if isinstance(e, Evidence) and e.attempt_id == attempt and e.end]
    assert (end.cause, end.sip_code, end.disposition, end.requested_by) == ("NORMAL_CLEARING", 200, "send_bye", "customer")
    assert end.answered_at is not None
    assert phone.link.call(commands.hash_delete("trunkline", attempt)) == "+OK"
    assert phone.link.call(commands.hash_select("trunkline", attempt)) == ""
    with pytest.raises(CommandRefused) as gone:
        phone.link.call(commands.uuid_kill(attempt))
    assert gone.value.no_such_channel
    assert not exists(phone.link.call(commands.uuid_exists(attempt)))


@pytest.mark.parametrize(("gateway", "cause"), [("gone", "GATEWAY_DOWN"), ("nowhere", "INVALID_GATEWAY")])
def test_refused_inside_the_switch(phone: Phone, gateway: str, cause: str) -> None:
    attempt = phone.dial("+14155550120", gateway)
    wait_for(lambda: any(isinstance(e, LocalRefusal) and e.attempt_id == attempt for e in phone.seen))
    assert [(e.cause, e.certain) for e in phone.seen if isinstance(e, LocalRefusal)] == [(cause, True)]
    assert phone.states(attempt) == []


def test_only_our_channels_are_heard(phone: Phone, lab: Lab) -> None:
    """A filter on our variable takes away others' channels, and neither our own nor heartbeats and jobs."""
    unfiltered = Subscription(("CHANNEL_CREATE",), our_calls=False)
    everything = EslLink(lab.settings, role="events", subscription=unfiltered)
    heard: list[str] = []
    everything.on_event(lambda event: heard.append(str(event["Unique-ID"])))
    everything.connect()
    foreign = str(uuid4())
    try:
        originate_by_hand(lab.settings, foreign)
        attempt = phone.dial("+14155550101")
        wait_for(lambda: {foreign, str(attempt)} <= set(heard))
        wait_for(lambda: "ended" in phone.states(attempt))
        wait_for(lambda: {"BACKGROUND_JOB", "HEARTBEAT"} <= set(phone.names))
    finally:
        everything.stop()
    assert {e.attempt_id for e in phone.seen if isinstance(e, Evidence)} == {attempt}


def originate_by_hand(settings: Settings, channel: str) -> None:
    """Somebody else's call on the same switch."""
    with gevent.socket.create_connection((settings.esl_host, settings.esl_port), 2) as sock:
        target = "sofia/gateway/carrier_a/+14155550101 &park()"
        sock.sendall(f"auth ClueCon\n\nbgapi originate {{origination_uuid={channel}}}{target}\n\n".encode())
        data = b""
        while b"Job-UUID" not in data:
            data += sock.recv(4096)


def test_every_other_command_is_understood(phone: Phone) -> None:
    attempt = phone.dial("+14155550120")
    wait_for(lambda: "in_progress" in phone.states(attempt))
    url = f"ws://127.0.0.1:9/fork/{attempt}"
    for command in (
        commands.status(),
        commands.version(),
        commands.gateway_status("carrier_a"),
        commands.global_getvar("hostname"),
        commands.uuid_send_dtmf(attempt, "12#"),
        commands.uuid_setvar(attempt, "trunkline_end_reason", "agent_done"),
        commands.audio_fork_start(attempt, url),
        commands.audio_fork_stop(attempt),
        commands.playback(attempt, "/nowhere/tone.wav", "p-1", under=["/nowhere"]),
        commands.uuid_break(attempt),
        commands.hangup(attempt),
    ):
        reply = said(phone.link, command)
        assert "Command not found" not in reply, command.kind
        assert not reply.startswith("-USAGE"), command.kind
    wait_for(lambda: "ended" in phone.states(attempt))


def said(link: EslLink, command: Command) -> str:
    return link.write([command])[0].wait()


def test_many_calls_at_once(phone: Phone) -> None:
    attempts = []
    for _ in range(30):
        attempts.append(phone.dial("+14155550120"))
        gevent.sleep(0)
    wait_for(lambda: all("in_progress" in phone.states(a) for a in attempts), 20)
    phone.link.write([commands.uuid_kill(a) for a in attempts])
    wait_for(lambda: all(phone.states(a) == ["dialing", "ringing", "in_progress", "ended"] for a in attempts), 20)
