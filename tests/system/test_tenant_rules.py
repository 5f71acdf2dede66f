"""trunkline tenants destinations, caller-ids, rules: what an operator types, and what then holds. In one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result

import settings as settings_module
from settings import Settings
from store import agents, audit, calls, outbound, permission, tenants
from store.pool import Database, open_database
from trunkline.cli import main

Run = Callable[..., Result]


@pytest.fixture
def db(postgres_url: str) -> Iterator[Database]:
    with open_database(
        Settings.model_validate({"database_url": postgres_url}), "test", cooperative=False, wait_s=10
    ) as made:
        yield made


@pytest.fixture
def trunkline(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    settings_module.get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(main, ["tenants", *arguments])
    settings_module.get_settings.cache_clear()


def test_from_nothing_to_a_tenant_that_dials(trunkline: Run, db: Database) -> None:
    tenant = tenants.create(db, name="acme")
    agent = agents.create(db, tenant_id=tenant.id, name="bot", kind="announcement", audio="a.wav")
    assert "nothing was ever set for acme" in trunkline("rules", "show", "acme").stdout
    said = trunkline("destinations", "allow", "acme", "DE", "+4312", "MV")
    assert "MV itself is of class toll_fraud" in said.stdout
    assert trunkline("destinations", "deny", "acme", "+4930900").exit_code == 0
    assert trunkline("caller-ids", "add", "acme", "+493012345678", "--verified", "--reference", "letter").exit_code == 0
    assert trunkline("caller-ids", "add", "acme", "+49301234", "--block").exit_code == 0
    assert trunkline("rules", "set", "acme", "--hours", "none", "--hours-reason", "reminders").exit_code == 0
    said = trunkline("rules", "set", "acme", "--consent-basis", "express", "--consent-reference", "form 4")
    assert said.stdout == "tenant acme: hours none, consent express\n"
    shown = trunkline("rules", "show", "acme").stdout
    assert "none (reminders)" in shown
    assert "express (form 4)" in shown
    listed = trunkline("destinations", "list", "acme").stdout
    assert [line.split()[0] for line in listed.splitlines()[1:]] == ["+4312", "+4930900", "DE", "MV"]
    known = permission.ask(db, tenant.id, agent.id, "+4930123456", "+493012345678")
    assert (known.standing.caller_id, known.standing.hours) == ("verified", "none")
    assert trunkline("caller-ids", "remove", "acme", "+493012345678").exit_code == 0
    assert permission.ask(db, tenant.id, agent.id, "+4930123456", "+493012345678").standing.caller_id == "assigned"
    assert trunkline("destinations", "remove", "acme", "DE").exit_code == 0
    rules = outbound.get(db, tenant.id)
    assert rules is not None
    assert set(rules.destinations) == {"+4312", "+4930900", "MV"}
    assert trunkline("rules", "set", "acme", "--consent-basis", "none").stdout.endswith("consent -\n")


def test_what_a_house_from_before_needs_is_suggested(trunkline: Run, db: Database) -> None:
    tenant = tenants.create(db, name="old")
    agent = agents.create(db, tenant_id=tenant.id, name="bot", kind="announcement", audio="a.wav")
    now = datetime.now(UTC)
    for to in ("+4930123456", "+4930123457", "+33142685300", "+9603301234"):
        new = calls.NewCall(
            tenant_id=tenant.id, agent_id=agent.id, to_number=to, from_number="+442079460000", route="all", due_at=now,
            expires_at=now + timedelta(hours=1), max_attempts=1, ring_timeout_s=30, max_duration_s=60,
        )  # fmt: skip
        calls.accept_call(db, new, idempotency=None, now=now)
    commands = trunkline("rules", "suggest", "old").stdout.splitlines()
    assert commands == [
        "trunkline tenants destinations allow old DE FR --risk low",
        "trunkline tenants destinations allow old MV --risk toll_fraud",
        "trunkline tenants caller-ids add old +442079460000",
    ]
    assert outbound.get(db, tenant.id) is None, "it runs none of them"
    for command in commands:
        assert trunkline(*command.split()[2:]).exit_code == 0
    assert permission.ask(db, tenant.id, agent.id, "+9603301234", "+442079460000").standing.caller_id == "assigned"


def test_what_it_leaves_in_the_ledger_names_nobody_for_good(trunkline: Run, db: Database) -> None:
    tenants.create(db, name="noted")
    for line in (
        ("destinations", "allow", "noted", "DE", "+493012345699"),
        ("destinations", "remove", "noted", "+493012345699"),
        ("caller-ids", "add", "noted", "+493012345699", "--reference", "Ada's letter"),
        ("caller-ids", "remove", "noted", "+493012345699"),
        ("rules", "set", "noted", "--hours", "none", "--hours-reason", "Ada attests, +493012345699"),
        ("rules", "set", "noted", "--consent-basis", "express", "--consent-reference", "signed by Ada"),
    ):
        assert trunkline(*line).exit_code == 0
    entries = audit.list_entries(db, 6, subject="tenant:noted")
    assert len({one.action for one in entries}) == 5
    for one in entries:
        assert "3012345699" not in f"{one.subject} {one.data}"
        assert "Ada" not in f"{one.subject} {one.data}"
    kept = str(audit.personal_of(db, entries))
    assert (kept.count("Ada"), kept.count("+493012345699")) == (3, 6)
    assert audit.erase(db, actor="cli:test", holding={"numbers": ["+493012345699"]}) == 5


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("destinations", "list", "nobody"), "there is no tenant 'nobody'"),
        (("destinations", "allow", "wrong", "XX"), "'XX' is neither a country (DE) nor a prefix (+4930, or + for all)"),
        (("caller-ids", "add", "wrong", "+49"), "number: "),
        (("caller-ids", "add", "wrong", "+4930", "--block"), "a block begins with at least 5 digits"),
        (("caller-ids", "remove", "wrong", "+493012345678"), "is not among those that were added to wrong"),
        (("rules", "set", "wrong"), "nothing to change"),
        (("rules", "set", "wrong", "--hours", "none"), "say who attests that these calls solicit nobody"),
        (("rules", "set", "wrong", "--time-zone", "Mars/Base"), "no IANA time zone"),
        (("rules", "set", "wrong", "--consent-basis", "wish", "--consent-reference", "x"), "basis must be one of"),
        (("rules", "set", "wrong", "--consent-basis", "express"), "needs a reference"),
        (("rules", "set", "wrong", "--consent-reference", "x"), "belongs to --consent-basis"),
    ],
)
def test_a_mistake_is_one_line(trunkline: Run, db: Database, arguments: tuple[str, ...], complaint: str) -> None:
    if tenants.get_by_name(db, "wrong") is None:
        tenants.create(db, name="wrong")
    done = trunkline(*arguments)
    assert done.exit_code == 1
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
