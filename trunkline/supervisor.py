"""Runs the processes of a Procfile: each with its own log file, named, ended by pid.

``Supervisor.tend()`` is to be called a few times a second by its owner, always from the same thread: it starts what
died again (each time after a longer wait) where that is wanted. There are no threads here, and output goes straight
into the files, so a paused owner stops no process.
"""

from __future__ import annotations

import os
import pathlib
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trunkline.children import Child, Keeper, wait_until

RESTART_MIN_S = 0.5
RESTART_MAX_S = 10.0
STEADY_S = 30.0
_LINE = re.compile(r"^([A-Za-z0-9_-]+):\s*(\S.*)$")


class ProcessFailed(RuntimeError):
    """A process ended or did not get ready; the text ends with the last lines of its log."""


def parse_procfile(text: str) -> dict[str, str]:
    """``name: command`` a line, # comments -> commands by name. Errors: ValueError naming the line."""
    commands: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise ValueError(f"Procfile line {number}: expected 'name: command', got {line!r}")
        if match[1] in commands:
            raise ValueError(f"Procfile line {number}: a second process named {match[1]!r}")
        commands[match[1]] = match[2]
    return commands


def process_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """This environment with `changes`, and this interpreter's directory first on the PATH."""
    here = os.path.dirname(sys.executable)
    path = os.pathsep.join([here, os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **changes}


@dataclass
class _Process:
    child: Child
    log: pathlib.Path
    wanted: bool = False
    started_at: float = 0.0
    restart_at: float | None = None
    wait_s: float = RESTART_MIN_S
    restarts: int = 0
    read_to: int = 0


class Supervisor:
    """Named processes in one directory, with one environment. Use as a context manager, or call close()."""

    def __init__(
        self,
        *,
        directory: pathlib.Path,
        logs: pathlib.Path,
        environ: Mapping[str, str],
        restart: bool = False,
    ) -> None:
        """`logs` is created; each process writes `<name>.log` there, anew. `restart`: tend() starts the dead again."""
        logs.mkdir(parents=True, exist_ok=True)
        self.logs = logs
        self._directory = directory
        self._environ = dict(environ)
        self._restart = restart
        self._keeper = Keeper()
        self._processes: dict[str, _Process] = {}

    @property
    def names(self) -> list[str]:
        """In the order they were added."""
        return list(self._processes)

    def add(self, name: str, command: str, *, environ: Mapping[str, str] | None = None) -> None:
        """Make a shell command line known under `name`; `environ` is added to the common one. Not started yet."""
        if name in self._processes:
            raise ValueError(f"a second process named {name!r}")
        log = self.logs / f"{name}.log"
        log.write_bytes(b"")
        # exec: the pid is the program's, not a shell's.
        child = Child(
            ["/bin/sh", "-c", f"exec {command}"],
            keeper=self._keeper,
            environ={**self._environ, **(environ or {})},
            directory=self._directory,
        )
        self._processes[name] = _Process(child, log)

    def start(self, name: str, environ: Mapping[str, str] | None = None) -> int:
        """Start it; returns its pid. `environ`: changes to its environment, of this one start."""
        process = self._get(name)
        with process.log.open("ab") as output:
            pid = process.child.start(output, environ)
        process.wanted, process.restart_at, process.started_at = True, None, time.monotonic()
        return pid

    def start_all(self) -> None:
        """Start everything that does not run."""
        for name, process in self._processes.items():
            if process.child.pid is None:
                self.start(name)

    def stop(self, name: str, timeout_s: float = 10.0) -> int | None:
        """End it in order (TERM, after `timeout_s` KILL) and leave it so; returns the return code."""
        process = self._get(name)
        process.wanted = False
        return process.child.stop(timeout_s)

    def kill(self, name: str) -> None:
        """kill -9 of it and what it started. With `restart` tend() brings it back; else start() does."""
        self._get(name).child.kill()

    def restart(self, name: str) -> int:
        """stop() and start(); returns the new pid."""
        self.stop(name)
        return self.start(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send one signal, such as SIGSTOP."""
        self._get(name).child.signal(number)

    def pid(self, name: str) -> int | None:
        """Its pid while it runs."""
        return self._get(name).child.pid

    def returncode(self, name: str) -> int | None:
        """How it ended (a signal as minus its number); None while it runs and before the first start."""
        return self._get(name).child.returncode

    def restarts(self, name: str) -> int:
        """How often tend() had to start it again."""
        return self._get(name).restarts

    def dead(self) -> list[str]:
        """Those that should run and do not."""
        return [name for name, process in self._processes.items() if process.wanted and process.child.pid is None]

    def tend(self) -> list[str]:
        """Start the dead again when their wait is over (with `restart`); returns the names found dead just now."""
        now, found = time.monotonic(), []
        for name in self.dead():
            process = self._processes[name]
            if process.restart_at is None:
                found.append(name)
                steady = now - process.started_at >= STEADY_S
                process.wait_s = RESTART_MIN_S if steady else min(RESTART_MAX_S, process.wait_s * 2)
                process.restart_at = now + process.wait_s
            elif self._restart and now >= process.restart_at:
                self.start(name)
                process.restarts += 1
        return found

    def tail(self, name: str, lines: int = 15) -> str:
        """The last lines of its log."""
        return "\n".join(self._get(name).log.read_text(errors="replace").splitlines()[-lines:])

    def new_lines(self) -> Iterator[tuple[str, str]]:
        """(name, line) for every complete line written since the last call."""
        for name, process in self._processes.items():
            with process.log.open("rb") as log:
                log.seek(process.read_to)
                fresh = log.read()
            complete = fresh[: fresh.rfind(b"\n") + 1]
            process.read_to += len(complete)
            for line in complete.decode(errors="replace").splitlines():
                yield name, line

    def wait_line(self, name: str, pattern: str, *, timeout_s: float) -> re.Match[str]:
        """Wait for a log line that `pattern` matches. Errors: ProcessFailed when it ends, or not in time."""
        expression = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout_s
        while True:
            gone = self.pid(name) is None
            found = expression.search(self._get(name).log.read_text(errors="replace"))
            if found is not None:
                return found
            if gone:
                raise ProcessFailed(f"{name} ended with {self._get(name).child.returncode}:\n{self.tail(name)}")
            if time.monotonic() >= deadline:
                raise ProcessFailed(f"{name} was not ready after {timeout_s:g} s:\n{self.tail(name)}")
            time.sleep(0.02)

    def wait_gone(self, name: str, timeout_s: float) -> None:
        """Wait until it has ended. Errors: TimeoutError."""
        wait_until(f"the end of {name}", lambda: self.pid(name) is None, timeout_s=timeout_s)

    def close(self) -> None:
        """End everything, the last started first, each by its pid; a second call does nothing."""
        for process in self._processes.values():
            process.wanted = False
        for process in reversed(self._processes.values()):
            if process.child.pid is not None:
                process.child.signal(signal.SIGCONT)  # one that was stopped would not hear TERM
                process.child.signal(process.child.end)
        for process in reversed(self._processes.values()):
            process.child.stop()
        self._keeper.close()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _get(self, name: str) -> _Process:
        if name not in self._processes:
            raise ValueError(f"there is no process {name!r}; there are: {', '.join(self._processes)}")
        return self._processes[name]
