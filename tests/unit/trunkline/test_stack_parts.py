"""The switches of a stack: names, ports, which processes each has of its own."""

from __future__ import annotations

import pathlib

import pytest

from settings import Settings
from trunkline.lab_parts import LabCarrier, lab_places, with_places
from trunkline.stack import Stack, settings_from

PROCFILE = {"web": "run web", "controller": "run controller", "relay": "run relay"}


def test_one_switch_has_the_names_of_the_procfile() -> None:
    (place,) = lab_places(1, [5001])
    assert [(name, beside) for name, _, beside in with_places(PROCFILE, [place])] == [
        ("web", None),
        ("controller", place),
        ("relay", place),
    ]
    assert place.process("switch") == "switch"
    assert place.name == "fs1"


def test_each_of_several_switches_has_its_own_controller_and_relay() -> None:
    places = lab_places(3, [5001, 5002, 5003])
    found = with_places(PROCFILE, places)
    assert [name for name, _, _ in found] == [
        "web",
        *(f"controller-fs{n}" for n in (1, 2, 3)),
        *(f"relay-fs{n}" for n in (1, 2, 3)),
    ]
    assert {command for name, command, _ in found if name.startswith("relay")} == {"run relay"}
    assert len({place.esl for place in places} | {place.sip for place in places}) == 6
    assert len({place.password for place in places}) == 3


def test_a_controller_and_its_relay_are_told_the_same_switch_and_port() -> None:
    first, second = lab_places(2, [5001, 5002])
    told: Settings = settings_from(second.environ())
    assert (told.switch, told.relay_port, told.esl_port) == ("fs2", 5002, second.esl[1])
    assert (told.esl_user, told.relay_esl_user) == ("controller@trunkline", "relay@trunkline")
    assert told.esl_password == second.user_password != second.password
    assert settings_from(first.environ()).relay_port == 5001


def test_a_switch_knows_the_way_to_every_carrier() -> None:
    (place,) = lab_places(1, [5001])
    command = place.command(gateways={"a": "127.0.0.1:1", "b": "127.0.0.1:2"}, seed=4, temp=pathlib.Path("/t"))
    assert "--gateway a=127.0.0.1:1 --gateway b=127.0.0.1:2" in command
    assert place.password not in command
    assert "--cdr" not in command


def test_a_switch_with_a_spool_posts_its_cdrs() -> None:
    first, second = lab_places(2, [5001, 5002], pathlib.Path("/t/cdrs"))
    command = second.command(gateways={}, seed=4, temp=pathlib.Path("/t"), cdr_url="http://127.0.0.1:1/internal/cdr")
    assert "--cdr-url http://127.0.0.1:1/internal/cdr" in command
    assert "--cdr-spool /t/cdrs/fs2" in command
    told = settings_from(second.environ())
    assert told.cdr_spool == "/t/cdrs/fs2" != settings_from(first.environ()).cdr_spool


@pytest.mark.parametrize("switches", [0, -1])
def test_a_stack_has_at_least_one_switch(switches: int) -> None:
    with pytest.raises(ValueError, match="switches"):
        Stack(pathlib.Path(), [LabCarrier("a", 1, 1)], [], switches=switches).start()
