"""Hostile values through the API's own checks and into every ESL builder; what a socket got beyond one command each.

Each value is given to a field of a request, as the API checks its body, and to a parameter of a builder of commands, past
the API. What the API accepts goes into everything that takes text. Whatever a builder lets through is written by the link's
own connection to a TCP socket, whose bytes are read by a reader that shares nothing with the builders (bench/_hostile.py):
as many commands as were written, each of the same words, headers and variables as that builder's command for good values.
"""

from __future__ import annotations

import inspect
import json
import pkgutil
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from uuid import UUID

import gevent
import gevent.server
import gevent.socket
from flask import Flask
from redis import Redis
from werkzeug.exceptions import HTTPException

import web.api
from bench import Ratio, Report
from bench._hostile import Shape, Unreadable, Values, frames, shape
from calls.trunk import Trunk
from controller import (
    audio_fork,
    commands,
    commands_link,
    doctor_commands,
    gateway_commands,
    inbound_commands,
    originate,
    record_commands,
)
from controller.esl_connection import Connection
from controller.esl_state import Counters
from controller.esl_wire import Command, CommandError
from settings import Settings
from store.pool import Database
from web.api.fields import Object, Request
from web.api.parser import Blueprint
from web.app import create_app
from web.problems import Problem

VALUES = 100_000
SEED = 20_261_127
#: Commands in one write, as a link may gather them.
BURST = 200
_LIMIT_S = 60.0

ATTEMPT = UUID("f3280cf2-59b3-4d51-b8d1-b6d6f408f532")
DIRECTORY = "/dev/shm/trunkline"
FORK = f"ws://127.0.0.1:8090/fork/{ATTEMPT}"
_ROOMS = (
    commands, originate, audio_fork, record_commands, commands_link, gateway_commands, inbound_commands, doctor_commands,
)  # fmt: skip
#: By (builder, parameter), or parameter alone: a value that is good there. A new parameter is named here.
GOOD: dict[str, object] = {
    "attempt_id": ATTEMPT, "other_id": UUID(int=ATTEMPT.int + 1),
    "call_ref": f"call_{ATTEMPT.hex}", "tenant": "acme", "gateway": "acme-e1-v4",
    "to_number": "+4930123456", "from_number": "+442079460000", "originate_timeout_s": 55, "max_duration_s": 3600,
    "fork_url": FORK, "trunk": Trunk(), "realm": "trunkline", "fence": 7, "cause": "USER_BUSY", "digits": "12#",
    "tone_ms": 250,
    "path": f"{DIRECTORY}/a.wav", "tag": "a1", "url": FORK, "bugname": "trunkline", "rate": 8000, "user": "a@b.example",
    "password": "secret", "events": ["CHANNEL_ANSWER"], "subclasses": ["mod_audio_fork::connect"], "after_s": 60,
    "address": "192.0.2.1", "module": "mod_sofia", "profile": "carriers",
    "originate.user": None,
    "playback.under": [DIRECTORY], "uuid_displace.under": [DIRECTORY], "record.under": DIRECTORY,
    "uuid_setvar.name": "trunkline_end_reason", "uuid_setvar.value": "agent_lost", "uuid_getvar.name": "read_codec",
    "global_getvar.name": "core_uuid", "filter_event.name": "CHANNEL_ANSWER",
    "filter_subclass.name": "mod_audio_fork::connect", "acl.name": "carriers",
}  # fmt: skip
#: Builders with more than one form, by what brings it about: without a user the password alone logs in, a number is dialed.
_FORMS: dict[str, list[dict[str, object]]] = {"auth": [{"user": ""}], "originate": [{"user": "front.desk"}]}
#: Good texts for fields of requests whose hostile ones are to begin near something right; all others begin with a word.
_GOOD_FIELDS = {
    "to": "+4930123456", "from": "+442079460000", "url": "wss://agent.example/talk", "webhook_url": "https://example.com/hook",
    "audio": "hello.wav", "notice": "notice.wav", "agent_id": f"agent_{ATTEMPT.hex}", "name": "greeter", "digits": "12#",
    "time_zone": "Europe/Berlin", "priority": "normal", "file": "hello.wav",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slot:
    """One parameter of one builder that takes text."""

    builder: Callable[..., Command]
    good: dict[str, object]
    name: str

    def build(self, text: str) -> Command:
        """The command with ``text`` there and good values everywhere else. Raises what the builder raises."""
        value: object = [text] if isinstance(self.good[self.name], list) else text
        return self.builder(**{**self.good, self.name: value})


@dataclass(slots=True)
class Tally:
    """What was done, and what is wrong: each entry of ``wrong`` is one thing that must not be."""

    values: int = 0
    refused_by_api: int = 0
    accepted_by_api: int = 0
    refused_by_builders: int = 0
    written: list[tuple[Command, Collection[Shape]]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def run() -> Report:
    tally = play(VALUES, SEED)
    facts: dict[str, float | int | str] = {
        "values": tally.values,
        "refused_by_the_api": tally.refused_by_api,
        "accepted_by_the_api": tally.accepted_by_api,
        "refused_by_builders": tally.refused_by_builders,
        "commands_on_the_socket": len(tally.written),
        "what_is_wrong": "; ".join(tally.wrong[:5]),
    }
    return Report([Ratio("extra", 1.0 + len(tally.wrong), 1.0, "1 and what must not be", "one command each")], facts)


def play(values: int, seed: int) -> Tally:
    """So many hostile values, the same for a seed, and what came of them."""
    tally, made = Tally(), Values(seed)
    slots = list(all_slots())
    models = {slot.builder: right_shapes(slot) for slot in slots}
    fields = list(all_fields())
    app = _app()
    for number in range(values):
        tally.values += 1
        schema, name = fields[number % len(fields)]
        accepted = _through_api(app, schema, name, made)
        tally.refused_by_api += accepted is None
        tally.accepted_by_api += accepted is not None
        for text in accepted or ():
            for slot in slots:
                _into(slot, text, models, tally)
        slot = slots[number % len(slots)]
        good = slot.good[slot.name]
        _into(slot, made.near(str(good[0] if isinstance(good, list) else good)), models, tally)
    _judge(tally, _received([command for command, _ in tally.written]))
    return tally


def _into(slot: Slot, text: str, models: Mapping[Callable[..., Command], Collection[Shape]], tally: Tally) -> None:
    try:
        tally.written.append((slot.build(text), models[slot.builder]))
    except CommandError:
        tally.refused_by_builders += 1
    except Exception as error:  # noqa: BLE001  # whatever else a builder raises is a fault of its own
        tally.wrong.append(f"{slot.builder.__name__}({slot.name}={text[:60]!r}) raised {type(error).__name__}")


def _judge(tally: Tally, stream: bytes) -> None:
    try:
        seen = list(frames(stream))
    except Unreadable as error:
        tally.wrong.append(str(error))
        return
    if len(seen) != len(tally.written):
        tally.wrong.append(f"{len(seen)} commands on the socket, {len(tally.written)} were written")
        return
    for frame, (command, models) in zip(seen, tally.written, strict=True):
        try:
            found = shape(frame)
        except Unreadable as error:
            tally.wrong.append(f"{command.kind}: {error}")
            continue
        if found not in models:
            tally.wrong.append(f"{command.kind}: {found} where {models} are right")


# --- the builders, the fields -----------------------------------------------------------------------------------------


def builders() -> Iterator[Callable[..., Command]]:
    """Every function of the rooms of builders that makes a command, once."""
    seen = set()
    for room in _ROOMS:
        for name, made in inspect.getmembers(room, inspect.isfunction):
            if name.startswith("_") or name == "command" or made in seen or not made.__module__.startswith("controller."):
                continue
            if typing.get_type_hints(made).get("return") is Command:
                seen.add(made)
                yield made


def all_slots() -> Iterator[Slot]:
    """Every parameter that takes text. LookupError: a builder has one for which no good value is named here."""
    for builder in builders():
        hints = typing.get_type_hints(builder)
        good = {name: _good(builder, name) for name in inspect.signature(builder).parameters}
        for name in good:
            if hints[name] in (str, str | None, Sequence[str]):
                yield Slot(builder, good, name)


def _good(builder: Callable[..., Command], name: str) -> object:
    room = "record" if builder.__module__ == record_commands.__name__ else builder.__name__
    for key in (f"{room}.{name}", name):
        if key in GOOD:
            return GOOD[key]
    raise LookupError(f"bench/hostile.py: name a good value for {builder.__name__}({name}) in GOOD")


def right_shapes(slot: Slot) -> frozenset[Shape]:
    """The builder's command for good values alone, in each of its forms."""
    forms = [slot.good, *({**slot.good, **other} for other in _FORMS.get(slot.builder.__name__, ()))]
    return frozenset(shape(frame) for good in forms for frame in frames(slot.builder(**good).wire))


def all_fields() -> Iterator[tuple[Request, str]]:
    """Every field of every request the API takes, with its schema: read from the code, so that new ones are in it too."""
    for module in pkgutil.iter_modules(web.api.__path__, "web.api."):
        import_module(module.name)
    waiting, kinds = [Request], []
    while waiting:
        kinds += (below := waiting.pop().__subclasses__())
        waiting += below
    for kind in sorted(set(kinds), key=lambda one: f"{one.__module__}.{one.__qualname__}"):
        schema = kind()
        for name, one in sorted(schema.load_fields.items()):
            yield schema, one.data_key or name


def _through_api(app: Flask, schema: Request, name: str, made: Values) -> list[str] | None:
    """Every text in what the API makes of a body with a hostile value in that field; None: it refuses the field."""
    one = next(item for key, item in schema.load_fields.items() if (item.data_key or key) == name)
    good = _GOOD_FIELDS.get(name, "word")
    value = made.nested(good) if isinstance(one, Object) else made.near(good)
    body = json.dumps({name: value}).encode()
    with app.test_request_context(method="POST", data=body, content_type="application/json"):
        try:
            return list(_texts(Blueprint.ARGUMENTS_PARSER.parse(schema, location="json")))
        except Problem as problem:
            # A body that lacks something else may be refused for that; then the field's own value was good.
            at_fault = {f"{fault.where}/".split("/")[1] for fault in problem.errors}
            return None if name in at_fault or not at_fault else list(_texts(value))
        except HTTPException:  # too large
            return None


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from (key, *_texts(item))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _app() -> Flask:
    """The application, of which only the settings are asked here: nothing is read or written."""
    nowhere = typing.cast(Database, None)
    return create_app(Settings.model_validate({}), database=nowhere, redis=Redis())


# --- the socket -------------------------------------------------------------------------------------------------------


def _received(written: Sequence[Command]) -> bytes:
    """What a TCP socket got when these were written by a link's own connection."""
    recorded = bytearray()

    def record(sock: gevent.socket.socket, _: object) -> None:
        while data := sock.recv(1 << 16):
            recorded.extend(data)

    server = gevent.server.StreamServer(("127.0.0.1", 0), record)
    server.start()
    try:
        with gevent.Timeout(_LIMIT_S + len(written) / 1000):
            sock = gevent.socket.create_connection(("127.0.0.1", server.server_port))
            link = Connection(
                sock, max_frame_bytes=1 << 20, command_timeout_s=_LIMIT_S, on_close=lambda _: None, counters=Counters()
            )
            for start in range(0, len(written), BURST):
                link.write(written[start : start + BURST])
            sock.shutdown(gevent.socket.SHUT_WR)
            sent = sum(len(command.wire) for command in written)
            while len(recorded) < sent:
                gevent.sleep(0.01)
    finally:
        server.stop()
    return bytes(recorded)
