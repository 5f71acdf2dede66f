"""The way into the demo: what is given runs in its environment, whatever stands in a value, by the programs that run now."""

from __future__ import annotations

import pathlib
import stat
import subprocess
import sys

from trunkline.demo_shell import write_shell

ODD = {"TL_KEY": "tl_a'b$(id)\" c", "DATABASE_URL": "postgresql://t@/run?host=/tmp/a b"}


def test_what_is_given_runs_in_the_demos_environment(tmp_path: pathlib.Path) -> None:
    place = write_shell(tmp_path / "shell", ODD)
    told = subprocess.run(
        [place, "sh", "-c", 'printf "%s\\n" "$TL_KEY" "$DATABASE_URL"; command -v python'],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout.splitlines()  # fmt: skip
    assert told == [*ODD.values(), str(pathlib.Path(sys.executable).parent / "python")]
    assert stat.S_IMODE(place.stat().st_mode) == 0o700, "there is a password in it"


def test_alone_it_is_a_shell(tmp_path: pathlib.Path) -> None:
    place = write_shell(tmp_path / "shell", ODD)
    told = subprocess.run(
        [place], env={"SHELL": "/bin/sh"}, input='echo "$TL_KEY"', capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout == ODD["TL_KEY"] + "\n"
