"""Commands, leadership, being woken, the relay's question, and the trace."""

from __future__ import annotations

import threading
from uuid import uuid4

import psycopg
import pytest

from calls.evidence import State
from calls.ids import call_ref
from store import agents, calls, commands, leader, outbox, relay, trace
from store.listen import listen
from tests.store.conftest import World, at, settings_for
from tests.store.threads import results, together, wait_for


def end_backends(world: World, application: str) -> None:
    world.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE %s",
        f"{application}%",
    )


def test_commands_are_asked_once_and_done_once(world: World) -> None:
    live = world.dialing()

    def ask() -> object:
        return commands.add(world.db, live.attempt_id, None, "probe", "watchdog", {"round": 1}, now=at(3))

    ids = set(results(together(*[ask] * 6)))
    (command,) = commands.open_for_attempt(world.db, live.attempt_id)
    assert ids == {command.id}
    assert (command.switch, command.verb, command.requested_by, command.args) == ("fs1", "probe", "watchdog", {"round": 1})
    assert command in commands.list_open(world.db, "fs1")
    assert command not in commands.list_open(world.db, "fs2")
    assert commands.finish(world.db, command.id, "+OK", at(4))
    assert not commands.finish(world.db, command.id, "+OK", at(5))
    assert commands.open_for_attempt(world.db, live.attempt_id) == []
    again = ask()
    assert again != command.id


def test_commands_end_with_their_attempt(world: World) -> None:
    live = world.dialing()
    commands.add(world.db, live.attempt_id, None, "probe", "watchdog", now=at(3))
    world.apply(world.busy(live.attempt_id, 4))
    assert commands.open_for_attempt(world.db, live.attempt_id) == []
    assert commands.add(world.db, live.attempt_id, None, "probe", "watchdog", now=at(5)) is None
    assert commands.add(world.db, uuid4(), "fs1", "probe", "watchdog", now=at(5)) is None


def test_who_may_ask_for_what(world: World) -> None:
    """A controller puts the name of whoever wants a hangup on the channel; it knows four."""
    live = world.dialing()
    for verb, by in (("hangup", "watchdog"), ("hangup", "nobody"), ("probe", "customer")):
        with pytest.raises(psycopg.errors.CheckViolation):
            commands.add(world.db, live.attempt_id, None, verb, by, now=at(3))
    for wanted in (live, world.accept()):
        with pytest.raises(ValueError, match="by: 'watchdog'"):
            calls.request_hangup(world.db, world.tenant.id, wanted.call.id, "watchdog", at(3))
        assert not world.call(wanted.call.id).cancel_requested
    for by in ("customer", "agent", "operator", "platform"):
        live = world.dialing()
        assert calls.request_hangup(world.db, world.tenant.id, live.call.id, by, at(3)).kind == "requested"


def test_one_leads_until_it_is_gone(world: World) -> None:
    name = uuid4().hex
    with leader.Leader(world.url, name) as first, leader.Leader(world.url, name) as second:
        assert [first.held(), second.held(), first.held()] == [True, False, True]
        assert leader.Leader(world.url, f"{name}-other").held()
        first.close()
        wait_for(second.held)
        assert not first.held()
        # Cut off from Postgres, a leader knows at the next question, and another takes over.
        end_backends(world, f"leader:{name}")
        assert not second.held()
        found = results(together(first.held, second.held))
        assert wait_for(lambda: [first.held(), second.held()].count(True)) == 1
        assert found.count(True) <= 1


def test_listening_survives_a_lost_connection(world: World) -> None:
    heard: list[tuple[str, str]] = []
    stop = threading.Event()

    def hear() -> None:
        heard.extend(iter_until())

    def iter_until() -> list[tuple[str, str]]:
        for item in listen(settings_for(world.url), ["call_commands", "outbox"], stop=stop.is_set):
            heard.append(item)
        return []

    thread = threading.Thread(target=hear, daemon=True)
    thread.start()
    wait_for(lambda: ("connected", "") in heard)
    world.execute("SELECT pg_notify('call_commands', 'fs1 x')")
    wait_for(lambda: ("call_commands", "fs1 x") in heard)
    end_backends(world, "listen@")
    wait_for(lambda: heard.count(("connected", "")) == 2)
    world.execute("SELECT pg_notify('outbox', '')")
    wait_for(lambda: ("outbox", "") in heard)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_the_relay_learns_whose_agent_to_connect(world: World) -> None:
    live = world.dialing(agent_variables={"name": "Ada"}, metadata={"crm": 1})
    found = relay.agent_for(world.db, live.attempt_id)
    assert found is not None
    assert (found.call_id, found.tenant_id, found.state, found.switch) == (live.call.id, world.tenant.id, "dialing", "fs1")
    assert (found.agent_kind, found.agent_url, found.agent_audio) == ("websocket", "ws://127.0.0.1:9000/", None)
    assert found.agent_protocol == "trunkline"
    assert (found.agent_variables, found.metadata) == ({"name": "Ada"}, {"crm": 1})
    assert (found.to_number, found.from_number) == ("+4915112345678", "+493012345678")
    assert relay.agent_for(world.db, uuid4()) is None
    spoken = agents.create(world.db, tenant_id=world.tenant.id, name="say", kind="announcement", audio="hello.wav")
    announced = relay.agent_for(world.db, world.accept(agent_id=spoken.id).attempt_id)
    assert announced is not None
    assert (announced.agent_kind, announced.agent_audio, announced.state) == ("announcement", "hello.wav", "queued")


def test_the_trace_tells_the_story_in_order(world: World) -> None:
    accepted = world.dialing()
    a = accepted.attempt_id
    world.apply(world.seen(a, State.RINGING, 2))
    calls.request_hangup(world.db, world.tenant.id, accepted.call.id, "customer", at(3))
    world.apply(world.ended(a, "ORIGINATOR_CANCEL", 4, disposition="send_cancel", ringing_at=at(2), requested_by="customer"))
    _, (first, *_) = outbox.expand(world.db, at(5), 1000, 1000, 30)
    lines = trace.trace(world.db, call_ref(accepted.call.id))
    assert trace.trace(world.db, str(a)) == lines
    assert trace.trace(world.db, str(accepted.call.id)) == lines
    told = [line.what for line in lines if line.source not in ("webhook", "call", "policy", "command")]
    assert told == ["call.queued", "attempt.claimed", "attempt.ringing", "call.hangup_requested", "attempt.ended"]
    assert [line.at for line in lines[:-1]] == sorted(line.at for line in lines[:-1])
    assert {"webhook", "policy", "command"} <= {line.source for line in lines}
    text = "\n".join(map(str, lines))
    assert "cause=ORIGINATOR_CANCEL" in text
    assert "is canceled" in text
    assert "+49151******78" in text
    assert "+4915112345678" not in text
    assert first.tries == 1


def test_the_trace_of_nothing(world: World) -> None:
    assert trace.trace(world.db, str(uuid4())) == []
    with pytest.raises(ValueError, match="neither call_"):
        trace.trace(world.db, "call_nonsense")
