"""Announcements as they are made by the API: parts, texts, a menu, and the variables that their calls must bring."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calls.ids import agent_ref
from store import agents
from tests.web.conftest import Api, World, named
from web.api import voices

Order = Callable[..., dict[str, Any]]
MENU = {"confirm": "1", "repeat": "2", "opt_out": "9", "opted_out": [{"text": "Good bye, {{name}}"}]}
SCRIPT = [{"audio": "hello.wav"}, {"text": "Good day, {{name}}: order {{order}}."}]


@pytest.fixture
def speaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that has one voice, en-gb."""
    program = tmp_path / "espeak-ng"
    program.write_text("#!/bin/sh\necho 'Pty Language Age/Gender VoiceName File'\necho ' 5  en-gb  --/M English gmw/en'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)


def make(api: Api, name: str, **fields: Any) -> Any:
    return api.post("/v1/agents", {"name": name, "kind": "announcement", **fields})


@pytest.mark.usefixtures("speaking")
def test_a_script_is_kept_and_shown_with_what_its_calls_must_bring(api: Api) -> None:
    made = make(api, "scripted", script=SCRIPT, menu=MENU, voice="en-gb")
    assert made.status_code == 201, made.get_json()
    shown = made.get_json()
    assert (shown["audio"], shown["script"], shown["voice"]) == (None, SCRIPT, "en-gb")
    assert shown["menu"] == {**MENU, "confirmed": None, "wait_s": 10, "repeats": 1}
    assert shown["needs_variables"] == ["name", "order"]
    path = made.headers["Location"]
    changed = api.send("PATCH", path, json={"audio": "other.wav"}).get_json()
    assert (changed["audio"], changed["script"], changed["needs_variables"]) == ("other.wav", None, ["name"])
    changed = api.send("PATCH", path, json={"menu": {"confirm": "1"}}).get_json()
    assert (changed["menu"]["opt_out"], changed["needs_variables"]) == (None, [])
    assert api.get(path).get_json() == changed


@pytest.mark.usefixtures("speaking")
@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({}, {"/audio": "required"}),
        ({"audio": "a.wav", "script": SCRIPT}, {"/script": "conflict"}),
        ({"script": []}, {"/script": "bad_length"}),
        ({"script": [{"audio": "a.wav", "text": "b"}]}, {"/script/0": "required"}),
        ({"script": [{"text": "Hello {name}"}]}, {"/script/0/text": "bad_format"}),
        ({"script": [{"text": "a\nb"}]}, {"/script/0/text": "bad_character"}),
        ({"script": [{"text": "Hello"}], "voice": "tlh"}, {"/voice": "unknown_voice"}),
        ({"audio": "a.wav", "menu": {}}, {"/menu": "required"}),
        ({"audio": "a.wav", "menu": {"confirm": "A"}}, {"/menu/confirm": "bad_format"}),
        (
            {"audio": "a.wav", "menu": {"confirm": "1", "repeat": "1"}},
            {"/menu/confirm": "conflict"},
        ),
        (
            {"audio": "a.wav", "menu": {"confirm": "1", "opted_out": [{"audio": "b.wav"}]}},
            {"/menu/opted_out": "not_allowed"},
        ),
        ({"audio": "a.wav", "url": "wss://bot.example.com/"}, {"/url": "not_allowed"}),
    ],
)
def test_what_makes_no_announcement_is_refused_by_name(api: Api, fields: dict[str, Any], fault: dict[str, str]) -> None:
    refused = make(api, "wrong", **fields)
    assert (refused.status_code, named(refused)) == (422, fault)


@pytest.mark.usefixtures("speaking")
def test_what_an_agent_greets_with_its_calls_must_bring(api: Api, world: World, order: Order) -> None:
    body = {"name": "greets", "kind": "websocket", "url": "wss://bot.example.com/", "voice": "en-gb"}
    made = api.post("/v1/agents", {**body, "greeting": {"text": "Good day, {{name}}."}})
    shown = made.get_json()
    assert (shown["greeting"], shown["voice"]) == ({"text": "Good day, {{name}}."}, "en-gb")
    assert shown["needs_variables"] == ["name"]
    assert named(api.post("/v1/calls", order(agent_id=shown["id"]))) == {"/agent_variables/name": "missing_variable"}
    assert api.post("/v1/calls", order(agent_id=shown["id"], agent_variables={"name": "Ada"})).status_code == 202
    path = made.headers["Location"]
    assert named(api.send("PATCH", path, json={"voice": "tlh"})) == {"/voice": "unknown_voice"}
    sorry = {"action": "announcement", "text": "We are sorry, {{title}}."}
    assert api.send("PATCH", path, json={"fallback": sorry}).get_json()["needs_variables"] == ["name", "title"]
    assert api.send("PATCH", path, json={"greeting": None}).get_json()["needs_variables"] == ["title"]
    hang_up = {"fallback": {"action": "hangup"}}
    assert api.send("PATCH", path, json=hang_up).get_json()["needs_variables"] == []


def test_a_script_belongs_to_no_other_kind(api: Api) -> None:
    body = {"name": "bot", "kind": "websocket", "url": "wss://bot.example.com/", "script": SCRIPT, "menu": MENU}
    refused = api.post("/v1/agents", body)
    assert named(refused) == {"/script": "not_allowed", "/menu": "not_allowed"}


def test_without_a_voice_texts_are_refused_by_name_and_files_are_not(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert named(make(api, "mute", script=SCRIPT)) == {"/script": "tts_not_set_up"}
    assert named(make(api, "mute", audio="a.wav", menu=MENU)) == {"/script": "tts_not_set_up"}
    bot = {"name": "mute", "kind": "websocket", "url": "wss://bot.example.com/", "greeting": {"text": "Hello"}}
    assert named(api.post("/v1/agents", bot)) == {"/greeting/text": "tts_not_set_up"}
    bot |= {"greeting": {"audio": "a.wav"}, "fallback": {"action": "announcement", "text": "Sorry"}}
    assert named(api.post("/v1/agents", bot)) == {"/fallback/text": "tts_not_set_up"}
    assert make(api, "sounding", script=[{"audio": "a.wav"}], menu={"confirm": "1"}).status_code == 201


def test_the_voices_of_this_machine_are_read_or_there_are_none() -> None:
    known = voices.languages("espeak-ng")
    assert (known is None) == (shutil.which("espeak-ng") is None)
    assert known is None or "de" in known


@pytest.mark.usefixtures("speaking")
def test_a_call_must_bring_what_its_agent_says(api: Api, world: World, order: Order) -> None:
    known = agents.get_by_name(world.database, world.ours.id, "saying")
    agent_id = agent_ref(known.id) if known else make(api, "saying", script=SCRIPT).get_json()["id"]
    before = world.counts()
    for variables, fault in (
        (None, {"/agent_variables/name": "missing_variable", "/agent_variables/order": "missing_variable"}),
        ({"name": "Ada", "order": [1]}, {"/agent_variables/order": "not_speakable"}),
        ({"name": " ", "order": 1}, {"/agent_variables/name": "not_speakable"}),
    ):
        more = {} if variables is None else {"agent_variables": variables}
        refused = api.post("/v1/calls", order(agent_id=agent_id, **more))
        assert (refused.status_code, named(refused)) == (422, fault)
    assert world.counts() == before
    good = {"name": "Ada", "order": 17}
    batch = [{**order(agent_id=agent_id), "agent_variables": given} for given in (good, {"name": "Ada"})]
    rows = api.post("/v1/batches", {"calls": batch}).get_json()["calls"]
    assert [row["status"] for row in rows] == ["accepted", "refused"]
    assert rows[1]["errors"][0]["pointer"] == "/calls/1/agent_variables/order"
    accepted = api.post("/v1/calls", order(agent_id=agent_id, agent_variables=good))
    assert (accepted.status_code, accepted.get_json()["menu"]) == (202, None)
