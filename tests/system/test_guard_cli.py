"""trunkline suppressions, tenants caps, prices and audit, on real Postgres, in this process."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from settings import get_settings
from store import agent_pools, audit, suppressions
from tests.store.conftest import World, db, world
from trunkline.cli import main
from trunkline.cli.caps import amount, micros

__all__ = ["db", "world"]

Run = Callable[..., Result]


@pytest.fixture
def trunkline(postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(main, arguments)
    get_settings.cache_clear()


def fine(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_list_is_taken_in_read_and_lifted(world: World, trunkline: Run, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text('Number;Since\n"+4930123456";2026\n+49 30 123457,x\n030123458\n\n', "utf-8")
    done = trunkline(
        "suppressions", "import", str(file), "--source", "registry", "--list", "2026-01", "--date", "2026-01-31"
    )
    assert done.exit_code == 1
    assert "line 4: number: '030123458'" in done.stderr
    assert done.stdout == "2 numbers suppressed, 0 were already, 1 left out; 0 calls ended so far\n"
    (one, other) = json.loads(fine(trunkline("suppressions", "list", "--json")))
    assert {one["number"], other["number"]} == {"+4930123456", "+4930123457"}
    assert (one["source"], one["list"], one["obtained"]) == ("registry", "2026-01", "2026-01-31")
    refused = trunkline("suppressions", "lift", one["id"], "--tenant", world.tenant.name, "--reason", "x")
    assert refused.exit_code == 1
    assert "there is no entry" in refused.stderr
    assert "lifted by cli:" in fine(trunkline("suppressions", "lift", one["id"], "--reason", "a mistake"))
    assert len(json.loads(fine(trunkline("suppressions", "list", "--json")))) == 1
    assert len(json.loads(fine(trunkline("suppressions", "list", "--lifted", "--json")))) == 2


def test_one_number_of_a_tenant(world: World, trunkline: Run) -> None:
    said = fine(trunkline("suppressions", "add", "+49 30 222 333", "--tenant", world.tenant.name, "--source", "mail"))
    assert said.startswith("number +4930222333 suppressed: ")
    (entry,) = suppressions.list_page(world.db, world.tenant.id, 10)
    assert (entry.origin, entry.number) == ("operator", "+4930222333")
    for wrong, word in ((("112", "--source", "x"), "emergency"), (("+4930222334", "--source", ""), "--source")):
        result = trunkline("suppressions", "add", *wrong)
        assert result.exit_code == 1
        assert word in result.stderr


def test_what_nobody_dials_is_denied_listed_and_removed(world: World, trunkline: Run) -> None:
    assert "each tenant's own list decides alone" in fine(trunkline("destinations", "list"))
    try:
        said = fine(trunkline("destinations", "allow", "FR", "MV"))
        assert said.splitlines()[0] == "every tenant: FR, MV allowed up to class low"
        assert "MV itself is of class toll_fraud" in said
        assert fine(trunkline("destinations", "deny", "+4930900")) == "every tenant: +4930900 excluded\n"
        shown = json.loads(fine(trunkline("destinations", "list", "--json")))
        assert [(one["match"], one["allowed"]) for one in shown] == [("+4930900", False), ("FR", True), ("MV", True)]
        wrong = trunkline("destinations", "deny", "XX")
        assert (wrong.exit_code, "neither a country" in wrong.stderr) == (1, True)
    finally:
        fine(trunkline("destinations", "remove", "FR", "MV", "+4930900"))
    assert json.loads(fine(trunkline("destinations", "list", "--json"))) == []
    lines = audit.list_entries(world.db, 10, subject="house")
    assert [line.action.removeprefix("house.destinations_") for line in reversed(lines)] == ["allowed", "denied", "removed"]


def test_caps_are_set_shown_and_taken_away(world: World, trunkline: Run) -> None:
    name = world.tenant.name
    assert fine(trunkline("tenants", "caps", name)) == f"tenant {name} has no caps\n"
    said = fine(trunkline("tenants", "caps", name, "--spend-per-day", "12.5", "--calls-per-minute", "30"))
    assert [line.split() for line in said.splitlines()[1:3]] == [
        ["calls_per_minute", "30", "0"],
        ["spend_per_day", "12.5", "0"],
    ]
    shown = json.loads(fine(trunkline("tenants", "caps", name, "--json")))
    assert {"cap": "spend_per_day", "most": "12.5", "used": "0"} in shown
    fine(trunkline("tenants", "caps", name, "--calls-per-minute", "none"))
    assert fine(trunkline("tenants", "caps", name, "--spend-per-day", "none")) == f"tenant {name} has no caps\n"
    for wrong in (
        ("--calls-per-minute", "0"),
        ("--spend-per-day", "-1"),
        ("--time-zone", "Mars/Olympus"),
        ("--time-zone", "EST"),
    ):
        assert trunkline("tenants", "caps", name, *wrong).exit_code != 0


def test_prices_come_from_a_file_or_none_of_them(trunkline: Run, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text("prefix,per_minute,increment_s\n49,0.0125,1\n4915,0.08,60\nall,1,60\n", "utf-8")
    assert fine(trunkline("prices", "import", str(file))) == "3 prices set\n"
    fine(trunkline("prices", "set", "4420", "0.02", "--per-attempt", "0.001"))
    found = {one["prefix"]: one["per_minute"] for one in json.loads(fine(trunkline("prices", "list", "--json")))}
    assert found == {"(all)": "1", "49": "0.0125", "4915": "0.08", "4420": "0.02"}
    fine(trunkline("prices", "remove", "all"))
    file.write_text("prefix,per_minute\n1,0.01\n2,free\n", "utf-8")
    refused = trunkline("prices", "import", str(file))
    assert (refused.exit_code, "line 3: 'free' is no amount" in refused.stderr) == (1, True)
    assert len(json.loads(fine(trunkline("prices", "list", "--json")))) == 3


def test_amounts_are_exact() -> None:
    assert (micros("0.000001"), micros("12"), amount(micros("0.0125")), amount(0)) == (1, 12_000_000, "0.0125", "0")
    for wrong in ("0.0000001", "-1", "NaN", "1e400", ""):
        with pytest.raises(ValueError, match=r"amount|must be"):
            micros(wrong)


def test_the_ledger_is_verified_listed_exported_and_erased(world: World, trunkline: Run) -> None:
    fine(trunkline("suppressions", "add", "+4930777888", "--source", "mail"))
    while audit.seal(world.db):
        pass
    said = fine(trunkline("audit", "verify", "--decisions"))
    assert said.endswith("the chain holds\n")
    head = next(line.removeprefix("head ") for line in said.splitlines() if line.startswith("head "))
    (latest,) = json.loads(fine(trunkline("audit", "list", "--limit", "1", "--json")))
    assert (latest["action"], latest["data"]["numbers"]) == ("suppression.created", ["+4930777888"])
    lines = [json.loads(line) for line in fine(trunkline("audit", "export", "--personal")).splitlines()]
    assert f"{lines[-1]['place']}:{lines[-1]['hash']}" == head
    assert lines[-1]["personal_data"] == {"numbers": ["+4930777888"]}
    assert "+4930777888" not in fine(trunkline("audit", "export"))
    assert fine(trunkline("audit", "erase", "--number", "+4930777888")) == "personal data of 1 entries erased\n"
    assert "+4930777888" not in fine(trunkline("audit", "export", "--personal"))
    assert trunkline("audit", "verify", "--head", head).exit_code == 0
    world.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
    world.execute("UPDATE audit_entries SET actor = 'cli:eve' WHERE place = (SELECT max(place) FROM audit_entries)")
    world.execute("ALTER TABLE audit_entries ENABLE TRIGGER USER")
    broken = trunkline("audit", "verify")
    assert (broken.exit_code, "it is not what was sealed" in broken.stdout) == (1, True)
    assert trunkline("audit", "verify", "--head", "7").exit_code == 1
    assert trunkline("audit", "erase").exit_code == 1


def test_a_pool_s_key_is_renewed_and_noted(world: World, trunkline: Run) -> None:
    fine(trunkline("pools", "set", "renewed"))
    before = agent_pools.keys(world.db, ["renewed"])
    fine(trunkline("pools", "renew-key", "renewed"))
    assert agent_pools.keys(world.db, ["renewed"])["renewed"] != before["renewed"]
    assert [one.action for one in audit.list_entries(world.db, 1, subject="pool:renewed")] == ["pool.key_renewed"]
    refused = trunkline("pools", "renew-key", "rnewed")
    assert refused.exit_code == 1
    assert "pool: there is no 'rnewed'" in refused.stderr
    fine(trunkline("pools", "remove", "renewed"))
