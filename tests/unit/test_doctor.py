"""What each answer means. The asking is in tests/system/test_doctor.py and tests/contract/test_setup_contract.py."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Sequence

import pytest

from budget import checkup as budget_checkup
from calls.ids import new_uuid7
from store import checkup
from store.carriers import Endpoint
from store.tenancy import Guard
from store.test_lab import Laboratory
from trunkline.doctor import agents, environment, machine, servers, switch, tenancy, test_keys, trunks
from trunkline.doctor.finding import Finding, Level
from trunkline.doctor.visit import judge_switches

POSTGRES = checkup.Server(150_004, True, True, True, 100, 20, 0.0, False, 1000.0)
REDIS = budget_checkup.Server("Redis", (6, 2, 14), "noeviction", "aof", 0, 1 << 20, 1000.0, 7)


def bad(found: Sequence[Finding]) -> list[tuple[str, str]]:
    """Levels and texts of what is not well; every one of them has a remedy, and nothing that is well has one."""
    assert all(bool(one.remedy) is (one.level is not Level.OK) for one in found)
    return [(one.level.value, one.what) for one in found if one.level is not Level.OK]


@pytest.mark.parametrize(
    ("change", "level", "word"),
    [
        ({"version": 120_009}, "fail", "version 12.9"),
        ({"fsync": False}, "warn", "fsync"),
        ({"full_page_writes": False}, "warn", "full_page_writes"),
        ({"synchronous_commit": False}, "fail", "202"),
        ({"connections": 90}, "warn", "90 of 100"),
        ({"oldest_s": 4000.0}, "warn", "4000 s"),
        ({"standby": True}, "fail", "standby"),
        ({"clock": 1060.0}, "warn", "60 s ahead"),
        ({"clock": 940.0}, "warn", "60 s behind"),
    ],
)
def test_postgres(change: dict[str, object], level: str, word: str) -> None:
    assert bad(servers.judge_postgres(POSTGRES, [], 1000.0)) == []
    [(said, what)] = bad(servers.judge_postgres(dataclasses.replace(POSTGRES, **change), [], 1000.0))  # type: ignore[arg-type]
    assert said == level
    assert word in what


GUARD = Guard(role=True, passes=False, may_enter=True, open_tables=[], blind=False)
LOGIN = dataclasses.replace(GUARD, blind=True)


@pytest.mark.parametrize(
    ("guard", "login", "level", "word"),
    [
        (dataclasses.replace(GUARD, role=False), None, "fail", "no role trunkline_web"),
        (dataclasses.replace(GUARD, passes=True), None, "fail", "passes by row level security"),
        (dataclasses.replace(GUARD, may_enter=False), None, "fail", "DATABASE_URL's login may not take on"),
        (dataclasses.replace(GUARD, open_tables=["batches"]), None, "fail", "batches"),
        (dataclasses.replace(GUARD, blind=True), None, "fail", "sees no tenant's rows"),
        (GUARD, dataclasses.replace(LOGIN, may_enter=False), "fail", "WEB_DATABASE_URL's login may not take on"),
        (dataclasses.replace(GUARD, more=["TRUNCATE on calls"]), None, "fail", "TRUNCATE on calls): web does not start"),
        (dataclasses.replace(GUARD, others=["else", "web"]), dataclasses.replace(LOGIN, login="web"), "warn", "rows: else"),
        (GUARD, GUARD, "fail", "WEB_DATABASE_URL's login has the rights"),
        (GUARD, dataclasses.replace(LOGIN, beyond=["CREATEROLE"]), "fail", "beyond trunkline_web's (CREATEROLE)"),
    ],
)
def test_tenants_are_kept_apart(guard: Guard, login: Guard | None, level: str, word: str) -> None:
    assert bad(tenancy.judge_guard(GUARD, None)) == bad(tenancy.judge_guard(GUARD, LOGIN)) == []
    [(said, what)] = bad(tenancy.judge_guard(guard, login))
    assert said == level
    assert word in what


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        (Laboratory(keys=0, switches=0, routed=False), None),
        (Laboratory(keys=0, switches=0, routed=True), None),
        (Laboratory(keys=2, switches=1, routed=True), None),
        (Laboratory(keys=2, switches=0, routed=True), "no laboratory switch was heard of lately"),
        (Laboratory(keys=2, switches=0, routed=False), "no laboratory: their calls are refused"),
        (Laboratory(keys=2, switches=1, routed=False), "no laboratory: their calls are refused"),
    ],
)
def test_test_keys_have_somewhere_to_go(seen: Laboratory, word: str | None) -> None:
    found = bad(test_keys.judge_laboratory(seen))
    assert len(found) == (word is not None)
    assert word is None or word in found[0][1]


def test_a_migration_that_is_pending_is_named() -> None:
    [(level, what)] = bad(servers.judge_postgres(POSTGRES, ["0007_cdr"], 1000.0))
    assert level == "fail"
    assert "0007_cdr" in what


@pytest.mark.parametrize(
    ("change", "level", "word"),
    [
        ({"version": (6, 0, 16)}, "fail", "6.0.16"),
        ({"policy": "allkeys-lru"}, "fail", "allkeys-lru"),
        ({"keeps": "nothing"}, "warn", "keeps nothing"),
        ({"max_bytes": 1 << 20}, "warn", "1 of 1 MB"),
        ({"epoch": None}, "fail", "closed"),
        ({"clock": 990.0}, "warn", "behind"),
    ],
)
def test_redis(change: dict[str, object], level: str, word: str) -> None:
    assert bad(servers.judge_redis(REDIS, 1000.0)) == []
    [(said, what)] = bad(servers.judge_redis(dataclasses.replace(REDIS, **change), 1000.0))  # type: ignore[arg-type]
    assert said == level
    assert word in what


def test_valkey_has_numbers_of_its_own_and_a_hosted_server_may_keep_its_settings_to_itself() -> None:
    hosted = dataclasses.replace(REDIS, name="Valkey", version=(7, 2), policy="", keeps="")
    assert bad(servers.judge_redis(hosted, 1000.0)) == []


@pytest.mark.parametrize(
    ("said", "levels"),
    [
        ("FreeSWITCH Version 1.11.2-release (git)", []),
        ("FreeSWITCH Version 1.11.3-dev~64bit ( 64bit)", []),
        ("FreeSWITCH Version 1.12.0", []),
        ("FreeSWITCH Version 1.11.1-release", ["warn"]),
        ("FreeSWITCH Version 1.10.12-release+git", ["warn"]),
        ("FreeSWITCH Version 1.8.7", ["fail"]),
        ("-ERR no reply", ["warn"]),
    ],
)
def test_versions_of_the_switch(said: str, levels: list[str]) -> None:
    assert [level for level, _ in bad(switch.judge_version("switch", said))] == levels


def test_modules() -> None:
    well = dict.fromkeys(switch.NEEDED, True) | dict.fromkeys(switch.UNWANTED, False)
    assert bad(switch.judge_modules("switch", well)) == []
    found = bad(switch.judge_modules("switch", {**well, "mod_hash": False, "mod_verto": True}))
    assert [(level, what.split()[0]) for level, what in found] == [("fail", "mod_hash"), ("warn", "mod_verto")]


def test_the_fuse_is_above_the_budget() -> None:
    said = "0 session(s) per Sec out of max 30, peak 0, last 5min 0 \n100 session(s) max\n"
    assert bad(switch.judge_limits("switch", said, 99, 28.9)) == []
    assert len(bad(switch.judge_limits("switch", said, 100, 28.9))) == 1
    # It counts every leg and admits N - 1.
    assert len(bad(switch.judge_limits("switch", said, 99, 29))) == 1


@pytest.mark.parametrize(
    ("said", "heard"), [("-1", True), ("400\n", True), ("0", False), ("", False), ("-ERR no reply\n", False)]
)
def test_a_switch_that_is_silent_when_idle_lets_no_agent_be_heard(said: str, heard: bool) -> None:
    assert bool(bad(switch.judge_idle("switch", said))) is not heard


@pytest.mark.parametrize(
    ("said", "heard"),
    [("-ERR Cannot locate session!\n", True), ("-ERR permission denied", False), ("-ERR no Command not found!\n", False)],
)
def test_a_switch_that_lets_the_relay_begin_with_no_voice_is_found(said: str, heard: bool) -> None:
    assert bool(bad(switch.judge_voice("switch", said))) is not heard


def test_passwords() -> None:
    assert bad(switch.judge_password("switch", "x" * 16, public_accepted=False)) == []
    assert bad(switch.judge_password("switch", "x" * 15, public_accepted=False))[0][0] == "warn"
    assert bad(switch.judge_password("switch", "x" * 16, public_accepted=True))[0][0] == "fail"


def test_who_listens_is_read_from_the_kernels_own_tables() -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
    loopback = "   0: 0100007F:1F55 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n"
    everywhere = "   1: 00000000:1F55 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n"
    elsewhere = "   2: 00000000:1F56 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n"
    connected = "   3: 0200000A:1F55 0300000A:9999 01 00000000:00000000 00:00000000 00000000     0\n"
    six = "   0: 00000000000000000000000000000000:1F55 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0\n"
    six_loopback = "   0: 00000000000000000000000001000000:1F55 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0\n"
    assert machine.listeners(8021, [head + loopback + elsewhere + connected, head + six_loopback]) == {"127.0.0.1", "::1"}
    assert bad(switch.judge_listeners("switch", {"127.0.0.1", "::1"}, 8021)) == []
    assert machine.listeners(8021, [head + everywhere, head + six]) == {"0.0.0.0", "::"}
    assert bad(switch.judge_listeners("switch", {"0.0.0.0"}, 8021))[0][0] == "fail"


def gateway(status: str, proxy: str = "203.0.113.7:5060") -> str:
    return f"<gateway>\n<proxy>sip:{proxy}</proxy>\n<status>{status}</status>\n</gateway>"


def test_gateways() -> None:
    one = Endpoint(new_uuid7(), new_uuid7(), "telco-1", "203.0.113.7:5060", True)
    two = dataclasses.replace(one, gateway="telco-2")

    def found(first: str, second: str) -> list[tuple[str, str]]:
        return bad(trunks.judge_gateways("switch", [one, two], {"telco-1": first, "telco-2": second}))

    assert found(gateway("UP"), gateway("UP")) == []
    assert [level for level, _ in found(gateway("DOWN"), gateway("UP"))] == ["warn"]
    assert [level for level, _ in found(gateway("DOWN"), gateway("DOWN"))] == ["warn", "warn", "fail"]
    assert [level for level, _ in found("Invalid Gateway!\n", gateway("UP"))] == ["fail"]
    assert [what for _, what in found(gateway("UP", "203.0.113.8:5060"), gateway("UP"))] == [
        "gateway telco-1 leads to 203.0.113.8:5060, the endpoint is 203.0.113.7:5060"
    ]
    assert bad(trunks.judge_gateways("switch", [], {}))[0][0] == "fail"


def test_network_lists() -> None:
    assert bad(trunks.judge_acl("switch", {"203.0.113.7": True}, stranger=False)) == []
    assert bad(trunks.judge_acl("switch", {"203.0.113.7": True}, stranger=True))[0][0] == "fail"
    assert bad(trunks.judge_acl("switch", {"203.0.113.7": False}, stranger=False))[0][0] == "warn"
    assert trunks.host("[2001:db8::1]:5060") == "2001:db8::1"


def test_an_address_behind_nat_is_told_to_carriers_outside() -> None:
    def profile(**values: str) -> str:
        return "".join(f"<{name.replace('_', '-')}>{value}</{name.replace('_', '-')}>" for name, value in values.items())

    inside = profile(context="inbound", sip_ip="10.0.0.2", rtp_ip="10.0.0.2")
    assert bad(trunks.judge_profile("switch", inside, ["10.0.0.9"])) == []
    assert len(bad(trunks.judge_profile("switch", inside, ["8.8.4.4"]))) == 2
    mapped = inside + profile(ext_sip_ip="8.8.8.8", ext_rtp_ip="8.8.8.8")
    assert bad(trunks.judge_profile("switch", mapped, ["8.8.4.4"])) == []
    assert bad(trunks.judge_profile("switch", "Invalid Profile!\n", []))[0][0] == "fail"
    assert len(bad(trunks.judge_profile("switch", profile(context="public", sip_ip="10.0.0.2"), []))) == 1


def test_calls_that_end_for_want_of_audio() -> None:
    rows = [checkup.Deaf("a", 1000, 19), checkup.Deaf("b", 1000, 20), checkup.Deaf("c", 2, 2)]
    assert [one.about for one in trunks.judge_audio(rows)] == ["carrier b"]


def test_the_file_system_of_a_directory() -> None:
    mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\ntmpfs /dev/shm\\040two ext4 rw 0 0\n"
    assert machine.file_system(pathlib.Path("/dev/shm/trunkline"), mounts) == "tmpfs"
    assert machine.file_system(pathlib.Path("/dev/shmx"), mounts) == "ext4"
    assert bad(machine.judge_playback("/x", "ext4", 1 << 30))[0][0] == "warn"
    assert bad(machine.judge_playback("/x", "tmpfs", 1 << 20))[0][0] == "warn"
    assert bad(machine.judge_playback("/x", "tmpfs", 1 << 30)) == []


def test_agents() -> None:
    agent = checkup.AgentAddress("acme", "sales", "wss://agent.example/x")
    assert bad(agents.judge_agents([(agent, "")])) == []
    [(level, what)] = bad(agents.judge_agents([(agent, "not reached: refused")]))
    assert level == "fail"
    assert what == "wss://agent.example/x: not reached: refused"


def test_switches() -> None:
    seen = [
        checkup.SwitchSeen("fs1", 1.0, False),
        checkup.SwitchSeen("fs2", 1.0, False),
        checkup.SwitchSeen("fs3", 60.0, False),
        checkup.SwitchSeen("fs4", None, False),
        checkup.SwitchSeen("fs5", 60.0, True),
    ]
    found = judge_switches(seen, "fs1")
    assert [(one.about[-3:], one.level.value) for one in found] == [
        ("fs2", "ok"),
        ("fs3", "fail"),
        ("fs4", "fail"),
        ("fs5", "warn"),
    ]


def test_a_tenant_without_rules_is_told_and_fails_where_its_calls_wait() -> None:
    from uuid import UUID

    from trunkline.doctor.rules import MOST, judge_tenants

    one, other = UUID(int=1), UUID(int=2)
    found = judge_tenants([(one, "acme"), (other, "idle")], {one: 12})
    assert [(finding.level, finding.about) for finding in found] == [("fail", "tenant acme"), ("warn", "tenant idle")]
    assert "12 calls wait" in found[0].what
    assert "trunkline tenants rules suggest acme" in found[0].remedy
    assert judge_tenants([], {}) == []
    many = judge_tenants([(UUID(int=n), f"t{n}") for n in range(MOST + 3)], {})
    assert len(many) == MOST + 1
    assert many[-1].what.startswith("3 more")


def test_a_setting_that_is_written_wrongly_is_found() -> None:
    well = [
        "TRUNKLINE_WEB_PORT",
        "TRUNKLINE_SECRET_ACME",
        "TRUNKLINE_API_KEY",
        "TRUNKLINE_AGENT_LISTEN",
        "PATH",
        "FREESWITCH_X",
    ]
    assert environment.judge_names(well) == []
    odd = environment.judge_names([*well, "TRUNKLINE_WEBPORT", "TRUNKLINE_ESL_PASWORD"])
    assert bad(odd) == [("warn", "sets TRUNKLINE_ESL_PASWORD, TRUNKLINE_WEBPORT, which nothing reads")]


def test_whatever_a_program_of_ours_reads_is_known() -> None:
    root = pathlib.Path(__file__).parents[2]
    rooms = ("agents", "budget", "calls", "controller", "jobs", "lab", "objects", "store", "trunkline", "web")
    files = [path for room in rooms for path in (root / room).rglob("*.py")]
    files += [*root.glob("*.py"), *root.glob("Procfile*")]
    named = {name for path in files for name in re.findall(r"(?<![A-Z_])TRUNKLINE_[A-Z0-9_]+", path.read_text())}
    assert len(named) > 20
    assert environment.judge_names(named) == []
