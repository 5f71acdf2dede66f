"""Our processes' own logins on the event socket: each can say all it has to and nothing else; alike on both switches."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from uuid import UUID

import pytest

from controller import commands, commands_link, doctor_commands, inbound_commands, record_commands
from controller.commands import Command
from controller.esl_state import CALL_EVENTS
from controller.relay.desk import EVENTS, SUBCLASSES
from lab.switch.directory import EslUser, read_users

from .world import NUMBER, Esl, World

ROOT = Path(__file__).resolve().parents[2]
DENIED = "-ERR permission denied"
NOBODY = UUID("00000000-0000-4000-8000-00000000dead")
FORK = f"ws://127.0.0.1:9/fork/{NOBODY}"
#: One harmless command of every builder; ``auth`` and the subscriptions are looked at apart.
EVERY: Mapping[str, Command] = {
    "originate": commands.originate(
        attempt_id=NOBODY, call_ref=f"call_{0:032x}", tenant="t", gateway="nope", to_number="+12125550125",
        from_number="+12025550100", originate_timeout_s=5, max_duration_s=5,
    ),
    "hash_insert": commands.hash_insert("contract", NOBODY, 1),
    "hash_select": commands.hash_select("contract", NOBODY),
    "hash_delete": commands.hash_delete("contract", NOBODY),
    "uuid_kill": commands.uuid_kill(NOBODY),
    "uuid_setvar": commands.uuid_setvar(NOBODY, "trunkline_hangup_by", "agent"),
    "uuid_exists": commands.uuid_exists(NOBODY),
    "uuid_getvar": commands.uuid_getvar(NOBODY, "read_codec"),
    "uuid_dump": commands.uuid_dump(NOBODY),
    "uuid_break": commands.uuid_break(NOBODY),
    "uuid_bridge": commands.uuid_bridge(NOBODY, UUID(int=1)),
    "uuid_displace": commands.uuid_displace(NOBODY, "/dev/shm/trunkline/a.raw", under=["/dev/shm/trunkline"]),
    "uuid_send_dtmf": commands.uuid_send_dtmf(NOBODY, "1"),
    "playback": commands.playback(NOBODY, "/dev/shm/trunkline/a.wav", "a", under=["/dev/shm/trunkline"]),
    "hangup": commands.hangup(NOBODY),
    "audio_fork_start": commands.audio_fork_start(NOBODY, FORK),
    "audio_fork_stop": commands.audio_fork_stop(NOBODY),
    "record_start": record_commands.record_start(NOBODY, under="/spool"),
    "record_mask": record_commands.record_mask(NOBODY, under="/spool"),
    "record_unmask": record_commands.record_unmask(NOBODY, under="/spool"),
    "record_stop": record_commands.record_stop(NOBODY, under="/spool"),
    "ping": commands.ping(),
    "show_channels": commands.show_channels(),
    "status": commands.status(),
    "version": commands.version(),
    "global_getvar": commands.global_getvar("core_uuid"),
    "gateway_status": commands.gateway_status("carrier_a"),
    "gateway_list": commands.gateway_list(),
    "gateway_rescan": commands.gateway_rescan(),
    "gateway_kill": commands.gateway_kill("nope"),
    "acl_reload": commands.acl_reload(),
    "module_exists": doctor_commands.module_exists("mod_hash"),
    "acl": doctor_commands.acl("127.0.0.1", "carriers"),
    "epoch": doctor_commands.epoch(),
    "ring_ready": inbound_commands.ring_ready(NOBODY),
    "uuid_answer": inbound_commands.uuid_answer(NOBODY),
    "sched_hangup": inbound_commands.sched_hangup(NOBODY, 5),
    "profile_status": doctor_commands.profile_status("carriers"),
}  # fmt: skip
#: Said of a wrapper too, because a limit that looked at its name alone would let everything through it.
FORBIDDEN = (
    "system id", "bg_system id", "spawn id", "lua x", "load mod_lua", "reload mod_event_socket", "unload mod_hash",
    "shutdown", "fsctl shutdown now", "fsctl crash", "reloadxml", "hupall", "global_setvar a=b", "eval x",
    "expand status", "bgapi originate", "sched_api +1 none originate", "xml_wrap show", "console_complete s",
    "uuid_transfer x y",
)  # fmt: skip


def builders_used(*, relay: bool) -> set[str]:
    """The builders that the relay's files, or every other file of ours that speaks to a switch, call."""
    found: set[str] = set()
    for room in ("controller", "jobs", "trunkline"):
        for file in (ROOT / room).rglob("*.py"):
            if ("relay" in file.parts) is not relay:
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    found |= {node.attr} & set(EVERY) if "commands" in node.value.id else set()
    return found


def words(builders: set[str]) -> set[str]:
    """The API commands that these builders send."""
    lines = [EVERY[name].wire.split() for name in builders]
    return {line[1].decode() for line in lines if line[0] in (b"api", b"bgapi")}


@pytest.fixture(scope="module")
def users() -> Mapping[str, EslUser]:
    return read_users("password-of-somebody")


def test_every_builder_is_known_here() -> None:
    names = [f"controller.{file.stem}" for file in (ROOT / "controller").glob("*commands*.py")]
    functions = {n: made for name in names for n, made in vars(import_module(name)).items() if inspect.isfunction(made)}
    public = {name: made for name, made in functions.items() if not name.startswith("_")}
    builders = {name for name, made in public.items() if inspect.signature(made).return_annotation == "Command"}
    apart = {"auth", "subscribe", "filter_event", "filter_subclass", "filter_our_calls"}
    assert builders - {"command"} == set(EVERY) | apart


@pytest.mark.parametrize(("user", "relay"), [("controller@trunkline", False), ("relay@trunkline", True)])
def test_a_user_may_call_what_its_process_calls_and_no_more(users: Mapping[str, EslUser], user: str, relay: bool) -> None:
    assert set(users[user].api or ()) == words(builders_used(relay=relay))


@pytest.mark.parametrize("user", ["controller@trunkline", "relay@trunkline"])
def test_the_answer_to_a_login_fits_its_buffer(users: Mapping[str, EslUser], user: str) -> None:
    assert users[user].accepted().endswith(b"Allowed-LOG: false\n\n")


async def login(world: World, user: str, password: str) -> tuple[Esl, dict[str, str]]:
    esl = await world.stranger()
    headers, _ = await esl.command(f"userauth {user}:{password}")
    return esl, headers


async def say(esl: Esl, text: str) -> str:
    headers, body = await esl.command(text)
    return body or headers["Reply-Text"]


@pytest.mark.parametrize(("user", "relay"), [("controller@trunkline", False), ("relay@trunkline", True)])
def test_a_user_can_say_all_it_has_to(run: Callable[..., None], user: str, relay: bool) -> None:
    subscriptions = [commands_link.subscribe(EVENTS, SUBCLASSES)] if relay else CALL_EVENTS.commands()

    async def body(world: World) -> None:
        esl, headers = await login(world, user, world.user_password)
        assert headers["Reply-Text"] == "+OK accepted"
        for name in sorted(builders_used(relay=relay)):
            assert await say(esl, EVERY[name].wire.decode().strip()) != DENIED, name
        for command in subscriptions:
            assert (await say(esl, command.wire.decode().strip())).startswith("+OK")
        channel = await world.esl.originate(f"{NUMBER}0110", trunkline_attempt="x")
        await esl.event("CHANNEL_ANSWER", channel)
        await esl.close()

    run(body)


@pytest.mark.parametrize("user", ["controller@trunkline", "relay@trunkline"])
def test_a_user_can_say_nothing_else(run: Callable[..., None], user: str) -> None:
    async def body(world: World) -> None:
        esl, _ = await login(world, user, world.user_password)
        for line in FORBIDDEN:
            assert await say(esl, f"api {line}") == DENIED, line
            assert await say(esl, f"bgapi {line}") == DENIED, line
        for line in ("event json ALL", "event plain CHANNEL_STATE", "event json CUSTOM sofia::register", "log 7"):
            assert await say(esl, line) == DENIED, line
        assert await say(esl, "api uuid_exists nobody") == "false"
        await esl.close()

    run(body)


@pytest.mark.parametrize("user", ["controller@trunkline", "nobody@trunkline", "controller@elsewhere", "controller"])
@pytest.mark.parametrize("wrong", ["", "x"])
def test_a_wrong_login_is_refused_and_cut_off(run: Callable[..., None], user: str, wrong: str) -> None:
    async def body(world: World) -> None:
        esl, headers = await login(world, user, wrong)
        assert headers["Reply-Text"] == "-ERR invalid"
        async with asyncio.timeout(5):
            await esl.ended()

    run(body)


def test_an_application_that_is_not_on_the_switchs_list_costs_the_call(run: Callable[..., None], tmp_path: Path) -> None:
    async def body(world: World) -> None:
        mark = tmp_path / "mark"
        channel = await world.esl.originate(f"{NUMBER}0122")
        await world.esl.event("CHANNEL_PARK", channel)
        assert await world.esl.execute(channel, "system", f"touch {mark}", "evil") == "+OK"
        end = await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel)
        assert end["Hangup-Cause"] == "DESTINATION_OUT_OF_ORDER"
        assert not mark.exists()
        assert await world.esl.api("system id") == "-ERR system Command not found!\n"

    run(body)
