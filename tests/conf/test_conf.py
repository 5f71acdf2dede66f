"""freeswitch/conf: what a switch would read of it, by itself and against Trunkline's own settings."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import pytest

from controller import esl_wire
from lab.switch.config import MODULES
from lab.switch.directory import read_users
from settings import Settings

from .preprocess import CONF, LOG_DIR, ROOT, Loaded, load, params

PASSWORD = "x" * 8 + "-" + "Y" * 7
PASSWORDS = ("FREESWITCH_ESL_PASSWORD", "FREESWITCH_TRUNKLINE_PASSWORD", "FREESWITCH_CDR_PASSWORD")
FILES = sorted([*CONF.rglob("*.xml"), *(ROOT / "dialplan").rglob("*.xml")])
#: What nobody may reach through a dial string, the dialplan or the event socket.
SHELLS = frozenset(
    [
        "system",
        "bg_system",
        "bgsystem",
        "spawn",
        "bg_spawn",
        "spawn_stream",
        "load",
        "unload",
        "reload",
        "global_setvar",
        "set_global",
        "socket",
        "eval",
        "expand",
        "sched_api",
        "bgapi",
        "getenv",
        "mkdir",
        "rename",
        "xml_wrap",
        "lua",
        "shutdown",
    ]
)
#: What may stand between a comment and the values it is about.
BETWEEN = ("<X-PRE", "<settings", "<modules", "<mappings", "</mappings", "<gateway ", "<params")


@pytest.fixture(scope="module")
def conf() -> Loaded:
    """With nothing but the passwords set."""
    return load(dict.fromkeys(PASSWORDS, PASSWORD))


@pytest.fixture(scope="module")
def defaults() -> Settings:
    return Settings(_env_file=None)


# --- the files ---------------------------------------------------------------------------------------------------------


def test_it_is_xml_also_with_no_variable_at_all() -> None:
    sections = [section.get("name") for section in load().root.iterfind("section")]
    assert sections == ["configuration", "directory", "dialplan"]


def blocks(file: Path) -> list[tuple[str, int]]:
    """(what is above a run of values, how many values the run has). Comments count as one line."""
    text = re.sub(r"<!--.*?-->", lambda found: "COMMENT", file.read_text(), flags=re.DOTALL)
    found: list[tuple[str, int]] = []
    above = ""
    for line in text.splitlines():
        line = line.strip()
        if line.startswith(("<param ", "<load ", "<map ")):
            if found and not above:
                found[-1] = (found[-1][0], found[-1][1] + 1)
            else:
                found.append((above, 1))
            above = ""
        elif line and not line.startswith(BETWEEN):
            above = line
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_comment_stands_over_every_value(file: Path) -> None:
    assert [block for block in blocks(file) if block[0] != "COMMENT" or block[1] > 4] == []


def test_every_variable_is_described_with_its_default() -> None:
    described = dict(re.findall(r"^      (FREESWITCH_[A-Z_]+) +(.+)$", (CONF / "vars.xml").read_text(), re.MULTILINE))
    taken = set(re.findall(r"(FREESWITCH_[A-Z_]+)", "".join(re.findall(r"<X-PRE.*", "".join(f.read_text() for f in FILES)))))
    assert set(described) == taken
    plain = load(dict.fromkeys(PASSWORDS, PASSWORD)).variables
    for name, default in described.items():
        if name in PASSWORDS:
            assert default.startswith("no default")
            continue
        short = name.removeprefix("FREESWITCH_").lower()
        said = (
            default.replace("<SIP_IP>", "127.0.0.1")
            .replace("<RTP_IP>", "127.0.0.1")
            .replace("<conf dir>", str(CONF))
            .replace("<log dir>", LOG_DIR)
        )
        value = plain[{"idle_noise": "send_silence_when_idle"}.get(short, short)]
        assert said.startswith(value), name


# --- secrets -----------------------------------------------------------------------------------------------------------


def test_no_password_is_in_the_tree() -> None:
    for file in FILES:
        for name, value in re.findall(
            r'name="([^"]*(?:password|passphrase|secret|cred)[^"]*)" value="([^"]*)"', file.read_text()
        ):
            assert re.fullmatch(r"(\$\$\{[a-z_]+\}:?)+", value), f"{file}: {name}"
        assert "ClueCon" not in file.read_text()


def test_passwords_reach_their_places_and_stay_in_no_variable(conf: Loaded) -> None:
    assert conf.settings("event_socket")["password"] == PASSWORD
    assert conf.settings("json_cdr")["cred"] == f"freeswitch:{PASSWORD}"
    users = {u.get("id"): params(u, "./params/param") for u in conf.root.iter("user")}
    assert {name: user["esl-password"] for name, user in users.items()} == {"controller": PASSWORD, "relay": PASSWORD}
    assert [name for name, value in conf.variables.items() if PASSWORD in value] == []


@pytest.mark.parametrize(
    "bad", [None, "", "short", "has space in it 0000", "quote\"'0123456789ab", "line\nfeed0123456789abc"]
)
def test_without_an_acceptable_password_nobody_comes_in(bad: str | None) -> None:
    conf = load({} if bad is None else dict.fromkeys(PASSWORDS, bad))
    with pytest.raises(ValueError):
        ipaddress.ip_address(conf.settings("event_socket")["listen-ip"])
    assert [params(u, "./params/param")["esl-password"] for u in conf.root.iter("user")] == ["", ""]
    assert conf.settings("json_cdr")["url"] == ""


# --- modules, commands, applications -----------------------------------------------------------------------------------


def applications() -> set[str]:
    """Those the dialplan names and those our code sends."""
    dialplan = load().root.findall("./section[@name='dialplan']//*[@application]")
    named = {action.get("application", "") for action in dialplan}
    for action in dialplan:
        named |= set(re.findall(r"^execute_on_[a-z_0-9]+=([a-z_]+)", action.get("data", "")))
    code = "".join(file.read_text() for file in (ROOT / "controller").rglob("*.py"))
    named |= set(re.findall(r"execute-app-name: ([a-z_]+)", code))
    named |= set(re.findall(r"execute_on_answer='([a-z_]+)", code))
    return named | set(re.findall(r"&([a-z_]+)\(", code))


def test_only_modules_that_something_here_needs() -> None:
    loaded = {m.get("module") for m in load().section("modules").iter("load")}
    text = "".join(file.read_text() for room in ("controller", "settings.py", "agents") for file in python(room))
    dialplan = "".join(file.read_text() for file in (ROOT / "dialplan").glob("*.xml"))
    needed = {
        "mod_console": (CONF / "autoload_configs" / "console.conf.xml").exists(),
        "mod_logfile": (CONF / "autoload_configs" / "logfile.conf.xml").exists(),
        "mod_json_cdr": "cdr_spool" in text,
        "mod_event_socket": "esl_port" in text,
        "mod_commands": "api uuid_exists" in text,
        "mod_hash": "api hash insert" in text and "limit" in dialplan,
        "mod_dptools": bool(applications()),
        "mod_dialplan_xml": "<context" in dialplan,
        "mod_sofia": "sofia/gateway/" in text,
        "mod_sndfile": ".wav" in text,
        "mod_audio_fork": "uuid_audio_fork" in text,
        "mod_tone_stream": "tone_stream:" in text + dialplan or "gentones" in dialplan,
        "mod_native_file": ".PCMU" in text or ".PCMA" in text,
        "mod_local_stream": "local_stream:" in text + dialplan,
    }
    assert loaded == {name for name, wanted in needed.items() if wanted}
    assert loaded == MODULES  # of the simulated switch


def python(room: str) -> list[Path]:
    place = ROOT / room
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def allowed(kind: str) -> dict[str, str]:
    """name -> module of what interface-allowlist lets in."""
    names = [a.get("name", "").split(".") for a in load().section("switch").iterfind("./interface-allowlist/allow")]
    whole = {"mod_audio_fork": {"api": "uuid_audio_fork"}}
    found = {name[1]: name[0] for name in names if len(name) == 3 and name[2] == kind}
    found |= {whole[name[0]][kind]: name[0] for name in names if len(name) == 1 and kind in whole[name[0]]}
    assert all(len(name) in (1, 3) for name in names)
    return found


def test_the_switch_knows_every_command_and_application_of_ours() -> None:
    ours = {word.decode() for word in esl_wire._APIS}
    users = {word for user in read_users("-").values() for word in user.api or ()}
    assert users <= ours <= set(allowed("api"))
    assert applications() <= set(allowed("app"))


def test_the_switch_knows_no_way_to_a_shell_or_to_another_module() -> None:
    assert not SHELLS & (set(allowed("api")) | set(allowed("app")))


def test_what_is_allowed_is_in_a_module_that_is_loaded(conf: Loaded) -> None:
    loaded = {m.get("module") for m in conf.section("modules").iter("load")}
    assert set(allowed("api").values()) | set(allowed("app").values()) <= loaded


# --- values ------------------------------------------------------------------------------------------------------------


def test_timers_are_those_that_trunkline_counts_with(conf: Loaded, defaults: Settings) -> None:
    profile = params(conf.profile, "./settings/param")
    t1, t2, t4, death = (int(profile[name]) for name in ("timer-T1", "timer-T2", "timer-T4", "timer-T1X64"))
    assert death == defaults.sip_death_s * 1000  # a permit is held so long
    assert t1 < t2 < t4 < death < defaults.pdd_s * 1000
    assert int(conf.settings("switch")["event-heartbeat-interval"]) <= defaults.heartbeat_interval_s
    assert int(profile["session-timeout"]) >= 1800 >= int(profile["minimum-session-expires"]) >= 90
    assert int(conf.variables["media_timeout"]) >= 60_000
    assert int(conf.variables["media_hold_timeout"]) >= int(conf.variables["media_timeout"])


def test_what_both_sides_have_to_know_is_the_same_on_both(conf: Loaded, defaults: Settings) -> None:
    assert conf.settings("event_socket")["listen-port"] == str(defaults.esl_port)
    assert conf.settings("event_socket")["listen-ip"] == defaults.esl_host
    assert conf.settings("json_cdr")["url"] == defaults.cdr_url
    assert conf.variables["cdr_user"] == defaults.cdr_user
    assert conf.variables["playback_dir"] == defaults.relay_audio_dir
    assert conf.settings("json_cdr")["err-log-dir"] == f"{LOG_DIR}/cdr"


def test_the_fuses_are_no_limits_and_every_session_has_its_ports(conf: Loaded) -> None:
    switch = conf.settings("switch")
    ports = int(switch["rtp-end-port"]) - int(switch["rtp-start-port"]) + 1
    assert int(switch["max-sessions"]) * 2 <= ports
    carriers = load({"FREESWITCH_MAX_SESSIONS": "5000", "FREESWITCH_MAX_CPS": "400"}).settings("switch")
    assert (carriers["max-sessions"], carriers["sessions-per-second"]) == ("5000", "400")


def test_nobody_unknown_may_call(conf: Loaded) -> None:
    profile = params(conf.profile, "./settings/param")
    assert (profile["auth-calls"], profile["auth-calls-acl-only"], profile["log-auth-failures"]) == ("true",) * 3
    (acl,) = conf.section("acl").iterfind(f"./network-lists/list[@name='{profile['apply-inbound-acl']}']")
    assert acl.get("default") == "deny"
    assert [(node.get("type"), node.get("cidr")) for node in acl] == [("allow", "127.0.0.1/32")]  # the lab
    assert not [name for name in profile if name.startswith(("accept-blind", "apply-proxy", "apply-register", "ws", "odbc"))]
    contexts = {c.get("name") for c in conf.root.iterfind("./section[@name='dialplan']/context")}
    assert profile["context"] in contexts


def test_no_second_invite_is_sent_by_the_switch_itself(conf: Loaded) -> None:
    profile = params(conf.profile, "./settings/param")
    assert conf.variables["outbound_redirect_fatal"] == "true"
    assert (profile["disable-srv"], profile["disable-naptr"], profile["disable-transfer"]) == ("true",) * 3


def test_the_labs_gateways_and_addresses_go_with_their_directory(tmp_path: Path) -> None:
    (tmp_path / "acl").mkdir()
    (tmp_path / "acl" / "carriers.xml").write_text('<include>\n  <node type="allow" cidr="192.0.2.1/32"/>\n</include>\n')
    (tmp_path / "telco_1.xml").write_text(
        '<include>\n<gateway name="telco_1">\n<param name="proxy" value="192.0.2.1:5060"/>\n</gateway>\n</include>\n'
    )
    conf = load({"FREESWITCH_GATEWAY_DIR": str(tmp_path)})
    assert [g.get("name") for g in conf.profile.iterfind("./gateways/gateway")] == ["telco_1"]
    assert [node.get("cidr") for node in conf.section("acl").iter("node")] == ["192.0.2.1/32"]


def test_transports_nat_capture_and_idle_noise_are_switched_by_variables() -> None:
    plain = params(load().profile, "./settings/param")
    assert (plain["bind-params"], plain["tls"], plain["sip-capture"]) == ("transport=udp,tcp", "false", "no")
    assert (plain["ext-sip-ip"], plain["ext-rtp-ip"]) == ("127.0.0.1", "127.0.0.1")
    conf = load(
        {
            "FREESWITCH_SIP_TRANSPORT": "udp",
            "FREESWITCH_TLS": "true",
            "FREESWITCH_TLS_VERIFY": "none",
            "FREESWITCH_HEP": "yes",
            "FREESWITCH_HEP_SERVER": "udp:192.0.2.9:9060;hep=3;capture_id=7",
            "FREESWITCH_SIP_IP": "10.0.0.4",
            "FREESWITCH_EXT_SIP_IP": "198.51.100.4",
            "FREESWITCH_IDLE_NOISE": "400",
        }
    )
    profile = params(conf.profile, "./settings/param")
    assert (profile["bind-params"], profile["tls"], profile["tls-verify-policy"]) == ("transport=udp", "true", "none")
    assert (profile["sip-ip"], profile["ext-sip-ip"], profile["sip-capture"]) == ("10.0.0.4", "198.51.100.4", "yes")
    capture = params(conf.section("sofia"), "./global_settings/param")["capture-server"]
    assert capture == "udp:192.0.2.9:9060;hep=3;capture_id=7"
    assert conf.variables["send_silence_when_idle"] == "400"


def test_the_users_of_the_directory_are_those_that_the_documents_name() -> None:
    assert set(read_users("-")) == {"controller@trunkline", "relay@trunkline"}
