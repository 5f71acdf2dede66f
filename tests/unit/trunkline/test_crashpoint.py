"""A crash point kills by name and count, says so, and otherwise does nothing."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = """
import crashpoint
for turn in range(3):
    crashpoint.crash_point("a.first")
    print(turn, crashpoint.armed("a.first"), flush=True)
    crashpoint.crash_point("a.second")
"""


def program(at: str | None) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    environ.pop("TRUNKLINE_CRASH_AT", None)
    if at is not None:
        environ["TRUNKLINE_CRASH_AT"] = at
    return subprocess.run([sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("at", [None, "", "another.point", "a.first:4"])
def test_nobody_dies_who_was_not_named(at: str | None) -> None:
    done = program(at)
    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (0, 3, "")


@pytest.mark.parametrize(("at", "lines"), [("a.first", 0), ("a.second", 1), ("a.first:1", 0), ("a.first:3", 2)])
def test_the_named_point_kills_at_its_count(at: str, lines: int) -> None:
    done = program(at)
    assert done.returncode == -signal.SIGKILL
    assert len(done.stdout.splitlines()) == lines
    assert done.stderr == f"crash point {at}\n"


@pytest.mark.parametrize("at", ["a.first:", "a.first:0", "a.first:-1", "a.first:x"])
def test_what_cannot_be_meant_is_refused(at: str) -> None:
    done = program(at)
    assert done.returncode == 1
    assert f"TRUNKLINE_CRASH_AT: expected NAME or NAME:N with N >= 1, got '{at}'" in done.stderr
