"""The relay and the reference agent as processes, on Postgres and the laboratory's processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from calls.ids import call_ref
from controller import commands
from controller.relay.book import BookClosed, StoreBook, terms
from controller.relay.link import Link
from lab.host import LabCarrier, LabSwitch
from settings import Settings
from store import agents, calls, relay, tenants
from store.pool import Database, open_database
from tests.relay.house import DEADLINE_S, FROM, run, to, until
from tests.relay.test_failures import closed_port


@pytest.fixture
def db(settings: Callable[..., Settings]) -> Iterator[Database]:
    with open_database(settings(), "test", cooperative=False, wait_s=60) as database:
        yield database


def accept(db: Database, name: str, url: str, number: str, variables: dict[str, object]) -> tuple[UUID, UUID, UUID]:
    """A tenant with an agent and one accepted call: tenant, call and attempt."""
    now = datetime.now(UTC)
    tenant = tenants.create(db, name=name)
    agent = agents.create(db, tenant_id=tenant.id, name="bot", kind="websocket", url=url)
    new = calls.NewCall(
        tenant_id=tenant.id, agent_id=agent.id, to_number=number, from_number=FROM, route="us", due_at=now,
        expires_at=now + timedelta(hours=1), max_attempts=1, ring_timeout_s=30, max_duration_s=60,
        agent_variables=variables,
    )  # fmt: skip
    accepted = calls.accept_call(db, new, idempotency=None, now=now)
    return tenant.id, accepted.call.id, accepted.attempt_id


@contextmanager
def process(log: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        started = subprocess.Popen(
            [sys.executable, "-m", *arguments], env={**os.environ, **environment}, stdout=out, stderr=out
        )
        try:
            yield started
        finally:
            if started.poll() is None:
                started.kill()
            started.wait(10)


def listening_line(log: Path, text: str) -> bool:
    return text in log.read_text()


def test_facts_are_written_to_the_call_once_each_and_in_order(db: Database) -> None:
    tenant, call, attempt = accept(db, "facts", "ws://127.0.0.1:1/", to("0122"), {"a": 1})

    async def scenario() -> None:
        book = StoreBook(db, "fs1", terms(Settings()))
        writer = asyncio.create_task(book.run())
        found = await book.agent_for(attempt)
        assert found is not None
        assert (found.call_id, found.agent_url, found.agent_variables) == (call, "ws://127.0.0.1:1/", {"a": 1})
        assert await book.agent_for(UUID(int=1)) is None
        assert await book.live() == []
        at = datetime.now(UTC)
        for type_ in ("relay.agent_connected", "relay.agent_ready", "relay.agent_connected"):
            book.note(attempt, type_, at, {"n": 1})
        await book.drain(DEADLINE_S)
        writer.cancel()
        await asyncio.wait([writer])
        book.close()

    run(scenario())
    noted = [(e.type, e.source) for e in calls.list_events(db, tenant, call) if e.type.startswith("relay.")]
    assert noted == [("relay.agent_connected", "relay"), ("relay.agent_ready", "relay")]


def test_a_postgres_that_is_away_is_said_to_be_away() -> None:
    settings = Settings.model_validate(
        {"database_url": f"postgresql://nobody@127.0.0.1:{closed_port()}/none", "db_pool_timeout_s": 0.2}
    )

    async def scenario() -> None:
        with open_database(settings, "test", cooperative=False) as away:
            book = StoreBook(away, "fs1", terms(Settings()))
            with pytest.raises(BookClosed):
                await book.agent_for(UUID(int=1))
            book.close()

    run(scenario())


def test_a_call_through_both_processes(db: Database, settings: Callable[..., Settings], tmp_path: Path) -> None:
    agent_port, relay_port = closed_port(), closed_port()
    variables: dict[str, object] = {"tone_hz": 1000, "tone_ms": 3000, "hangup_after_s": 4}
    tenant, call, attempt = accept(db, "whole", f"ws://127.0.0.1:{agent_port}/", to("0122"), variables)
    with LabCarrier("a") as carrier, LabSwitch({"carrier_a": carrier.sip}) as switch:
        host, port = switch.esl
        environment = {
            "DATABASE_URL": settings().database_url, "TRUNKLINE_ESL_HOST": host, "TRUNKLINE_ESL_PORT": str(port),
            "TRUNKLINE_ESL_PASSWORD": switch.password, "TRUNKLINE_RELAY_PORT": str(relay_port),
            "TRUNKLINE_RELAY_AUDIO_DIR": str(tmp_path / "audio"), "TRUNKLINE_AGENT_ALLOW_PRIVATE": "true",
        }  # fmt: skip
        relay_log, agent_log = tmp_path / "relay.log", tmp_path / "agent.log"
        with (
            process(agent_log, "agents.reference", "--listen", f"127.0.0.1:{agent_port}") as agent,
            process(relay_log, "controller.relay", **environment) as carried,
        ):

            async def scenario() -> None:
                await until(lambda: listening_line(agent_log, "listening on"), "the agent listens")
                await until(lambda: listening_line(relay_log, "relay events: connected"), "the relay hears the switch")
                link = Link(settings(esl_host=host, esl_port=port, esl_password=switch.password), "dialer")
                task = asyncio.create_task(link.run())
                await link.wait_up(DEADLINE_S)
                fork_url = f"ws://127.0.0.1:{relay_port}/fork/{attempt}"
                originate = commands.originate(
                    attempt_id=attempt, call_ref=call_ref(call), tenant="whole", gateway="carrier_a",
                    to_number=to("0122"), from_number=FROM, originate_timeout_s=40, max_duration_s=60,
                    fork_url=fork_url,
                )  # fmt: skip
                assert (await link.ask(originate)).startswith("+OK")

                def types() -> list[str]:
                    return [event.type for event in calls.list_events(db, tenant, call)]

                await until(lambda: "relay.first_audio" in types(), "the agent is heard")
                await until(lambda: "relay.ended" in types(), "the agent ends the call")
                assert await link.ask(commands.uuid_exists(attempt)) == "false"
                task.cancel()
                await asyncio.wait([task])

            run(scenario())
            for started in (carried, agent):
                started.send_signal(signal.SIGTERM)
                assert started.wait(10) == 0
        assert list((tmp_path / "audio" / "fs1").iterdir()) == []
    events = {event.type: event for event in calls.list_events(db, tenant, call)}
    assert events["relay.ended"].data["reason"] == "agent_hangup"
    found = relay.agent_for(db, attempt)
    assert found is not None


def test_a_relay_without_a_password_says_what_to_set(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with process(log, "controller.relay", TRUNKLINE_ESL_PASSWORD="") as started:
        assert started.wait(20) == 2
    assert "TRUNKLINE_ESL_PASSWORD" in log.read_text()
