"""The same call on a real FreeSWITCH and on the simulated one.

With FREESWITCH_ESL (HOST:PORT) and FREESWITCH_PASSWORD set, a FreeSWITCH that runs on freeswitch/conf is used: SIP and
RTP to our carrier, mod_audio_fork to our relay (docs/real-freeswitch.md). Without them the simulated switch has to pass
the same assertions.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis
from rq.job import Job

from agents.reference.sound import tone
from budget.scripts import PREFIX
from calls.ids import agent_ref, parse_ref
from controller import commands
from controller.esl_replies import channels
from controller.relay import ulaw
from lab.audio import pcm
from lab.judge import judge, read_log
from store import agent_trunks, agents, carriers
from tests.relay.house import ScriptedAgent
from tests.relay.test_twilio import StockBot
from tests.system.conftest import CHECKOUT
from tests.system.house import jobs_done
from tests.system.recorded import check_recorded_call
from tests.system.test_one_call import GREETING_HZ, HEARD, NEWS_HZ, SILENT_CALLEE, Caller
from trunkline.children import wait_until
from trunkline.given_switch import GivenSwitch, from_environ
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

#: Says nothing for 2 s, 880 Hz for 1 s, nothing for 4 s; presses 9 after 6 s.
BEEPING_CALLEE, BEEP_HZ = "+12125550127", 880
BUSY = "+12125550101"
RINGING, TRYING_ONLY, SILENCE = "+12125550102", "+12125550119", "+12125550106"
#: Hangs up after 3 s.
TALKS = "+12125550109"
#: s; INVITE to first 18x. The switch itself gives a silent carrier up after 6 s.
PDD_S = 8
SAMPLE_S = 0.5
SORRY_HZ, WELCOME_HZ = 1500, 1900
#: Speaks all the time.
SPEAKS, SPEAKS_HZ = "+12125550121", 440


def given_switch() -> GivenSwitch | None:
    """The FreeSWITCH of the environment, or None."""
    return from_environ(os.environ)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The whole house around the switch that there is."""
    environ = {"TRUNKLINE_PDD_S": str(PDD_S), "TRUNKLINE_AGENT_RECONNECT_TIMEOUT_S": "1"}
    with Stack(
        CHECKOUT,
        [LabCarrier("lab_a", 20, 10)],
        [Route("all", ("",), ("lab_a",))],
        environ=environ,
        private=True,
        switch=given_switch(),
    ) as running:
        yield running


@pytest.fixture
def hears(stack: Stack, lab: Callable[[str], str]) -> Callable[[str, int], bool]:
    """``hears(attempt, hz)``: whether the callee hears that tone now; from the RTP it received, or by the lab's word."""

    def by_the_lab(attempt: str, hz: int) -> bool:
        said = lab(f"tone {attempt} {hz} {SAMPLE_S}")
        return said.startswith("+OK") and float(said.split()[1]) > HEARD

    def by_rtp(attempt: str, hz: int) -> bool:
        record = stack.recordings / f"{attempt}.s16"
        # With nothing to play FreeSWITCH sends no RTP: the record stands still then.
        if not record.exists() or time.time() - record.stat().st_mtime > SAMPLE_S:
            return False
        return pcm.goertzel(record.read_bytes()[-int(SAMPLE_S * 16_000) :], hz) > HEARD

    return by_the_lab if stack.switch is None else by_rtp


@pytest.fixture
def keys(stack: Stack, lab: Callable[[str], str]) -> Callable[[str], str]:
    """``keys(attempt)``: what was pressed towards the callee; from the RTP it received, or by the lab's word."""

    def by_the_lab(attempt: str) -> str:
        return lab(f"keys {attempt}").removeprefix("+OK").strip().replace("w", "")

    def by_rtp(attempt: str) -> str:
        record = stack.recordings / f"{attempt}.keys"
        return record.read_text() if record.exists() else ""

    return by_the_lab if stack.switch is None else by_rtp


def attempt_of(caller: Caller, call: str) -> str:
    (attempt,) = caller.see(call, "/attempts")["data"]
    return str(attempt["id"])


def facts(stack: Stack, attempt: str) -> list[str]:
    """What the carrier's socket saw of an attempt; not of its sound."""
    sound = {"rtp", "heard", "quiet", "speaks", "pauses"}
    return [
        str(fact["k"])
        for fact in read_log(stack.arrivals("lab_a"))
        if fact.get("call_id") == attempt and fact["k"] not in sound
    ]


def on_the_switch(stack: Stack) -> set[str]:
    """The channels the switch lists."""
    door = GivenSwitch((stack.esl_host, stack.esl_port), stack.esl_password, {})
    return {row["uuid"] for row in channels(door.ask(commands.show_channels()))}


def history(caller: Caller, call: str) -> list[str]:
    """What the switch's events told, and we decided, in order."""
    seen = [event for event in caller.see(call, "/events")["data"] if event["source"] not in ("relay", "cdr")]
    return [state for event in seen if (state := event["type"].split(".")[1]) != "claimed"]


def test_a_conversation_from_the_post_to_the_agents_goodbye(stack: Stack, hears: Callable[[str, int], bool]) -> None:
    caller = Caller(stack, "acme")
    call = caller.post(BEEPING_CALLEE, agent_variables={"tone_hz": GREETING_HZ, "tone_ms": 1500}, max_attempts=1)
    attempt = attempt_of(caller, call)
    caller.wait_status(call, "in_progress")
    wait_until("the agent's greeting at the callee", lambda: hears(attempt, GREETING_HZ), timeout_s=5)
    wait_until("its channel in the switch's list", lambda: attempt in on_the_switch(stack), timeout_s=5)
    wait_until("the callee's own voice, echoed by the agent", lambda: hears(attempt, BEEP_HZ), timeout_s=8)
    ended = caller.wait_status(call, "completed", "failed")  # the callee presses 9: goodbye, and the agent hangs up
    assert (ended["status"], ended["end_reason"], ended["hangup_by"]) == ("completed", "hangup", "agent")
    assert ended["created_at"] < ended["answered_at"] < ended["ended_at"]

    states = history(caller, call)
    assert states[0] == "queued"
    assert [s for s in states if s in ("dialing", "ringing", "in_progress", "ended")] == [
        "dialing", "ringing", "in_progress", "ended",
    ]  # fmt: skip
    (row,) = caller.see(call, "/attempts")["data"]
    assert row["dialed_at"] <= row["ringing_at"] < row["answered_at"] < row["ended_at"]
    assert (row["sip_code"], row["uncertain"]) == (200, False)

    assert facts(stack, attempt) == ["invite", "progress", "answer", "ack", "bye", "end"]
    with redis.Redis.from_url(stack.redis_url) as connection:
        assert jobs_done(connection) >= 1
        assert not Job.exists(attempt, connection=connection)
    wait_until("its channel to leave the list", lambda: attempt not in on_the_switch(stack), timeout_s=5)


def test_whoever_speaks_silences_the_agent(stack: Stack, hears: Callable[[str, int], bool]) -> None:
    caller = Caller(stack, "barge-in")
    call = caller.post(BEEPING_CALLEE, agent_variables={"tone_hz": GREETING_HZ, "tone_ms": 30_000}, max_attempts=1)
    attempt = attempt_of(caller, call)
    wait_until("the agent's greeting at the callee", lambda: hears(attempt, GREETING_HZ), timeout_s=10)
    # Of the greeting 30 s are left to play; the callee speaks two seconds after it picked up.
    wait_until("the agent's silence", lambda: not hears(attempt, GREETING_HZ), timeout_s=8)
    wait_until("the agent's echo", lambda: hears(attempt, BEEP_HZ), timeout_s=8)
    assert not hears(attempt, GREETING_HZ)
    ended = caller.wait_status(call, "completed", "failed")
    assert (ended["status"], ended["hangup_by"]) == ("completed", "agent")


def test_keys_and_a_file_reach_the_callee_beside_the_agent(
    stack: Stack, hears: Callable[[str, int], bool], keys: Callable[[str], str]
) -> None:
    pcm.write_wav(str(stack.audio / "between.wav"), pcm.tone(NEWS_HZ, 3.0))
    (stack.audio / "between.wav").chmod(0o644)
    caller = Caller(stack, "actor")
    call = caller.post(SILENT_CALLEE, agent_variables={"tone_hz": GREETING_HZ, "tone_ms": 8000}, max_attempts=1)
    attempt = attempt_of(caller, call)
    wait_until("the agent's greeting at the callee", lambda: hears(attempt, GREETING_HZ), timeout_s=10)
    played = caller.act(call, "play", {"audio": "between.wav"})
    # In turn, not mixed.
    wait_until("the file", lambda: hears(attempt, NEWS_HZ) and not hears(attempt, GREETING_HZ), timeout_s=10)
    assert caller.wait_done(played)["result"] == "played"
    wait_until("the rest of the greeting", lambda: hears(attempt, GREETING_HZ), timeout_s=5)
    pressed = caller.act(call, "dtmf", {"digits": "4w2#", "tone_ms": 100})
    assert caller.wait_done(pressed)["result"] == "sent"
    wait_until("the keys at the callee", lambda: keys(attempt) == "42#", timeout_s=10)
    missing = caller.act(call, "play", {"audio": "missing.wav"})
    assert caller.wait_done(missing)["result"] == "not_played"
    caller.api.post(f"{call}/actions/hangup", {})
    ended = caller.wait_status(call, "completed")
    assert ended["agent_connect_ms"] is not None
    assert ended["agent_connect_ms"] < ended["talk_ms"]


@contextmanager
def one_who_waits() -> Iterator[tuple[ScriptedAgent, bytearray]]:
    """An agent that talks, is held, and talks on in another tone when it is told to; and what it heard on hold."""
    agent, meanwhile, up, over = ScriptedAgent(), bytearray(), threading.Event(), threading.Event()

    async def live() -> None:
        async with agent.listening():
            up.set()
            call = await agent.call()
            await call.send("ready")
            await call.say(tone(GREETING_HZ, 30_000))
            heard = 0
            while not over.is_set():
                await asyncio.sleep(0.02)
                told = call.seen("hold")
                if len(told) > heard:
                    heard = len(told)
                    if told[-1]["on"]:
                        await asyncio.sleep(0.3)  # what was on its way
                        call.audio.clear()
                        await call.say(tone(SORRY_HZ, 1000))
                    else:
                        meanwhile.extend(b"".join(call.audio)[:-8000])  # nor what came since
                        await call.say(tone(WELCOME_HZ, 30_000))

    living = threading.Thread(target=lambda: asyncio.run(live()))
    living.start()
    try:
        assert up.wait(10)
        yield agent, meanwhile
    finally:
        over.set()
        living.join()


def test_a_call_is_held_and_talked_on(stack: Stack, hears: Callable[[str, int], bool]) -> None:
    pcm.write_wav(str(stack.audio / "music.wav"), pcm.tone(NEWS_HZ, 2.0))
    (stack.audio / "music.wav").chmod(0o644)
    caller = Caller(stack, "patience")
    with one_who_waits() as (waiter, meanwhile):
        agent = agents.create(stack.db, tenant_id=caller.account.id, name="waiter", kind="websocket", url=waiter.url)
        call = caller.post(SPEAKS, agent_id=agent_ref(agent.id), max_attempts=1)
        attempt = attempt_of(caller, call)
        wait_until("the agent at the callee", lambda: hears(attempt, GREETING_HZ), timeout_s=10)
        id_ = call.removeprefix("/v1/calls/")
        held = f"{call}/actions/{caller.client.hold(id_, audio='music.wav').id}"
        wait_until("the hold's file", lambda: hears(attempt, NEWS_HZ), timeout_s=5)
        assert caller.see(held)["status"] == "holding"
        # Longer than what is on the switch at once.
        until = time.monotonic() + 4.5
        while time.monotonic() < until:
            assert not hears(attempt, GREETING_HZ)
            assert not hears(attempt, SORRY_HZ)
            time.sleep(0.1)
        wait_until("the file, over and over", lambda: hears(attempt, NEWS_HZ), timeout_s=3)
        resumed = f"{call}/actions/{caller.client.resume(id_).id}"
        wait_until("the agent at the callee again", lambda: hears(attempt, WELCOME_HZ), timeout_s=5)
        assert not hears(attempt, NEWS_HZ)
        assert [caller.wait_done(one)["result"] for one in (held, resumed)] == ["resumed", "resumed"]
        assert len(meanwhile) > 3 * 16_000, "the agent's clock went on"
        assert not any(meanwhile)
        # Put through from there: nothing of the file is left over.
        agents.change(stack.db, caller.account.id, agent.id, transfer_to=[SILENT_CALLEE])
        again = caller.act(call, "hold", {"audio": "music.wav"})
        wait_until("the hold's file", lambda: hears(attempt, NEWS_HZ), timeout_s=5)
        done = caller.wait_done(caller.act(call, "transfer", {"to": SILENT_CALLEE}))
        assert (done["result"], caller.wait_done(again)["result"]) == ("transferred", "transferred")
        second = attempt_of(caller, f"/v1/calls/{done['leg_call_id']}")
        wait_until("the callee's voice at the second leg", lambda: hears(second, SPEAKS_HZ), timeout_s=10)
        wait_until("the end of the file", lambda: not hears(attempt, NEWS_HZ), timeout_s=1.5)
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            assert not hears(attempt, NEWS_HZ)
            time.sleep(0.1)
        caller.api.post(f"{call}/actions/hangup", {})
        assert caller.wait_status(call, "completed")["hangup_by"] == "customer"


def test_a_call_is_put_through_and_both_legs_end_together(stack: Stack, hears: Callable[[str, int], bool]) -> None:
    caller = Caller(stack, "switchboard")
    call = caller.post(BEEPING_CALLEE, agent_variables={"tone_hz": GREETING_HZ, "tone_ms": 30_000}, max_attempts=1)
    first = attempt_of(caller, call)
    wait_until("the agent's greeting at the callee", lambda: hears(first, GREETING_HZ), timeout_s=10)
    agents.change(stack.db, caller.account.id, parse_ref("agent", caller.agent), transfer_to=[SILENT_CALLEE, BUSY])
    busy = caller.act(call, "transfer", {"to": BUSY})
    failed = caller.wait_done(busy)
    assert failed["result"] == "not_transferred"
    assert caller.see(f"/v1/calls/{failed['leg_call_id']}")["end_reason"] == "busy"
    asked = caller.act(call, "transfer", {"to": SILENT_CALLEE})
    done = caller.wait_done(asked)
    assert done["result"] == "transferred"
    leg = f"/v1/calls/{done['leg_call_id']}"
    second = attempt_of(caller, leg)
    wait_until("the first one's voice at the second", lambda: hears(second, BEEP_HZ), timeout_s=10)
    wait_until("the agent's silence", lambda: not hears(first, GREETING_HZ), timeout_s=5)
    caller.api.post(f"{leg}/actions/hangup", {})
    ends = [caller.wait_status(one, "completed", "failed") for one in (leg, call)]
    assert [(one["status"], one["end_reason"], one["hangup_by"]) for one in ends] == [
        ("completed", "hangup", "customer"),
        ("completed", "hangup", "platform"),
    ]
    for attempt in (first, second):
        assert facts(stack, attempt)[-2:] == ["bye", "end"]


def test_a_person_behind_a_trunk_is_rung_there_once_somebody_has_answered(
    stack: Stack, hears: Callable[[str, int], bool]
) -> None:
    caller = Caller(stack, "front-desk")
    (carrier,) = [one for one in carriers.list_limits(stack.db) if one.name == "lab_a"]
    agent_trunks.put(stack.db, "hq", carrier_id=carrier.id, tenant_id=caller.account.id)
    desk = agents.create(
        stack.db,
        tenant_id=caller.account.id,
        name="desk",
        kind="sip",
        number=BUSY,
        trunk="hq",
        trunk_user="desk-0122",  # answers there, as +12125550122 does
    )
    call = caller.post(BEEPING_CALLEE, agent_id=agent_ref(desk.id), max_attempts=1)
    caller.wait_status(call, "in_progress")
    wait_until("the desk to be rung", lambda: caller.see(call, "/actions")["data"], timeout_s=10)
    (action,) = caller.see(call, "/actions")["data"]
    assert (action["type"], action["requested_by"]) == ("transfer", "platform")
    done = caller.wait_done(f"{call}/actions/{action['id']}")
    assert done["result"] == "transferred"
    second = attempt_of(caller, f"/v1/calls/{done['leg_call_id']}")
    invites = [one for one in read_log(stack.arrivals("lab_a")) if one.get("call_id") == second and one["k"] == "invite"]
    assert [one["number"] for one in invites] == ["desk-0122"]
    wait_until("the callee's voice at the desk", lambda: hears(second, BEEP_HZ), timeout_s=10)
    caller.api.post(f"{call}/actions/hangup", {})
    for one in (call, f"/v1/calls/{done['leg_call_id']}"):
        assert caller.wait_status(one, "completed", "failed")["status"] == "completed"


def test_an_announcement_is_heard_and_ends_the_call(stack: Stack, hears: Callable[[str, int], bool]) -> None:
    (stack.audio / "news.wav").unlink(missing_ok=True)
    pcm.write_wav(str(stack.audio / "news.wav"), pcm.tone(700, 2.0))
    caller = Caller(stack, "announcer")
    agent = f"agent_{stack.announcement(caller.account, 'news.wav').hex}"
    call = caller.post(SILENT_CALLEE, agent_id=agent, max_attempts=1)
    attempt = attempt_of(caller, call)
    wait_until("the announcement at the callee", lambda: hears(attempt, 700), timeout_s=10)
    ended = caller.wait_status(call, "completed", "failed")
    assert (ended["status"], ended["end_reason"], ended["hangup_by"]) == ("completed", "hangup", "platform")
    assert facts(stack, attempt)[-2:] == ["bye", "end"]


@pytest.mark.parametrize(
    ("to", "status", "reason", "code"),
    [
        ("+12125550101", "busy", "busy", 486),
        ("+12125550103", "failed", "declined", 603),
        ("+12125550104", "failed", "bad_number", 404),
        ("+12125550105", "failed", "carrier_fault", 503),
    ],
)
def test_a_refusal_is_told_as_the_carrier_said_it(stack: Stack, to: str, status: str, reason: str, code: int) -> None:
    caller = Caller(stack, f"refused-{to[-4:]}")
    call = caller.post(to, max_attempts=1)
    ended = caller.wait_status(call, "completed", "failed", "busy", "no_answer")
    assert (ended["status"], ended["end_reason"], ended["sip_code"]) == (status, reason, code)
    assert ended["answered_at"] is None


def test_nobody_answers(stack: Stack) -> None:
    caller = Caller(stack, "patient")
    call = caller.post(RINGING, ring_timeout_s=5, max_attempts=1)
    ended = caller.wait_status(call, "no_answer", "failed", "completed", timeout_s=30)
    assert (ended["status"], ended["end_reason"]) == ("no_answer", "no_answer")
    attempt = attempt_of(caller, call)
    assert facts(stack, attempt).count("invite") == 1
    assert "cancel" in facts(stack, attempt)


def test_a_carrier_that_says_nothing(stack: Stack) -> None:
    caller = Caller(stack, "silence")
    call = caller.post(SILENCE, max_attempts=1)
    ended = caller.wait_status(call, "no_answer", "failed", "completed", timeout_s=30)
    assert (ended["status"], ended["end_reason"]) == ("failed", "carrier_silence")
    (row,) = caller.see(call, "/attempts")["data"]
    assert row["uncertain"] is True  # a phone may have rung
    assert facts(stack, row["id"]).count("invite") == 1


@pytest.mark.parametrize(("to", "state"), [(RINGING, "ringing"), (TRYING_ONLY, "dialing")])
def test_a_hangup_before_the_answer_cancels(stack: Stack, to: str, state: str) -> None:
    caller = Caller(stack, f"cancel-{to[-4:]}")
    call = caller.post(to, max_attempts=1)
    attempt = attempt_of(caller, call)
    wait_until("the INVITE at the carrier", lambda: "invite" in facts(stack, attempt), timeout_s=5)
    caller.wait_status(call, state)
    assert caller.api.post(f"{call}/actions/hangup", {}).status in (200, 202)
    ended = caller.wait_status(call, "canceled", "failed", "no_answer", "completed")
    assert (ended["status"], ended["hangup_by"]) == ("canceled", "customer")
    wait_until("the CANCEL at the carrier", lambda: "cancel" in facts(stack, attempt), timeout_s=5)
    assert "answer" not in facts(stack, attempt)


def test_a_hangup_between_claim_and_first_response(stack: Stack) -> None:
    """Whether the INVITE was on the wire already or not; before a first response no CANCEL may follow it."""
    caller = Caller(stack, "hasty")
    call = caller.post(SILENCE, max_attempts=1)
    caller.wait_status(call, "dialing")
    assert caller.api.post(f"{call}/actions/hangup", {}).status in (200, 202)
    ended = caller.wait_status(call, "canceled", "failed", "no_answer", "completed")
    assert (ended["status"], ended["hangup_by"]) == ("canceled", "customer")
    assert facts(stack, attempt_of(caller, call)).count("invite") <= 1


def test_a_hangup_by_the_caller_reaches_the_phone(stack: Stack) -> None:
    caller = Caller(stack, "impatient")
    call = caller.post(SILENT_CALLEE, max_attempts=1)
    caller.wait_status(call, "in_progress")
    assert caller.api.post(f"{call}/actions/hangup", {}).status in (200, 202)
    ended = caller.wait_status(call, "completed")
    assert (ended["end_reason"], ended["hangup_by"]) == ("hangup", "customer")
    attempt = attempt_of(caller, call)
    wait_until("the BYE at the carrier", lambda: "bye" in facts(stack, attempt), timeout_s=5)


def test_the_switch_itself_ends_a_call_that_is_too_long(stack: Stack) -> None:
    caller = Caller(stack, "talker")
    call = caller.post(SILENT_CALLEE, max_duration_s=10, max_attempts=1)
    caller.wait_status(call, "in_progress")
    ended = caller.wait_status(call, "completed", "failed", timeout_s=20)
    assert (ended["status"], ended["end_reason"], ended["hangup_by"]) == ("completed", "max_duration", "platform")
    assert "bye" in facts(stack, attempt_of(caller, call))


def test_a_call_is_recorded_as_its_enterprise_wants(stack: Stack) -> None:
    check_recorded_call(stack, "recorder")


def spool_of(stack: Stack) -> Path:
    """Where the switch leaves the CDRs it could not post."""
    (place,) = stack.places
    if not place.spool:
        pytest.skip("this FreeSWITCH posts no CDRs: see docs/real-freeswitch.md")
    return Path(place.spool)


def test_a_record_that_nobody_took_is_shipped_later(stack: Stack) -> None:
    spool, caller = spool_of(stack), Caller(stack, "unheard")
    call = caller.post(TALKS, max_attempts=1)
    file = spool / f"{attempt_of(caller, call)}.cdr.json"
    caller.wait_status(call, "in_progress")
    stack.supervisor.kill("web")
    stack.supervisor.wait_gone("web", 10)
    wait_until("the record in the spool", file.exists, timeout_s=30)
    stack.supervisor.start("web")
    wait_until("the file to be removed", lambda: not file.exists(), timeout_s=30)
    ended = caller.wait_status(call, "completed")
    assert (ended["end_reason"], ended["hangup_by"]) == ("hangup", "callee")


@contextmanager
def stock_bot() -> Iterator[tuple[StockBot, Callable[[], None]]]:
    """A bot that was written for Twilio, on a thread of its own; calling the second one ends it as a crash would."""
    bot, up, die = StockBot(ulaw.encode(tone(GREETING_HZ, 30_000))), threading.Event(), threading.Event()

    async def live() -> None:
        async with bot.listening():
            up.set()
            await asyncio.to_thread(die.wait)
            for socket in bot.sockets:
                socket.transport.abort()

    living = threading.Thread(target=lambda: asyncio.run(live()))
    living.start()

    def crash() -> None:
        die.set()
        living.join()

    try:
        assert up.wait(10)
        yield bot, crash
    finally:
        crash()


def test_a_bot_written_for_twilio_talks_behind_its_greeting_and_its_fallback_follows_when_it_dies(
    stack: Stack, hears: Callable[[str, int], bool]
) -> None:
    for name, sound in (("sorry", pcm.tone(SORRY_HZ, 3.0)), ("welcome", pcm.tone(WELCOME_HZ, 3.0))):
        pcm.write_wav(str(stack.audio / f"{name}.wav"), sound)
        (stack.audio / f"{name}.wav").chmod(0o644)
    caller = Caller(stack, "stock")
    with stock_bot() as (bot, crash):
        agent = agents.create(
            stack.db,
            tenant_id=caller.account.id,
            name="stock",
            kind="websocket",
            url=bot.url,
            protocol="twilio",
            fallback={"action": "announcement", "audio": "sorry.wav"},
            greeting={"audio": "welcome.wav"},
        )
        call = caller.post(BEEPING_CALLEE, agent_id=agent_ref(agent.id), max_attempts=1)
        attempt = attempt_of(caller, call)
        wait_until("the greeting by the switch", lambda: hears(attempt, WELCOME_HZ), timeout_s=15)
        wait_until("the bot's own at the callee", lambda: hears(attempt, GREETING_HZ), timeout_s=15)
        wait_until("the callee's audio at the bot", lambda: len(bot.seen("media")) > 20, timeout_s=10)
        crash()
        wait_until("the fallback", lambda: hears(attempt, SORRY_HZ) and not hears(attempt, GREETING_HZ), timeout_s=15)
    ended = caller.wait_status(call, "completed", "failed")
    assert (ended["status"], ended["end_reason"], ended["hangup_by"]) == ("completed", "agent_lost", "platform")


@pytest.mark.parametrize("who", ["somebody", "nobody"])
def test_a_lost_agents_callee_is_put_through(stack: Stack, hears: Callable[[str, int], bool], who: str) -> None:
    caller = Caller(stack, f"lost-{who}")
    with stock_bot() as (bot, crash):
        agent = agents.create(
            stack.db,
            tenant_id=caller.account.id,
            name="mortal",
            kind="websocket",
            url=bot.url,
            protocol="twilio",
            fallback={"action": "transfer", "to": SPEAKS if who == "somebody" else BUSY},
        )
        call = caller.post(SPEAKS, agent_id=agent_ref(agent.id), max_attempts=1)
        first = attempt_of(caller, call)
        wait_until("the bot at the callee", lambda: hears(first, GREETING_HZ), timeout_s=15)
        crash()
    wait_until("somebody to be rung", lambda: caller.see(call, "/actions")["data"], timeout_s=15)
    (action,) = caller.see(call, "/actions")["data"]
    assert (action["type"], action["requested_by"]) == ("transfer", "platform")
    done = caller.wait_done(f"{call}/actions/{action['id']}")
    leg = f"/v1/calls/{done['leg_call_id']}"
    if who == "nobody":
        assert (done["result"], caller.see(leg)["end_reason"]) == ("not_transferred", "busy")
        ended = caller.wait_status(call, "completed", "failed")
        assert (ended["status"], ended["end_reason"], ended["hangup_by"]) == ("completed", "agent_lost", "platform")
        return
    assert done["result"] == "transferred"
    second = attempt_of(caller, leg)
    for one in (first, second):
        wait_until("the other one's voice", lambda one=one: hears(one, SPEAKS_HZ), timeout_s=10)  # type: ignore[misc]
    assert not hears(first, GREETING_HZ)
    caller.api.post(f"{leg}/actions/hangup", {})
    ends = [caller.wait_status(one, "completed", "failed") for one in (leg, call)]
    assert [(one["status"], one["end_reason"], one["hangup_by"]) for one in ends] == [
        ("completed", "hangup", "customer"),
        ("completed", "hangup", "platform"),
    ], "the call did not fail"
    for attempt in (first, second):
        assert facts(stack, attempt)[-2:] == ["bye", "end"]


def test_event_and_record_tell_the_same_of_every_call(stack: Stack) -> None:
    """After everything above, whatever ended it: each attempt that was out has both witnesses, who do not disagree."""
    spool_of(stack)
    with psycopg.connect(stack.database_url, autocommit=True) as conn:

        def told() -> list[tuple[str, int]]:
            sql = """
                SELECT a.end_reason, count(DISTINCT v.source) FROM attempts a
                LEFT JOIN call_events v ON v.attempt_id = a.id AND v.type = 'attempt.ended' AND v.source IN ('event', 'cdr')
                WHERE a.claimed_at IS NOT NULL AND NOT a.local GROUP BY a.id ORDER BY a.id"""
            return conn.execute(sql).fetchall()

        wait_until("both witnesses of each", lambda: {count for _, count in told()} == {2}, timeout_s=20)
        assert {reason for reason, _ in told()} >= {"hangup", "busy", "no_answer", "canceled", "max_duration"}
        contradictions = conn.execute("SELECT data FROM call_events WHERE type = 'attempt.contradiction'").fetchall()
    assert contradictions == []


def test_the_carriers_log_agrees(stack: Stack) -> None:
    """After everything above: each attempt dialed once, no limit broken, no channel and no lease left."""
    verdict = judge(stack.arrivals("lab_a"))
    assert verdict.violations == []
    assert verdict.invites > 0
    (carrier,) = carriers.list_limits(stack.db)
    with redis.Redis.from_url(stack.redis_url) as connection:
        wait_until("every lease", lambda: connection.zcard(f"{PREFIX}held:carrier:{carrier.id}") == 0, timeout_s=20)
