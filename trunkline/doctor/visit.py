"""The whole check-up, part by part. What does not answer is a finding, never an error."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from budget import checkup as budget_checkup
from controller import commands, doctor_commands
from controller.relay.permission import question
from settings import Settings
from store import backlog, carriers, checkup, outbound, test_lab
from store.carriers import Endpoint
from store.migrate import pending
from store.pool import Database
from trunkline.doctor import (
    agents,
    environment,
    machine,
    recordings,
    rules,
    servers,
    speech,
    switch,
    tenancy,
    test_keys,
    trunks,
)
from trunkline.doctor.finding import Finding, fail, ok, warn
from trunkline.switch_line import PasswordRefused, SwitchLine, SwitchSilent

PROFILE = "carriers"
#: s; a switch that was not spoken for so long is not in service.
SEEN_S = 25.0


def examine(settings: Settings, db: Database | None, redis: Redis, away: str = "") -> list[Finding]:
    """``db`` None: Postgres is away, as ``away`` says; then what depends on its rows is not looked at."""
    found = environment.judge_names(os.environ)
    if db is None:
        found.append(fail("Postgres", f"does not answer: {away}", "start it; DATABASE_URL names it"))
    else:
        found += _postgres(settings, db)
    try:
        found += servers.judge_redis(budget_checkup.server(redis), time.time())
    except RedisError as error:
        found.append(fail("Redis", f"does not answer: {error}", "start it; REDIS_URL names it"))
    endpoints: list[Endpoint] | None = None
    channels, cps = 0, 0.0
    if db is not None and not pending(settings.database_url):
        # What this switch is to dial: the laboratory's carriers are no other switch's business, and the other way round.
        limits = [one for one in carriers.list_limits(db) if not one.paused and one.lab == settings.lab_switch]
        endpoints = [one for one in carriers.list_endpoints(db, lab=settings.lab_switch) if one.enabled]
        channels, cps = sum(one.max_channels for one in limits), sum(one.cps for one in limits)
        found += tenancy.look(settings, db)
        found += _house(db, settings)
    found += _switch(settings, endpoints, channels, cps)
    found += machine.playback(settings.relay_audio_dir)
    return found + recordings.recordings(settings)


def _postgres(settings: Settings, db: Database) -> list[Finding]:
    try:
        return servers.judge_postgres(checkup.server(db), pending(settings.database_url), time.time())
    except psycopg.Error as error:
        return [fail("Postgres", f"does not answer: {' '.join(str(error).split())}", "start it; DATABASE_URL names it")]


def _house(db: Database, settings: Settings) -> list[Finding]:
    """What the rows say of the other parts."""
    found = judge_switches(checkup.switches(db), settings.switch)
    found += trunks.judge_audio(checkup.deaf(db, datetime.now(UTC) - timedelta(days=1)))
    found += test_keys.judge_laboratory(test_lab.look(db, datetime.now(UTC) - timedelta(seconds=SEEN_S)))
    found += rules.judge_tenants(outbound.without_rules(db), backlog.all_queued(db))
    found += speech.speech(settings.tts_program, checkup.speaking(db))
    return found + agents.agents(checkup.agents(db, agents.MOST))


def judge_switches(seen: Sequence[checkup.SwitchSeen], ours: str) -> list[Finding]:
    """Each switch that a controller ever spoke for. ``ours``: the one that is looked at more closely from here."""
    found = []
    for one in seen:
        about = f"switch {one.name}"
        if one.drained:
            found.append(warn(about, "is drained: nothing is dialed there", f"trunkline undrain {one.name}"))
        elif one.silent_s is None or one.silent_s > SEEN_S:
            ago = "ever" if one.silent_s is None else f"for {one.silent_s:.0f} s"
            found.append(fail(about, f"no controller has spoken for it {ago}", "start its controller, or drain the switch"))
        elif one.name != ours:
            found.append(ok(about, "its controller speaks for it; its own set-up: run 'trunkline doctor' beside it"))
    return found


def _switch(settings: Settings, endpoints: Sequence[Endpoint] | None, channels: int, cps: float) -> list[Finding]:
    about = f"switch {settings.switch}"
    at = (settings.esl_host, settings.esl_port)
    found: list[Finding] = []
    if machine.is_here(settings.esl_host):
        found += switch.judge_listeners(
            about, machine.listeners(settings.esl_port, machine.socket_tables()), settings.esl_port
        )
    try:
        with SwitchLine(at, user=settings.esl_user, password=settings.esl_password) as line:
            found += _ask(about, line, endpoints, channels, cps)
        with SwitchLine(at, user=settings.relay_esl_user or settings.esl_user, password=settings.esl_password) as line:
            found += switch.judge_voice(about, line.ask(question(settings.relay_audio_dir)))
        found += switch.judge_password(about, settings.esl_password, public_accepted=_lets_in(at))
    except PasswordRefused as error:
        found.append(fail(about, str(error), "TRUNKLINE_ESL_PASSWORD (and _USER) must be the switch's own"))
    except SwitchSilent as error:
        found.append(fail(about, str(error), "start it; TRUNKLINE_ESL_HOST and TRUNKLINE_ESL_PORT name it"))
    except commands.CommandError as error:
        found.append(fail(about, str(error), "set TRUNKLINE_ESL_PASSWORD; there is no default on purpose"))
    return found


def _ask(about: str, line: SwitchLine, endpoints: Sequence[Endpoint] | None, channels: int, cps: float) -> Iterator[Finding]:
    clock = line.ask(doctor_commands.epoch()).strip()
    yield from servers.judge_clock(about, float(clock), time.time()) if clock.isdigit() else []
    yield from switch.judge_version(about, line.ask(commands.version()))
    modules = [*switch.NEEDED, *switch.UNWANTED]
    loaded = {one: line.ask(doctor_commands.module_exists(one)).strip() == "true" for one in modules}
    yield from switch.judge_modules(about, loaded)
    yield from switch.judge_idle(about, line.ask(commands.global_getvar("send_silence_when_idle")))
    yield from switch.judge_limits(about, line.ask(commands.status()), channels, cps)
    addresses = sorted({trunks.host(one.address) for one in endpoints or ()})
    yield from trunks.judge_profile(about, line.ask(doctor_commands.profile_status(PROFILE)), addresses)
    inside = {one: line.ask(doctor_commands.acl(one, PROFILE)).strip() == "true" for one in addresses}
    stranger = line.ask(doctor_commands.acl(trunks.STRANGER, PROFILE)).strip() == "true"
    yield from trunks.judge_acl(about, inside, stranger=stranger)
    if endpoints is None:
        return  # nobody told which there are
    said = {one.gateway: line.ask(commands.gateway_status(one.gateway)) for one in endpoints}
    yield from trunks.judge_gateways(about, endpoints, said)


def _lets_in(at: tuple[str, int]) -> bool:
    """Whether the event socket takes the password that everybody knows."""
    try:
        SwitchLine(at, user="", password=switch.PUBLIC_PASSWORD).close()
    except SwitchSilent:
        return False
    return True
