"""trunkline carriers on a house at work: set, endpoint, preview, render, apply, diff, test-call."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from settings import get_settings
from tests.system.conftest import CHECKOUT
from tests.system.switch_words import ask
from trunkline.children import wait_until
from trunkline.cli import main
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = pytest.mark.system

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A carrier that calls go to, and another that nobody has been told of."""
    labs = [LabCarrier("lab_a", 20, 10), LabCarrier("beta", 20, 10)]
    with Stack(CHECKOUT, labs, [Route("all", ("",), ("lab_a",))], private=True) as running:
        yield running


@pytest.fixture
def trunkline(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """``trunkline("carriers", "list")`` beside the house, in this process: starting one takes longer than what it does."""
    monkeypatch.setenv("DATABASE_URL", stack.database_url)
    monkeypatch.setenv("REDIS_URL", stack.redis_url)
    get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(main, arguments)
    get_settings.cache_clear()


def test_a_carrier_is_added_tried_and_edited(stack: Stack, trunkline: Run, tmp_path: pathlib.Path) -> None:
    none = trunkline("create-carrier", "acme", "--channels", "0", "--cps", "2")
    assert (none.exit_code, "channels 0 is none" in none.stderr, "--cps N" in none.stderr) == (0, True, False)
    assert "--cps N" in trunkline("carriers", "set", "acme", "--channels", "5", "--cps", "0").stderr
    some = trunkline("create-carrier", "acme", "--channels", "5", "--cps", "2")
    assert (some.exit_code, some.stderr) == (0, "")
    made = trunkline(
        "carriers", "set", "acme", "--number-format", "digits", "--tech-prefix", "7*", "--codecs", "pcma,pcmu",
        "--reject", "503:cps:calls per second", "--reject", "*:blocked:spam", "--ping", "5",
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    done = trunkline("carriers", "endpoint", "acme", "e1", stack.carrier_addresses["beta"])
    assert done.stdout.endswith("now: trunkline carriers apply\n"), done.stderr
    shown = json.loads(trunkline("carriers", "show", "acme", "--json").stdout)
    assert shown["reject_texts"][1] == {"code": None, "text": "spam", "class": "blocked"}
    assert (shown["tech_prefix"], shown["codecs"]) == ("7*", ["PCMA", "PCMU"])
    assert "tech prefix" not in trunkline("carriers", "show", "acme").stderr

    preview = trunkline("carriers", "preview", "acme", "+12125550109", "--from", "+12025550100").stdout
    assert "is written 7*12125550109" in preview
    assert "route       all, which acme does not serve" in preview
    assert f"INVITE      sip:7*12125550109@{stack.carrier_addresses['beta']}" in preview
    assert "sofia/gateway/acme-e1-v1/7*12125550109 &park()" in preview
    assert 'P-Asserted-Identity: "+12025550100"' in preview

    rendered = trunkline("carriers", "render").stdout
    assert rendered == trunkline("carriers", "render").stdout
    assert '<gateway name="acme-e1-v1">' in rendered
    missing = trunkline("carriers", "diff")
    assert missing.exit_code == 0, "rendered is not planned: nothing was to be there yet"
    applied = trunkline("carriers", "apply")
    assert (applied.exit_code, applied.stdout) == (
        0,
        "acme-e1-v1 -> " + stack.carrier_addresses["beta"] + "\nfs1: as it should be\n",
    )
    assert trunkline("carriers", "render", "--to", str(tmp_path / "out")).exit_code == 0
    beside = pathlib.Path(stack.places[0].gateways) / "acme-e1-v1.xml"
    assert (tmp_path / "out" / "acme-e1-v1.xml").read_text() == beside.read_text()

    account = stack.account("acme")
    stack.reference_agent(account, "greeter")
    who = ("--tenant", "acme", "--agent", "greeter", "--from", "+12025550100")
    answered = trunkline("carriers", "test-call", "acme", "+12125550109", *who)
    assert answered.exit_code == 0, answered.stdout + answered.stderr
    assert "acme-e1-v1" in answered.stdout
    assert answered.stdout.endswith("completed: hangup\n")
    busy = trunkline("carriers", "test-call", "acme", "+12125550101", *who)
    assert busy.exit_code == 1
    assert "SIP 486 Busy Here" in busy.stdout
    ways = {line.split()[0]: line.split()[1] for line in trunkline("routes", "list").stdout.splitlines()[1:]}
    (own,) = [name for name in ways if name.startswith("trial-acme-")]
    assert ways[own].startswith("0"), "no number leads to the route of its own"


def test_drift_is_shown_and_mended(stack: Stack, trunkline: Run) -> None:
    (gateway,) = [path.stem for path in pathlib.Path(stack.places[0].gateways).glob("lab_a-*.xml")]
    assert ask(stack, f"sofia profile carriers killgw {gateway}").startswith("+OK")
    shown = trunkline("carriers", "diff", "--json")
    assert shown.exit_code == 1
    assert [(one["switch"], one["gateway"], one["what"]) for one in json.loads(shown.stdout)] == [
        ("fs1", gateway, "missing")
    ]
    assert trunkline("carriers", "apply").exit_code == 0
    assert trunkline("carriers", "diff").stdout == "fs1: as it should be\n"
    wait_until("the gateway to be there", lambda: "UP" in ask(stack, f"sofia xmlstatus gateway {gateway}"), timeout_s=60)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("carriers", "endpoint", "none", "e1", "192.0.2.1:5060"), "there is no carrier 'none'"),
        (
            ("carriers", "endpoint", "lab_a", "e1", "sip.example:5060"),
            "address: 'sip.example:5060' must be a literal",
        ),
        (("carriers", "endpoint", "lab_a", "e1"), "give its ADDRESS"),
        (("carriers", "endpoint", "lab_a", "none", "--remove"), "carrier lab_a has no endpoint 'none'"),
        (("carriers", "show", "none"), "there is no carrier 'none'"),
        (("carriers", "set", "lab_a", "--auth", "digest"), "digest must be complete: username, secret_env"),
        (
            ("carriers", "set", "lab_a", "--secret-env", "DATABASE_URL"),
            "secret_env must be the name of an",
        ),
        (("carriers", "set", "lab_a", "--number-format", "national"), "national must be with country_code"),
        (("carriers", "set", "lab_a", "--reject", "503:slow:x"), "class must be one of cps, channels, outage"),
        (("carriers", "set", "lab_a", "--codecs", "G729"), "codecs must be PCMU, PCMA or both"),
        (("carriers", "preview", "lab_a", "911"), "emergency number"),
        (("carriers", "render", "--passwords"), "--passwords: only with --to"),
        (("carriers", "apply", "--renew", "none"), "there is no carrier 'none'"),
        (
            ("carriers", "test-call", "lab_a", "+12125550109", "--tenant", "x", "--agent", "y", "--from", "+12025550100"),
            "there is no tenant 'x'",
        ),
    ],
)
def test_a_mistake_is_one_line(trunkline: Run, arguments: tuple[str, ...], complaint: str) -> None:
    done = trunkline(*arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
