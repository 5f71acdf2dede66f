"""What a real FreeSWITCH runs with, asked of itself, against freeswitch/conf and Trunkline's settings.

Only where FREESWITCH_ESL names one: the simulated switch reads no configuration that this could be wrong about.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from settings import Settings
from tests.conf.preprocess import Loaded, load, params
from tests.conf.test_conf import PASSWORD, PASSWORDS, SHELLS, allowed

from .world import BACKENDS, NUMBER, World, open_world

pytestmark = pytest.mark.skipif("freeswitch" not in BACKENDS, reason="FREESWITCH_ESL names no real FreeSWITCH")


@pytest.fixture
def ask(tmp_path: Path) -> Callable[[Callable[[World], Awaitable[None]]], None]:
    """Run a coroutine function against the real switch."""

    def runner(body: Callable[[World], Awaitable[None]]) -> None:
        async def main() -> None:
            async with open_world("freeswitch", tmp_path) as world:
                await body(world)

        asyncio.run(main())

    return runner


@pytest.fixture(scope="module")
def conf() -> Loaded:
    """As it was started: with this environment, whatever its passwords were."""
    given = {name: value for name, value in os.environ.items() if name.startswith("FREESWITCH_")}
    return load(given | dict.fromkeys(PASSWORDS, PASSWORD))


def test_the_profile_runs_with_what_is_written(ask: Callable[..., None], conf: Loaded) -> None:
    wanted = params(conf.profile, "./settings/param")

    async def body(world: World) -> None:
        text = await world.esl.api("sofia status profile carriers")
        said = {name.strip(): value.strip() for name, _, value in (line.partition("\t") for line in text.splitlines())}
        has = {name: said[name] for name in ("SIP-IP", "Ext-SIP-IP", "RTP-IP", "Ext-RTP-IP", "Context", "Dialplan")}
        names = ("sip-ip", "ext-sip-ip", "rtp-ip", "ext-rtp-ip", "context", "dialplan")
        assert has == dict(zip(has, [wanted[name] for name in names], strict=True))
        assert (said["CODECS IN"], said["CODECS OUT"]) == (wanted["inbound-codec-prefs"], wanted["outbound-codec-prefs"])
        assert (said["TEL-EVENT"], said["DTMF-MODE"], said["CNG"]) == (wanted["rfc2833-pt"], wanted["dtmf-type"], "0")
        assert (said["SESSION-TO"], said["MAX-RECV-RPS"]) == (
            wanted["session-timeout"],
            wanted["max-recv-requests-per-second"],
        )
        assert said["BIND-URL"].endswith(f"maddr={wanted['sip-ip']};{wanted['bind-params']}")
        assert ("TLS-URL" in said) is (wanted["tls"] == "true")
        assert (said["LATE-NEG"], said["NOMEDIA"], said["PROXY-MEDIA"]) == ("true", "false", "false")

    ask(body)


def test_the_switch_has_the_fuses_the_heartbeat_and_the_variables(ask: Callable[..., None], conf: Loaded) -> None:
    wanted = conf.settings("switch")

    async def body(world: World) -> None:
        status = await world.esl.api("status")
        assert f"{wanted['max-sessions']} session(s) max" in status
        assert f"out of max {wanted['sessions-per-second']}" in status
        for name in (
            "media_timeout",
            "media_hold_timeout",
            "outbound_redirect_fatal",
            "send_silence_when_idle",
            "playback_dir",
        ):
            assert await world.esl.api(f"global_getvar {name}") == conf.variables[name], name
        for name in ("esl_password", "cdr_password", "trunkline_password"):
            assert await world.esl.api(f"global_getvar {name}") == "-ERR no reply\n", name
        assert await world.esl.api("global_getvar playback_fs") == "tmpfs"
        await world.esl.command("event json HEARTBEAT")
        beat = await world.esl.wait(lambda e: e["Event-Name"] == "HEARTBEAT", "a heartbeat", timeout_s=25)
        assert (beat["Max-Sessions"], beat["Event-Info"]) == (wanted["max-sessions"], "System Ready")

    ask(body)


def test_the_modules_are_those_of_the_list_and_the_commands_too(ask: Callable[..., None], conf: Loaded) -> None:
    async def body(world: World) -> None:
        rows = [line.split(",") for line in (await world.esl.api("show modules")).splitlines() if line.count(",") == 3]
        files = {row[2] for row in rows[1:] if row[2].startswith("mod_")}
        assert files == {m.get("module") for m in conf.section("modules").iter("load")}
        assert {row[1] for row in rows if row[0] == "api"} == set(allowed("api"))
        assert {row[1] for row in rows if row[0] == "application"} == set(allowed("app"))
        for word in sorted(SHELLS):
            assert await world.esl.api(f"{word} id") == f"-ERR {word} Command not found!\n"

    ask(body)


def test_the_acl_lets_in_the_carriers_and_nobody_else(ask: Callable[..., None], conf: Loaded) -> None:
    async def body(world: World) -> None:
        for node in conf.section("acl").iter("node"):
            assert await world.esl.api(f"acl {(node.get('cidr') or '').partition('/')[0]} carriers") == "true"
        for stranger in ("192.0.2.200", "127.0.0.2", "::1", "2001:db8::1"):
            assert await world.esl.api(f"acl {stranger} carriers") == "false", stranger

    ask(body)


def test_a_silent_carrier_is_given_up_when_the_budget_thinks_so(ask: Callable[..., None], conf: Loaded) -> None:
    """T1 and T1X64 as the profile really has them: repetitions after 0.5 s, doubling, and the end after sip_death_s."""

    async def body(world: World) -> None:
        began = time.monotonic()
        channel = await world.esl.originate(f"{NUMBER}0106")
        end = await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel, timeout_s=12)
        took = time.monotonic() - began
        assert end["Hangup-Cause"] == "RECOVERY_ON_TIMER_EXPIRE"
        first = int(world.arrivals(channel, "invite")[0]["t"])
        again = [(int(record["t"]) - first) / 1e9 for record in world.arrivals(channel, "retransmit")]
        t1 = int(params(conf.profile, "./settings/param")["timer-T1"]) / 1000
        assert again[0] >= t1
        assert Settings(_env_file=None).sip_death_s - 0.5 < took

    ask(body)


def test_a_call_without_one_packet_ends_after_the_media_timeout(ask: Callable[..., None], conf: Loaded) -> None:
    """The variable counts milliseconds; every channel that sets none has the one of vars.xml."""

    async def body(world: World) -> None:
        plain = await world.esl.originate(f"{NUMBER}0122")
        short = await world.esl.originate(f"{NUMBER}0122", media_timeout="1500")
        await world.esl.event("CHANNEL_PARK", plain)
        await world.esl.event("CHANNEL_PARK", short)
        assert await world.esl.api(f"uuid_getvar {plain} media_timeout") == conf.variables["media_timeout"]
        for channel in (plain, short):
            world.carrier.media[channel].close()
        assert (await world.esl.event("CHANNEL_HANGUP_COMPLETE", short))["Hangup-Cause"] == "MEDIA_TIMEOUT"
        assert await world.esl.api(f"uuid_exists {plain}") == "true"

    ask(body)
