"""Who runs the agent's code: what it is from then on, and what it may not do any more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.fleet.confine import give_up, keep_to_itself, uid_of

ROOT = os.geteuid() == 0
NOBODY = "nobody"


def in_a_child(do: Callable[[], str]) -> str:
    """What it says, in a process of its own: it does not come back from it."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            said = do()
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as heard:
        said = heard.read()
    os.waitpid(child, 0)
    return said


def status(text: str | None = None) -> dict[str, str]:
    lines = (text or Path("/proc/self/status").read_text()).splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_it_has_no_capability_and_gets_none() -> None:
    """Nor has a program that it starts."""

    def after() -> str:
        give_up()
        started = subprocess.run(["cat", "/proc/self/status"], check=True, capture_output=True, text=True).stdout
        found = [status(), status(started)]
        return " ".join(one[name] for one in found for name in ("CapEff", "CapPrm", "CapAmb", "NoNewPrivs"))

    assert set(in_a_child(after).split()) == {"0" * 16, "1"}


def test_another_user_is_roots_to_give() -> None:
    def after() -> str:
        give_up(NOBODY)
        return f"{os.getresuid()} {os.getgroups() == [] or 0 not in os.getgroups()} {int(status()['CapEff'], 16)}"

    uid = uid_of(NOBODY)
    wanted = f"{(uid, uid, uid)} True 0" if ROOT else "PermissionError"
    assert in_a_child(after).startswith(wanted)


def test_a_user_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="no such user"):
        uid_of("nobody_of_this_name")


def test_a_process_that_keeps_to_itself_is_read_by_nobody_without_the_right() -> None:
    """Beside it one that does not, which whoever is of the same user can read. Neither can do more than who reads it."""

    def reads(pid: int) -> str:
        give_up()
        return Path(f"/proc/{pid}/environ").read_bytes().decode()

    found = []
    for also in ("", "keep_to_itself();"):
        program = f"from agents.fleet.confine import *; give_up(); {also} print('up', flush=True); input()"
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "SECRET": "hunter2"},
        ) as other:  # fmt: skip
            assert other.stdout is not None
            assert other.stdout.readline()
            found.append(in_a_child(lambda pid=other.pid: reads(pid)))
            other.communicate(b"\n")
    assert "hunter2" in found[0]
    assert found[1].startswith("PermissionError")


def test_keeping_to_itself_can_be_had_here() -> None:
    assert in_a_child(lambda: str(keep_to_itself())) == "None"
