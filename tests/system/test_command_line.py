"""The command line on a real database: what it creates works, and every mistake is one clear line."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import psycopg
import pytest
from click.testing import CliRunner

from budget.scripts import VERSION
from calls.ids import parse_ref
from settings import get_settings
from trunkline import guests
from trunkline.cli import main
from trunkline.servers import Server


class Said(NamedTuple):
    """What a command printed, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Said]


@pytest.fixture
def trunkline(postgres_url: str) -> Iterator[Run]:
    """Runs `trunkline ARGS` against the module's database, in this process: to start one for each costs most of a second.
    That it runs as a program as well is seen by `up` below, and in test_why.
    """

    def run(*arguments: str, **environ: str) -> Said:
        get_settings.cache_clear()
        done = CliRunner().invoke(main, arguments, env={"DATABASE_URL": postgres_url, **environ})
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Said(done.exit_code, done.stdout, done.stderr)

    yield run
    get_settings.cache_clear()


def test_a_carrier_reaches_numbers(trunkline: Run) -> None:
    assert trunkline("create-tenant", "acme").returncode == 0
    key = trunkline("create-key", "acme").stdout.strip()
    assert key.startswith("tl_")
    agent = trunkline("create-agent", "acme", "greeter", "--url", "wss://agent.example.com/").stdout.strip()
    assert agent.startswith("agent_")
    assert trunkline("create-carrier", "telco", "--channels", "30", "--cps", "5").returncode == 0
    assert trunkline("create-endpoint", "telco", "telco_gw1", "192.0.2.10:5060").returncode == 0
    made = trunkline("create-route", "everywhere", "--prefix", "", "--carrier", "telco")
    assert made.stdout == "route everywhere: every number -> telco\n"


def test_a_trunk_is_named_shown_and_taken_away(trunkline: Run) -> None:
    trunkline("create-tenant", "trunked")
    trunkline("create-carrier", "pbx", "--channels", "10", "--cps", "2")
    made = trunkline("trunks", "set", "hq", "--carrier", "pbx", "--tenant", "trunked")
    assert (made.returncode, made.stdout) == (0, "trunk hq: by carrier pbx, for trunked alone\n")
    shown = json.loads(trunkline("trunks", "list", "--json").stdout)
    assert {"trunk": "hq", "tenant": "trunked", "carriers": "pbx"} in shown
    assert "for everybody" in trunkline("trunks", "set", "hq", "--carrier", "pbx", "--tenant", "all").stdout
    for wrong in (("set", "hq", "--carrier", "none", "--tenant", "all"), ("remove", "nowhere")):
        said = trunkline("trunks", *wrong)
        assert (said.returncode, said.stderr.count("\n")) == (1, 1), said
    assert trunkline("trunks", "remove", "hq").returncode == 0
    assert all(row["trunk"] != "hq" for row in json.loads(trunkline("trunks", "list", "--json").stdout))


def test_migrate_twice_does_nothing_the_second_time(trunkline: Run, postgres: Server) -> None:
    url = guests.create_database(postgres.url, "test")
    try:
        first = trunkline("migrate", DATABASE_URL=url)
        assert first.stdout.startswith("applied 0001_initial")
        assert trunkline("migrate", DATABASE_URL=url).stdout == "nothing to do\n"
    finally:
        guests.drop_database(postgres.url, url)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("create-key", "nobody"), "there is no tenant 'nobody': trunkline create-tenant nobody"),
        (("create-tenant", "Not A Name"), "name must be 1 to 63 lower-case letters"),
        (("create-agent", "x", "y"), "give one of --url, --audio, --number and --pool"),
        (("create-endpoint", "none", "gw", "192.0.2.1:5060"), "there is no carrier 'none'"),
        (("create-route", "r", "--prefix", "1", "--carrier", "none"), "there is no carrier 'none'"),
        (("trace", "call_nonsense"), "call_"),
        (("trace", "call_" + "0" * 32), "call_" + "0" * 32),
        (("up",), "TRUNKLINE_ESL_PASSWORD"),
        (("carriers", "set", "none", "--cps", "1"), "there is no carrier 'none': trunkline create-carrier none"),
        (("carriers", "set", "none"), "carriers set: nothing to change: give at least one option"),
        (("carriers", "set", "none", "--source-ip", "sip.example"), "source_ip: 'sip.example' is no literal"),
        (("carriers", "pause", "none"), "there is no carrier 'none'"),
        (("routes", "set", "r", "--prefix", "1", "--carrier", "none:1:1"), "there is no carrier 'none'"),
        (("routes", "remove", "none"), "there is no route 'none': see trunkline routes list"),
        (("tenants", "set", "nobody", "--weight", "2"), "there is no tenant 'nobody': trunkline create-tenant nobody"),
        (("tenants", "set", "x", "--webhook-url", "http://example.com/"), "--webhook-url: must be a https:// URL"),
        (("tenants", "set", "x", "--webhook-url", "https://127.0.0.1/"), "--webhook-url: must lead to a public address"),
        (("create-tenant", "x", "--webhook-url", "nonsense"), "--webhook-url: must be a https:// URL"),
        (("tenants", "cancel-queued", "nobody"), "there is no tenant 'nobody'"),
        (("scopes", "set", "planet:earth", "--cps", "1"), "scope must be global, account:<name>"),
        (("scopes", "set", "campaign:nobody:x", "--cps", "1"), "there is no tenant 'nobody'"),
        (("scopes", "set", "carrier:x", "--cps", "1"), "trunkline carriers set"),
        (("scopes", "remove", "agents:none"), "scope: 'agents:none' has no limits: see trunkline scopes list"),
    ],
)
def test_a_mistake_is_one_line(trunkline: Run, redis_url: str, arguments: tuple[str, ...], complaint: str) -> None:
    done = trunkline(*arguments, REDIS_URL=redis_url, TRUNKLINE_ESL_PASSWORD="")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("trunkline: ")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("carriers", "set", "x", "--cps", "nan"), "'--cps': 'nan' is no finite number"),
        (("carriers", "set", "x", "--channels", "none"), "'--channels': 'none' is not a valid integer"),
        (("tenants", "set", "x", "--max-queued", "some"), "'--max-queued': 'some' is not a valid integer"),
        (("routes", "set", "r", "--prefix", "1", "--carrier", "a:one"), "'a:one' is not carrier:tier:weight:price"),
    ],
)
def test_a_wrong_command_line_names_the_option(trunkline: Run, arguments: tuple[str, ...], complaint: str) -> None:
    done = trunkline(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"DATABASE_URL": "postgresql://127.0.0.1:1/none"}, "trunkline: DATABASE_URL: no connection to Postgres"),
        ({"TRUNKLINE_WEB_PORT": "99999"}, "trunkline: TRUNKLINE_WEB_PORT: Input should be less than or equal to 65535"),
        ({"DATABASE_URL": "mysql://localhost/calls"}, 'trunkline: DATABASE_URL: missing "=" after "mysql:'),
    ],
)
def test_a_bad_setting_is_one_line(trunkline: Run, environ: dict[str, str], complaint: str) -> None:
    done = trunkline("create-tenant", "late", **environ)
    assert done.returncode == 1
    assert done.stderr.startswith(complaint)
    assert done.stderr.count("\n") == 1


def test_what_a_carrier_allows_is_changed_one_number_at_a_time(trunkline: Run) -> None:
    assert trunkline("create-carrier", "north", "--channels", "30", "--cps", "5").returncode == 0
    assert trunkline("create-endpoint", "north", "north_gw", "192.0.2.20:5060", "--disabled").returncode == 0
    done = trunkline(
        "carriers", "set", "north", "--cps", "7.5", "--account", "acme", "--source-ip", "192.0.2.1", "--pdd", "35"
    )
    assert done.stdout == "carrier north: 30 channels, 7.5 CPS in 1000 ms, on\n"
    assert trunkline("carriers", "pause", "north").stdout.endswith("paused\n")
    assert trunkline("carriers", "set", "north", "--account", "none", "--bulk-floor", "0.2").returncode == 0
    (shown,) = [one for one in json.loads(trunkline("carriers", "list", "--json").stdout) if one["name"] == "north"]
    wanted = {"state": "paused", "channels": 30, "cps": 7.5, "account": None, "source_ip": "192.0.2.1", "bulk_floor": 0.2}
    assert {name: shown[name] for name in wanted} == wanted
    assert (shown["pdd_s"], shown["gateways"]) == (35, "north_gw (off)")
    assert trunkline("carriers", "resume", "north").stdout.endswith("on\n")
    heading, *lines = trunkline("carriers", "list").stdout.splitlines()
    assert heading.split()[:4] == ["name", "state", "channels", "cps"]
    (line,) = [line for line in lines if line.startswith("north ")]
    assert line[heading.index("source ip") :].split()[0] == "192.0.2.1"
    assert line[heading.index("account") :].split()[0] == "-"


def test_carriers_are_shown_at_work(trunkline: Run, redis_url: str) -> None:
    assert trunkline("create-carrier", "live", "--channels", "30", "--cps", "5").returncode == 0
    done = trunkline("carriers", "list", "--live", REDIS_URL=redis_url)
    assert done.returncode == 0, done.stderr
    heading, *lines = done.stdout.splitlines()
    assert heading.split()[:3] == ["name", "state", "in"]
    assert any(line.startswith("live ") for line in lines)


def test_routes_have_tiers_weights_and_prices(trunkline: Run) -> None:
    for name in ("east", "west"):
        assert trunkline("create-carrier", name, "--channels", "30", "--cps", "5").returncode == 0
    served = ("--carrier", "west:2:1", "--carrier", "east:1:10:0.0125")
    done = trunkline("routes", "set", "japan", "--prefix", "81", "--prefix", "8180", *served)
    assert done.stdout == "route japan: 81, 8180 -> east, west\n"
    rows = [row for row in json.loads(trunkline("routes", "list", "--json").stdout) if row["name"] == "japan"]
    assert [(row["prefix"], row["carrier"], row["tier"], row["weight"], row["price"]) for row in rows] == [
        (prefix, *rest) for prefix in ("81", "8180") for rest in (("east", 1, 10, 0.0125), ("west", 2, 1, None))
    ]
    assert trunkline("routes", "remove", "japan").returncode == 0
    assert "japan" not in trunkline("routes", "list").stdout


def test_a_tenants_bounds_and_the_end_of_its_queue(trunkline: Run) -> None:
    assert trunkline("create-tenant", "bounded").returncode == 0
    given = ("--weight", "3", "--channels", "8", "--cps", "1.5", "--max-queued", "500", "--requests-per-s", "20")
    assert trunkline("tenants", "set", "bounded", *given, "--webhook-url", "https://hooks.example.com/x").returncode == 0
    assert trunkline("tenants", "set", "bounded", "--cps", "none", "--max-queued", "none").returncode == 0
    assert trunkline("tenants", "pause", "bounded").stdout == "tenant bounded: weight 3, paused\n"
    canceled = trunkline("tenants", "cancel-queued", "bounded").stdout
    assert canceled.startswith("tenant bounded: 0 queued, all accepted until 20")
    (shown,) = [one for one in json.loads(trunkline("tenants", "list", "--json").stdout) if one["name"] == "bounded"]
    assert shown.pop("id")
    assert shown.pop("canceled_before").startswith("20")
    assert shown == {
        "name": "bounded", "state": "paused", "weight": 3, "channels": 8, "cps": None, "queued": 0, "max_queued": None,
        "requests_per_s": 20.0, "webhook_url": "https://hooks.example.com/x", "recording": "off",
        "recording_allowed": "any", "recording_days": None, "recording_notice": None,
    }  # fmt: skip
    assert trunkline("tenants", "resume", "bounded").stdout == "tenant bounded: weight 3, on\n"


def test_scopes_are_set_by_the_tenants_name(trunkline: Run) -> None:
    assert trunkline("create-tenant", "scoped").returncode == 0
    done = trunkline("scopes", "set", "campaign:scoped:spring", "--channels", "4", "--weight", "2")
    assert done.stdout.startswith("scope campaign:")
    assert done.stdout.endswith(":spring: 4 channels, any CPS in 1000 ms\n")
    assert trunkline("scopes", "set", "switch:fs1", "--cps", "30", "--channels", "none").returncode == 0
    rows = {row["scope"]: row for row in json.loads(trunkline("scopes", "list", "--json").stdout)}
    (campaign,) = [row for scope, row in rows.items() if scope.endswith(":spring")]
    assert (campaign["tenant"], campaign["channels"], campaign["cps"], campaign["weight"]) == ("scoped", 4, None, 2)
    assert (rows["switch:fs1"]["tenant"], rows["switch:fs1"]["cps"]) == (None, 30.0)
    assert trunkline("scopes", "remove", "campaign:scoped:spring").returncode == 0
    assert "spring" not in trunkline("scopes", "list").stdout


def test_a_database_without_tables_is_told_what_to_do(trunkline: Run, postgres: Server) -> None:
    url = guests.create_database(postgres.url, "test")
    try:
        assert trunkline("create-tenant", "early", DATABASE_URL=url).stderr == (
            "trunkline: the database has no tables yet: run 'trunkline migrate'\n"
        )
    finally:
        guests.drop_database(postgres.url, url)


def test_up_shows_every_line_behind_its_name_and_ends_on_sigterm(
    postgres_url: str, redis_url: str, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "Procfile").write_text("one: sh -c 'echo hello; exec sleep 60'\nother: sh -c 'echo gone; exit 3'\n")
    up = subprocess.Popen(
        [sys.executable, "-u", "-c", "from trunkline.cli import main; main()", "up"],
        cwd=tmp_path,
        env={**os.environ, "DATABASE_URL": postgres_url, "REDIS_URL": redis_url, "TRUNKLINE_ESL_PASSWORD": "secret"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wanted = {"one   | hello", "other | gone", "other | ended; starting it again"}
    try:
        assert up.stdout is not None
        while wanted:  # the test's own time limit ends it
            line = up.stdout.readline()
            assert line, "up ended"
            wanted.discard(line.rstrip())
        up.send_signal(signal.SIGTERM)
        assert up.wait(20) == 0
    finally:
        up.kill()
        up.communicate(timeout=10)


def test_what_an_operator_cannot_have_meant_is_refused_in_a_line(
    postgres_url: str, trunkline: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trunkline("create-tenant", "stopper").returncode == 0
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    get_settings.cache_clear()
    try:
        for line, said in {
            "kill --yes": "give one of --tenant, --agent, --carrier, --switch and --all",
            "kill --yes --all --tenant stopper": "give one of --tenant",
            "kill --yes --tenant nobody": "there is no tenant 'nobody'",
            "kill --yes --agent stopper": "--agent: give TENANT/AGENT",
            "kill --yes --agent stopper/bot": "tenant stopper has no agent 'bot'",
            "kill --yes --switch fs9": "there is no switch 'fs9'",
            "kill --yes --carrier none": "there is no carrier 'none'",
            "kill --yes --carrier none --cancel-queued": "belongs to no switch or carrier yet",
            "drain fs9": "there is no switch 'fs9': trunkline why lists those that were ever seen",
            "undrain fs9": "there is no switch 'fs9'",
            "agents pause stopper bot": "see trunkline agents list stopper",
        }.items():
            done = CliRunner().invoke(main, line.split())
            assert (done.exit_code, done.stdout) == (1, ""), line
            assert said in done.stderr, line
            assert done.stderr.count("\n") == 1
    finally:
        get_settings.cache_clear()


def test_a_kill_asks_first(trunkline: Run) -> None:
    trunkline("create-tenant", "asked")
    done = trunkline("kill", "--tenant", "asked")  # nobody there to say yes
    assert done.returncode == 1
    assert "Hang up 0 live calls of tenant asked" in done.stdout
    (row,) = [one for one in json.loads(trunkline("tenants", "list", "--json").stdout) if one["name"] == "asked"]
    assert row["state"] == "on"


def test_an_agent_is_paused_and_resumed(trunkline: Run) -> None:
    trunkline("create-tenant", "voices")
    made = trunkline("create-agent", "voices", "bot", "--url", "wss://agent.example.com/").stdout.strip()
    for command, state in (("pause", "paused"), ("resume", "on")):
        assert trunkline("agents", command, "voices", "bot").stdout == f"agent voices/bot: {state}\n"
        (row,) = json.loads(trunkline("agents", "list", "voices", "--json").stdout)
        assert (row["name"], row["state"], row["held"]) == ("bot", state, 0)
        assert row["id"] == made, "as the API takes it"


def test_an_agent_has_all_at_the_terminal_that_the_api_gives_it(
    trunkline: Run, postgres_url: str, tmp_path: pathlib.Path
) -> None:
    trunkline("create-tenant", "whole")
    trunkline("pools", "set", "desk-pool")
    trunkline("create-carrier", "pbx2", "--channels", "10", "--cps", "2")
    trunkline("trunks", "set", "hq2", "--carrier", "pbx2", "--tenant", "whole")
    body, made = tmp_path / "agent.json", {}
    fallback = {"action": "transfer", "to": "+442079460123"}
    wide = {"greeting": {"audio": "hello.wav"}, "fallback": fallback, "sample_rate": 16000}
    for name, options, given in (
        ("wide", ("--url", "wss://agent.example.com/"), wide),
        ("seated", (), {"pool": "desk-pool", "seat_policy": "at_answer", "name": "seated", **wide}),
        ("behind", ("--number", "+442079460123"), {"trunk": "hq2", "user": "200", "transfer_to": ["+4420*"]}),
    ):
        body.write_text(json.dumps(given))
        said = trunkline("create-agent", "whole", name, *options, "--body", str(body))
        assert said.returncode == 0, said
        made[name] = parse_ref("agent", said.stdout.strip())
    with psycopg.connect(postgres_url) as conn:
        sql = "SELECT kind, greeting, fallback, sample_rate, pool, seat_policy, trunk, trunk_user FROM agents WHERE id = %s"
        had = {name: conn.execute(sql, (id_,)).fetchone() for name, id_ in made.items()}
    everything = (wide["greeting"], fallback, 16000)
    assert had == {
        "wide": ("websocket", *everything, None, None, None, None),
        "seated": ("fleet", *everything, "desk-pool", "at_answer", None, None),
        "behind": ("sip", None, None, 8000, None, None, "hq2", "200"),
    }
    assert trunkline("create-agent", "whole", "pooled", "--pool", "desk-pool").returncode == 0
    for given, options, complaint in (
        (
            {**wide, "protocol": "twilio"},
            ("--url", "wss://a.example.com/"),
            "sample_rate: must be 8000 with protocol twilio",
        ),
        ({"greting": {}}, ("--audio", "a.wav"), "greting: is not known here"),
        ({"name": "other"}, ("--audio", "a.wav"), "name is 'refused' here, and another in the body"),
        ({"url": "ws://127.0.0.1/"}, (), "url: must be a wss:// URL"),
        ({"pool": "nobodys"}, (), "pool: there is no such pool"),
        ({"kind": "sip"}, (), "number: is required for kind sip"),
        ([], (), "the body: must be an object"),
    ):
        body.write_text(json.dumps(given))
        said = trunkline("create-agent", "whole", "refused", *options, "--body", str(body))
        assert (said.returncode, said.stderr.count("\n"), complaint in said.stderr) == (1, 1, True), said
    body.write_text('{"url": 1, "url": 2}')
    assert "appears twice" in trunkline("create-agent", "whole", "refused", "--body", str(body)).stderr
    for data, complaint in (
        (b'{"url": "wss://a.example.com/"}'.ljust(get_settings().max_body_bytes + 1), "max_body_bytes"),
        (b'{"url": "wss://\xff"}', "not UTF-8 at byte 15"),
    ):
        body.write_bytes(data)
        said = trunkline("create-agent", "whole", "refused", "--body", str(body))
        assert (said.returncode, said.stderr.count("\n"), complaint in said.stderr) == (1, 1, True), said


def test_migrations_in_two_steps(trunkline: Run) -> None:
    for option in ("--pre", "--post"):
        assert trunkline("migrate", option).stdout == "nothing to do\n"


def test_the_budget_is_taken_only_where_another_version_has_it(trunkline: Run, postgres_url: str) -> None:
    trunkline("take-budget", "--yes")
    assert "already" in trunkline("take-budget", "--yes").stdout
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute("UPDATE budget_epoch SET scripts = 99")
        assert "the budget is closed" in trunkline("take-budget", "--yes").stdout
        assert conn.execute("SELECT scripts, opened_at FROM budget_epoch").fetchone() == (VERSION, None)
