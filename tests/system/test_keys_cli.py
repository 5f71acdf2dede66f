"""trunkline keys, operator-keys: as the API takes what they print; and every change of the command line is noted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from settings import Settings, get_settings
from store import keys, operator_keys
from store.pool import Database, open_database
from trunkline.cli import main

Run = Callable[..., Result]


@pytest.fixture
def trunkline(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs `trunkline ARGS` in this process, on the module's database."""
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(main, arguments)
    get_settings.cache_clear()


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    with open_database(Settings.model_validate({"database_url": postgres_url}), "test", cooperative=False, wait_s=60) as db:
        yield db


def test_keys_are_made_rotated_listed_and_revoked(trunkline: Run, database: Database) -> None:
    assert trunkline("create-tenant", "acme").exit_code == 0
    options = ("--name", "ci", "--scope", "calls:read", "--scope", "limits:read", "--ip", "203.0.113.0/24", "--days", "30")
    first = trunkline("keys", "create", "acme", *options).stdout.strip()
    given = keys.parse_key(first)
    assert given is not None
    found = keys.authenticate(database, given, datetime.now(UTC))
    assert found is not None
    assert (found[1].scopes, [str(net) for net in found[1].allowed_ips or []]) == (
        {"calls:read", "limits:read"}, ["203.0.113.0/24"],
    )  # fmt: skip
    again = trunkline("keys", "create", "acme", *options)
    assert (again.exit_code, again.stderr.count("\n")) == (1, 1)
    assert "rotate it" in again.stderr
    second = trunkline("keys", "rotate", "acme", f"tl_{given.prefix}", "--old-hours", "0").stdout.strip()
    assert keys.authenticate(database, given, datetime.now(UTC)) is None
    new = keys.parse_key(second)
    assert new is not None
    after = keys.authenticate(database, new, datetime.now(UTC))
    assert after is not None
    assert (after[1].scopes, after[1].allowed_ips) == (found[1].scopes, found[1].allowed_ips)
    shown = trunkline("keys", "list", "acme", "--json")
    rows = json.loads(shown.stdout)
    assert [(row["prefix"], row["status"]) for row in rows] == [
        (f"tl_{given.prefix}", "expired"), (f"tl_{new.prefix}", "active"),
    ]  # fmt: skip
    for text in (first, second):
        assert text.rsplit("_", 1)[1] not in shown.stdout + trunkline("keys", "list", "acme").stdout
    assert trunkline("keys", "revoke", second).stdout == f"tl_{new.prefix}_... is revoked\n"
    assert keys.authenticate(database, new, datetime.now(UTC)) is None
    gone = trunkline("revoke-key", new.prefix)
    assert (gone.exit_code, gone.stderr.count("\n")) == (1, 1)
    assert "is in force" in gone.stderr


def test_a_test_key_and_the_laboratory_it_needs(trunkline: Run) -> None:
    trunkline("create-tenant", "tester")
    plaintext = trunkline("keys", "create", "tester", "--test").stdout.strip()
    assert plaintext.startswith("tl_test_")
    rows = json.loads(trunkline("keys", "list", "tester", "--json").stdout)
    assert [(row["mode"], row["scopes"]) for row in rows] == [("test", "agents:read calls:read calls:write limits:read")]
    for _ in range(2):
        done = trunkline("lab", "setup", "--address", "127.0.0.1:5090")
        assert (done.exit_code, "carriers apply" in done.stdout) == (0, True)
    routes = json.loads(trunkline("routes", "list", "--json").stdout)
    assert [(one["name"], one["carrier"]) for one in routes if one["carrier"] == "test"] == [("test", "test")]
    refused = trunkline("routes", "set", "people", "--prefix", "1", "--carrier", "test")
    assert (refused.exit_code, "takes calls of test keys alone" in refused.stderr) == (1, True)


def test_operator_keys_are_made_listed_and_revoked(trunkline: Run, database: Database) -> None:
    plaintext = trunkline("operator-keys", "create", "alice", "--ip", "192.0.2.7").stdout.strip()
    given = operator_keys.parse_key(plaintext)
    assert given is not None
    assert keys.parse_key(plaintext) is None
    found = operator_keys.authenticate(database, given, datetime.now(UTC))
    assert found is not None
    assert (found.name, [str(net) for net in found.allowed_ips or []]) == ("alice", ["192.0.2.7/32"])
    shown = trunkline("operator-keys", "list", "--json").stdout
    assert [(row["prefix"], row["status"]) for row in json.loads(shown)] == [(f"tlo_{given.prefix}", "active")]
    assert plaintext.rsplit("_", 1)[1] not in shown
    assert trunkline("operator-keys", "revoke", plaintext).exit_code == 0
    assert operator_keys.authenticate(database, given, datetime.now(UTC)) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("keys create nobody", "there is no tenant 'nobody'"),
        ("keys create known --ip 10.0.0.1/24", "give a CIDR whose host bits are 0"),
        ("keys create known --test --scope keys:manage", "a test key has some of calls:read"),
        ("lab setup --address example.com:5060", "address"),
        ("keys rotate known nosuchprefix", "has no key 'nosuchprefix'"),
        ("keys revoke nosuchprefix", "no key with the prefix 'nosuchprefix' is in force"),
        ("operator-keys create Alice", "name must be 1 to 63 lower-case letters"),
        ("operator-keys revoke nosuchprefix", "no operator's key with the prefix"),
    ],
)
def test_mistakes_are_one_clear_line(trunkline: Run, line: str, said: str) -> None:
    trunkline("create-tenant", "known")
    done = trunkline(*line.split())
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert said in done.stderr


def test_every_change_of_the_command_line_is_noted(trunkline: Run, monkeypatch: Any) -> None:
    lines: list[tuple[str, str, str]] = []

    def record(_: Any, *, actor: str, action: str, subject: str, data: dict[str, Any], personal: Any = None) -> None:
        assert "+44" not in subject + json.dumps(data, default=str), "a number is personal"
        lines.append((actor, action, subject))

    monkeypatch.setattr("store.changes.audit.record", record)
    for line, noted in (
        ("create-tenant noted", "tenant.created tenant:noted"),
        ("tenants set noted --weight 2", "tenant.changed tenant:noted"),
        ("tenants cancel-queued noted", "tenant.queue_canceled tenant:noted"),
        ("create-agent noted bot --audio a.wav", "agent.created agent:noted/bot"),
        ("agents pause noted bot", "agent.changed agent:noted/bot"),
        ("create-carrier telco --channels 3 --cps 1", "carrier.put carrier:telco"),
        ("carriers set telco --cps 2 --tech-prefix 7", "carrier.changed carrier:telco"),
        ("carriers endpoint telco e1 192.0.2.1:5060", "endpoint.put carrier:telco"),
        ("carriers endpoint telco e1 --remove", "endpoint.removed carrier:telco"),
        ("create-endpoint telco by_hand 192.0.2.1:5060", "endpoint.put carrier:telco"),
        ("create-route everywhere --prefix 1 --carrier telco", "route.put route:everywhere"),
        ("routes set everywhere --prefix 1 --carrier telco:1:1", "route.put route:everywhere"),
        ("routes remove everywhere", "route.removed route:everywhere"),
        ("scopes set global --cps 5", "limit.changed limit:global"),
        ("scopes remove global", "limit.removed limit:global"),
        ("numbers add noted +442079460000 --agent bot", "number.put tenant:noted"),
        ("numbers remove +442079460000", "number.removed numbers"),
        ("lab setup --address 127.0.0.1:5090", "lab.set_up carrier:test"),
        ("kill --tenant noted --yes", "calls.killed tenant:noted"),
    ):
        del lines[:]
        done = trunkline(*line.split())
        assert done.exit_code == 0, (line, done.stderr)
        ((who, action, subject),) = lines
        assert f"{action} {subject}" == noted
        assert who.startswith("cli:")
