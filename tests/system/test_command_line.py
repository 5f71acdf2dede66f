"""The command line on a real database: what it creates works, and every mistake is one clear line."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from trunkline import guests
from trunkline.servers import Server

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def trunkline(postgres_url: str) -> Run:
    """Runs `trunkline ARGS` as a process of its own against the module's database."""

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from trunkline.cli import main; main()", *arguments],
            env={**os.environ, "DATABASE_URL": postgres_url, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


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
        (("create-agent", "x", "y"), "give either --url or --audio"),
        (("create-endpoint", "none", "gw", "192.0.2.1:5060"), "there is no carrier 'none'"),
        (("create-route", "r", "--prefix", "1", "--carrier", "none"), "there is no carrier 'none'"),
        (("trace", "call_nonsense"), "call_"),
        (("trace", "call_" + "0" * 32), "call_" + "0" * 32),
        (("up",), "TRUNKLINE_ESL_PASSWORD"),
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
    ("environ", "complaint"),
    [
        ({"DATABASE_URL": "postgresql://127.0.0.1:1/none"}, "trunkline: DATABASE_URL: no connection to Postgres"),
        ({"TRUNKLINE_WEB_PORT": "99999"}, "trunkline: web_port: Input should be less than or equal to 65535"),
    ],
)
def test_a_bad_setting_is_one_line(trunkline: Run, environ: dict[str, str], complaint: str) -> None:
    done = trunkline("create-tenant", "late", **environ)
    assert done.returncode == 1
    assert done.stderr.startswith(complaint)
    assert done.stderr.count("\n") == 1


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
