"""Why are we not dialing: each reason brought about on real Postgres and Redis with a real feeder, and named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from redis import Redis

from budget import health, permits
from budget.connect import connect
from budget.epoch import begin, marks
from budget.scopes import carrier_scope
from budget.scripts import PREFIX, VERSION
from jobs.feeder import Feeder
from settings import Settings
from store import agents, caps, carriers, outcomes, scopes, switches, tenants
from store import epoch as store_epoch
from store.leader import Leader
from store.scopes import Scope, tenant_scope
from tests.store.conftest import World, db, settings_for, world
from trunkline.children import wait_until
from trunkline.why import Reason, Report, look

__all__ = ["db", "world"]

TABLES = (
    "outbox, call_events, call_results, contradictions, call_commands, idempotency_keys, recordings, attempts, calls,"
    " queue_counts, queue_deltas, routes, scopes"
)


@dataclass
class Floor:
    """A tenant, a carrier, a feeder that leads, and a switch in service; nothing is queued."""

    world: World
    redis: Redis
    settings: Settings
    feeder: Feeder
    leader: Leader

    @property
    def carrier(self) -> str:
        return next(one.name for one in carriers.list_limits(self.world.db) if one.id == self.world.carrier_id)

    def tick(self) -> None:
        self.feeder.look_again()
        self.feeder.tick(datetime.now(UTC), time.monotonic())

    def work(self, count: int = 3, **changes: Any) -> list[UUID]:
        """So many calls in their lane, and a carrier that is asked: the first one is granted."""
        now = datetime.now(UTC)
        times = {"due_at": now - timedelta(seconds=1), "expires_at": now + timedelta(hours=1), **changes}
        made = [self.world.accept(**times).attempt_id for _ in range(count)]
        self.tick()
        self.grant()
        return made

    def grant(self) -> permits.Answer:
        """A permit whose slot is free now; the rest after a rebuild, or after a permit that nobody acknowledged in time, is
        not what is tested here.
        """
        scope = carrier_scope(self.world.carrier_id)
        self.redis.hdel(f"{PREFIX}s:{scope}", "tat")
        self.redis.delete(f"{PREFIX}out:{scope}")
        return permits.grant(self.redis, self.settings, self.world.carrier_id, "fs1")

    def why(self) -> Report:
        return look(self.settings, self.world.db, self.redis)


@pytest.fixture
def floor(world: World, redis_url: str) -> Iterator[Floor]:
    world.execute(f"TRUNCATE {TABLES}")
    world.execute("UPDATE carriers SET paused = true WHERE id <> %s", world.carrier_id)
    world.execute("UPDATE tenants SET paused = false")
    options = settings_for(world.url, redis_url=redis_url)
    carriers.put_route(world.db, name="all", prefixes=[""], carriers=[world.carrier_id])
    switches.seen(world.db, "fs1", "core", datetime.now(UTC))
    redis = connect(options)
    with Leader(world.url, "feeder") as leader:
        assert leader.held()
        made = Floor(world, redis, options, Feeder(world.db, redis, options), leader)
        made.tick()
        yield made
    redis.close()


def test_no_work(floor: Floor) -> None:
    report = floor.why()
    assert report.sentence == "Nothing holds: no work."
    facts = dict(report.facts)
    assert list(facts) == ["Postgres", "Redis", "Feeder", "Switches"]
    assert "open since" in facts["Postgres"]
    assert facts["Feeder"] == "leads"
    assert facts["Switches"].startswith("fs1 seen 0")


def test_work_at_the_carriers_pace(floor: Floor) -> None:
    floor.work()
    report = floor.why()
    assert report.sentence == "Nothing holds: 3 queued, leaving at the carriers' pace."
    (carrier,) = (one for one in report.carriers if one["carrier"] == floor.carrier)
    assert (carrier["in_use"], carrier["waiting"], carrier["asked_by"], carrier["remedy"]) == ("1/10", "0/1/0", "fs1", "")
    assert carrier["cps_now"].endswith("/5")
    assert [(one["tenant"], one["queued"], one["in_lanes"]) for one in report.tenants] == [(floor.world.tenant.name, 3, 2)]


def test_work_for_later(floor: Floor) -> None:
    now = datetime.now(UTC)
    floor.world.accept(due_at=now + timedelta(minutes=10), expires_at=now + timedelta(hours=1))
    assert floor.why().sentence == "Nothing holds: 1 queued for later, the next in 10 min."


def reasons(floor: Floor) -> dict[str, str]:
    """What holds -> the remedy."""
    report = floor.why()
    assert report.sentence.startswith("Held by ")
    for one in report.reasons:
        assert one.what in report.sentence
    return {one.what: one.remedy for one in report.reasons}


def test_a_full_carrier(floor: Floor) -> None:
    carriers.update(floor.world.db, floor.carrier, max_channels=1)
    floor.work()
    assert not floor.grant().grants
    held = reasons(floor)
    assert held == {
        f"carrier {floor.carrier}: 1 of 1 channels in use": "calls have to end; or, if it may have more:"
        f" trunkline carriers set {floor.carrier} --channels N"
    }


def test_no_calls_per_second(floor: Floor) -> None:
    floor.work()
    carriers.update(floor.world.db, floor.carrier, cps=0)
    floor.tick()
    assert reasons(floor) == {f"carrier {floor.carrier}: 0 CPS": f"allow it: trunkline carriers set {floor.carrier} --cps N"}


def test_a_shared_account_and_a_tenants_own_limit(floor: Floor) -> None:
    carriers.update(floor.world.db, floor.carrier, account="acme")
    scopes.put(floor.world.db, Scope("account:acme", max_channels=1))
    floor.work()
    assert not floor.grant().grants
    assert list(reasons(floor)) == ["account acme: 1 of 1 channels in use"]
    scopes.remove(floor.world.db, "account:acme")
    scopes.put(floor.world.db, Scope(tenant_scope(floor.world.tenant.id), max_channels=1))
    floor.tick()
    assert not floor.grant().grants
    held = reasons(floor)
    name = floor.world.tenant.name
    assert held == {
        f"tenant {name}: 1 of 1 channels in use": f"calls have to end; or, if it may have more: trunkline tenants set {name}"
        " --channels N"
    }
    assert f"1 lane or tenant waits for tenant {name}." in floor.why().notes


def test_paused_things(floor: Floor) -> None:
    floor.work()
    name = floor.world.tenant.name
    tenants.update(floor.world.db, name, paused=True)
    assert reasons(floor) == {f"tenant {name}: paused": f"trunkline tenants resume {name}"}
    tenants.update(floor.world.db, name, paused=False)
    carriers.update(floor.world.db, floor.carrier, paused=True)
    floor.tick()
    assert reasons(floor) == {f"carrier {floor.carrier}: paused": f"trunkline carriers resume {floor.carrier}"}
    assert floor.carrier in next(note for note in floor.why().notes if note.startswith("Paused:"))


def test_a_carrier_without_an_endpoint(floor: Floor) -> None:
    floor.work()
    floor.world.execute("UPDATE endpoints SET enabled = false WHERE carrier_id = %s", floor.world.carrier_id)
    floor.tick()
    assert reasons(floor) == {
        f"carrier {floor.carrier}: no endpoint is enabled": f"trunkline create-endpoint {floor.carrier} GATEWAY IP:PORT"
    }


def test_a_stopped_and_a_probing_carrier(floor: Floor) -> None:
    floor.work()
    health.set_health(floor.redis, floor.world.carrier_id, "stopped", "9 of 10 calls failed")
    (what,) = reasons(floor)
    assert what == f"carrier {floor.carrier}: stopped: 9 of 10 calls failed"
    health.set_health(floor.redis, floor.world.carrier_id, "probing", "again", probes=1, probe_interval_us=3_600_000_000)
    assert floor.grant().grants
    (what,) = reasons(floor)
    assert what == f"carrier {floor.carrier}: probing, no probe left, waiting for their ends"


def test_a_trunk_that_is_set_up_wrongly(floor: Floor) -> None:
    now = datetime.now(UTC)
    told = f"Carrier {floor.carrier} is set up wrongly: of late 3 calls were refused for its codecs or its form"
    for unfit, wanted in ((0, False), (3, True)):
        row = outcomes.Standing(floor.world.carrier_id, "ok", 97, "", now, now, 0, None, None, None, {"unfit": unfit})
        outcomes.write(floor.world.db, [row], [])
        assert any(note.startswith(told) for note in floor.why().notes) is wanted


def test_nobody_asks(floor: Floor) -> None:
    floor.work(1)
    floor.redis.hdel(f"{PREFIX}s:{carrier_scope(floor.world.carrier_id)}", "asked")
    floor.world.accept(due_at=datetime.now(UTC), expires_at=datetime.now(UTC) + timedelta(hours=1))
    floor.tick()
    (what,) = reasons(floor)
    assert what == f"carrier {floor.carrier}: no controller asks for calls"
    floor.world.execute("UPDATE switches SET seen_at = now() - interval '1 hour'")
    assert "fs1 seen 60 min ago, not in service" in dict(floor.why().facts)["Switches"]


def test_no_route(floor: Floor) -> None:
    floor.work()
    carriers.remove_route(floor.world.db, "all")
    floor.tick()
    assert list(reasons(floor)) == ["no carrier serves the lane"]


def test_nobody_feeds(floor: Floor) -> None:
    floor.work()
    floor.leader.close()
    # Postgres gives the lock back when it has noticed.
    wait_until("nobody to lead", lambda: dict(floor.why().facts)["Feeder"] == "nobody leads", timeout_s=60)
    held = reasons(floor)
    assert next(iter(held)) == "the feeder: nobody leads, so nothing comes into the lanes"


def test_the_budget_is_closed_or_being_rebuilt_or_anothers(floor: Floor) -> None:
    floor.work()
    floor.redis.set(f"{PREFIX}epoch", 10**9)
    (what,) = reasons(floor)
    assert what.startswith("the budget: Redis has epoch 1000000000, Postgres ")
    floor.redis.delete(f"{PREFIX}epoch")
    assert list(reasons(floor)) == ["the budget: no epoch is open"]
    begin(floor.redis, marks(floor.redis), 99)
    assert list(reasons(floor)) == ["the budget: it is being rebuilt"]


def test_popped_and_overdue_is_noted(floor: Floor) -> None:
    floor.settings = floor.settings.model_copy(update={"popped_deadline_s": 0.000001})
    floor.work()
    assert "Popped, and not claimed in time: 1. The feeder gives them back." in floor.why().notes


def test_redis_is_away(floor: Floor) -> None:
    floor.work()
    floor.redis = connect(settings_for(floor.world.url, redis_url="redis://127.0.0.1:1/0"))
    assert reasons(floor) == {"Redis: it does not answer": "start it; REDIS_URL names it"}


def test_part_is_held_and_the_rest_goes_on(floor: Floor) -> None:
    campaign = f"campaign:{floor.world.tenant.id.hex}:spring"
    scopes.put(floor.world.db, Scope(campaign, max_channels=0))
    floor.work(2)
    lane = f"dial.normal.{floor.world.tenant.id.hex}.all.c-spring"
    now = datetime.now(UTC)
    held = floor.world.accept(due_at=now, expires_at=now + timedelta(hours=1))
    floor.world.execute("UPDATE attempts SET lane = %s WHERE id = %s", lane, held.attempt_id)
    floor.tick()
    floor.tick()
    floor.grant()
    floor.world.accept(due_at=now, expires_at=now + timedelta(hours=1))
    floor.tick()
    sentence = floor.why().sentence
    name = f"campaign {floor.world.tenant.name}:spring"
    assert sentence == f"Held by {name}: 0 of 0 channels in use; the rest leaves at the carriers' pace."


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def trunkline(floor: Floor) -> Run:
    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from trunkline.cli import main; main()", *arguments],
            env={**os.environ, "DATABASE_URL": floor.world.url, "REDIS_URL": floor.settings.redis_url, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@contextmanager
def asking(floor: Floor) -> Iterator[None]:
    """A controller goes on asking while the block runs."""
    done = threading.Event()
    with connect(floor.settings) as redis:

        def ask() -> None:
            while not done.wait(0.2):
                permits.grant(redis, floor.settings, floor.world.carrier_id, "fs1")

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(10)


def test_the_command_fits_a_screen_and_ends_with_the_sentence(floor: Floor, trunkline: Run) -> None:
    carriers.update(floor.world.db, floor.carrier, max_channels=1)
    floor.work()
    with asking(floor):
        done, parsed = trunkline("why"), trunkline("why", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) < 40
    assert lines[-1] == f"Held by carrier {floor.carrier}: 1 of 1 channels in use."
    assert any(line.startswith(floor.carrier) and "1/1" in line for line in lines)
    told = json.loads(parsed.stdout)
    assert told["sentence"] == lines[-1]
    assert told["held_by"][0]["remedy"].endswith(f"trunkline carriers set {floor.carrier} --channels N")
    assert told["queued"] == 3


def test_without_postgres_it_says_so_and_what_redis_knows(floor: Floor, trunkline: Run) -> None:
    done = trunkline("why", DATABASE_URL="postgresql://127.0.0.1:1/none")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "Held by Postgres: it does not answer."
    assert "epoch" in next(line for line in done.stdout.splitlines() if line.startswith("Redis"))


def test_a_paused_agent(floor: Floor) -> None:
    agents.set_paused(floor.world.db, floor.world.agent_id, True)
    floor.work(2)
    report = floor.why()
    name = f"agent {floor.world.tenant.name}/bot"
    assert report.sentence == f"Held by {name}: paused, 2 calls wait."
    assert any(note.startswith("Paused: ") and name in note for note in report.notes)
    assert report.reasons[0].remedy == f"trunkline agents resume {floor.world.tenant.name} bot"
    agents.set_paused(floor.world.db, floor.world.agent_id, False)
    floor.tick()
    assert "paused" not in floor.why().sentence


def test_a_drained_switch_is_named_and_holds_when_there_is_no_other(floor: Floor) -> None:
    db, now = floor.world.db, datetime.now(UTC)
    switches.drain(db, "fs1", now)
    floor.work()
    report = floor.why()
    assert dict(report.facts)["Switches"].endswith("ago, drained, 0 calls left")
    assert report.reasons[0] == Reason("switch fs1: drained, 0 calls left", "trunkline undrain fs1")
    assert report.sentence.startswith("Held by switch fs1: drained, 0 calls left")
    switches.seen(db, "fs2", "core", now)
    assert "drained" not in floor.why().sentence
    floor.world.execute("DELETE FROM switches WHERE name = 'fs2'")
    switches.drain(db, "fs1", None)
    assert "drained" not in dict(floor.why().facts)["Switches"]


def test_a_cap_that_is_used_up(floor: Floor) -> None:
    floor.work()
    name = floor.world.tenant.name
    caps.set_caps(floor.world.db, floor.world.tenant.id, actor="operator:test", minutes_per_day=0, calls_per_minute=9)
    ((what, fix),) = reasons(floor).items()
    assert what.startswith(f"tenant {name}: minutes_per_day is used up (0 of 0), asked again in ")
    assert fix == f"wait, or trunkline tenants caps {name}"
    caps.set_caps(floor.world.db, floor.world.tenant.id, actor="operator:test", minutes_per_day=100)
    assert floor.why().sentence == "Nothing holds: 3 queued, leaving at the carriers' pace."


def test_a_budget_of_other_scripts(floor: Floor) -> None:
    """The last one: from then on this database's budget is theirs."""
    floor.work()
    store_epoch.bump(floor.world.db, store_epoch.get(floor.world.db).epoch, None, VERSION + 1)
    assert f"it belongs to scripts version {VERSION + 1}" in floor.why().sentence
