"""Child processes that are always ended, by pid, and private directories that are always removed.

Three nets, one behind the other: ``stop()`` by the owner; on Linux the kernel's parent-death signal
(trunkline/leash.py); and the keeper, a shell that waits on a pipe for the owner's end, of whatever kind, and clears up.
Start children from a thread that lives as long as they shall: the parent-death signal is bound to the thread.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

LEASH = pathlib.Path(__file__).with_name("leash.py")

# Reads "add PID SIGNAL" and "drop PID"; at end of file ends the pids it still knows, then removes its arguments.
KEEPER = r"""
trap '' INT TERM HUP QUIT
lives() {  # a zombie does not: init may take its time to bury it
  if [ -r "/proc/$1/stat" ]; then
    read -r _ _ state _ 2>/dev/null < "/proc/$1/stat" && [ "$state" != Z ]
  else
    kill -0 "$1" 2>/dev/null
  fi
}
known=' '
while read -r word pid name; do
  case $word in
    add) known="$known$pid:$name " ;;
    drop) rest=' '; for item in $known; do [ "${item%%:*}" = "$pid" ] || rest="$rest$item "; done; known=$rest ;;
  esac
done
for item in $known; do kill -s "${item#*:}" "${item%%:*}" 2>/dev/null; done
round=0
while [ $round -lt 50 ]; do
  alive=''
  for item in $known; do lives "${item%%:*}" && alive=yes; done
  [ -z "$alive" ] && break
  sleep 0.1; round=$((round + 1))
done
for item in $known; do kill -s KILL "${item%%:*}" 2>/dev/null; done
for directory in "$@"; do rm -rf -- "$directory"; done
exit 0
"""


@dataclass(frozen=True)
class User:
    """Whom a child runs as; only root can choose."""

    name: str
    uid: int
    gid: int


class Keeper:
    """Clears up when this process is gone; one per owner, for any number of pids and the directories given."""

    def __init__(self, *directories: pathlib.Path) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", KEEPER, "keeper", *map(str, directories)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def _tell(self, line: str) -> None:
        if self._shell.stdin is not None and not self._shell.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # somebody ended the keeper: the other two nets remain
                self._shell.stdin.write(line.encode() + b"\n")
                self._shell.stdin.flush()

    def add(self, pid: int, end: signal.Signals) -> None:
        """From now on `pid` is ended by `end` (then KILL) when this process is gone."""
        self._tell(f"add {pid} {end.name.removeprefix('SIG')}")

    def drop(self, pid: int) -> None:
        """`pid` has ended and may be somebody else's soon."""
        self._tell(f"drop {pid}")

    def close(self, timeout_s: float = 10.0) -> None:
        """Have it clear up now, and wait for it."""
        if self._shell.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._shell.stdin.close()
        self._shell.wait(timeout_s)


class Child:
    """One program in a session of its own. It can be started again after it has ended."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        keeper: Keeper,
        end: signal.Signals = signal.SIGTERM,
        environ: Mapping[str, str] | None = None,
        directory: pathlib.Path | None = None,
        user: User | None = None,
    ) -> None:
        """`argv[0]` is an absolute path. `end` asks it to end. `environ` replaces the environment."""
        if not os.path.isabs(argv[0]):
            raise ValueError(f"a child is named by its absolute path, not {argv[0]!r}")
        self.argv = list(argv)
        self.end = end
        self._keeper = keeper
        self._environ = dict(environ) if environ is not None else None
        self._directory = directory
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The pid while it runs, else None."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def returncode(self) -> int | None:
        """How it ended (a signal as minus its number); None while it runs and before the first start."""
        return self._process.poll() if self._process is not None else None

    def start(self, output: IO[bytes] | int, environ: Mapping[str, str] | None = None) -> int:
        """Start it with stdout and stderr to `output`; returns the pid. Errors: RuntimeError when it runs already.

        `environ`: changes to its environment, of this one start.
        """
        if self.pid is not None:
            raise RuntimeError(f"{self.argv[0]} already runs with pid {self.pid}")
        uid, gid = (str(self._user.uid), str(self._user.gid)) if self._user is not None else ("-", "-")
        self._forget()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LEASH), str(int(self.end)), str(os.getpid()), uid, gid, *self.argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**(os.environ if self._environ is None else self._environ), **environ} if environ else self._environ,
            cwd=self._directory,
            start_new_session=True,
        )
        self._keeper.add(self._process.pid, self.end)
        return self._process.pid

    def _forget(self) -> None:
        if self._process is not None:
            self._keeper.drop(self._process.pid)

    def stop(self, timeout_s: float = 10.0) -> int | None:
        """Ask it to end, wait, after `timeout_s` seconds kill it with its session. Returns the return code."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.send_signal(self.end)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        self._forget()
        return self._process.returncode

    def kill(self, *, whole_session: bool = True) -> None:
        """kill -9, also of what it started in its session; waits until it is gone."""
        if self._process is None:
            return
        if self._process.poll() is None:
            if whole_session:
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
            self._process.wait()
        self._forget()

    def signal(self, number: signal.Signals) -> None:
        """Send it one signal (SIGSTOP, SIGCONT, ...). Errors: RuntimeError when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self.argv[0]} does not run")
        self._process.send_signal(number)


def wait_until(what: str, condition: Callable[[], bool], *, timeout_s: float, every_s: float = 0.02) -> None:
    """Return as soon as `condition` holds; TimeoutError naming `what` after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(every_s)
