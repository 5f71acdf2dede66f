"""The Procfile's grammar, and that ours starts every process there is."""

from __future__ import annotations

import pathlib

import pytest

from trunkline.supervisor import parse_procfile

CHECKOUT = pathlib.Path(__file__).parents[3]


def test_ours_names_every_process_once() -> None:
    commands = parse_procfile((CHECKOUT / "Procfile").read_text())
    beside = {"controller", "standby", "relay", "spool", "recordings"}
    assert set(commands) == beside | {"web", "feeder", "health", "watchdog", "dispatcher", "agent"}


def test_the_laboratorys_has_all_that_a_switch_needs() -> None:
    commands = parse_procfile((CHECKOUT / "Procfile.lab").read_text())
    ours = parse_procfile((CHECKOUT / "Procfile").read_text())
    assert set(commands) == {"lab-carrier", "lab-switch", "lab-controller", "lab-relay"}
    assert {commands[f"lab-{role}"] == ours[role] for role in ("controller", "relay")} == {True}


def test_comments_and_empty_lines_are_skipped() -> None:
    assert parse_procfile("# nothing\n\na: b c: d\n") == {"a": "b c: d"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: b\nnothing here\n", "line 2: expected 'name: command'"),
        ("a:\n", "line 1: expected 'name: command'"),
        ("a: b\na: c\n", "line 2: a second process named 'a'"),
    ],
)
def test_a_bad_line_is_named(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_procfile(text)
