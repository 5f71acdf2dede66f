"""What a private server is made of; the servers themselves are in trunkline/servers.py."""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import socket
import sys
import tempfile
import time
from collections import deque

from trunkline.children import Child, Keeper, User
from trunkline.programs import NoServer, reachable

START_S = 90.0
#: Where free_port looks: below the ports that kernels give to whoever connects or asks for any, and below RTP's.
PORTS = range(10_000, 16_384)
#: So many of a process's last ports are kept from others.
MARKS = 64
_marks: deque[int] = deque()


class ServerFailed(RuntimeError):
    """A server did not start; the text ends with the last lines of its log."""


class PrivateServer:
    """What both share: a directory of its own, a log, a child, a keeper. `name` is for messages."""

    name: str

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        self._keeper = Keeper(directory)
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        if self._child is None:
            raise RuntimeError(f"the private {self.name} is closed")
        return self._child

    @property
    def pid(self) -> int | None:
        """The server's pid while it runs."""
        return self.child.pid

    def _answers(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        """Start it (again, at the same address) and return when it answers."""
        deadline = time.monotonic() + START_S
        while True:
            with self.log.open("ab") as log:
                self.child.start(log)
            while self.child.pid is not None and time.monotonic() < deadline:
                if self._answers():
                    return
                time.sleep(0.02)
            # After a kill -9 the old server's children may still be on their way out: try again until the deadline.
            if time.monotonic() >= deadline or not self._worth_retrying():
                self.child.kill()
                raise ServerFailed(f"the private {self.name} did not start:\n{self._tail()}")
            time.sleep(0.1)

    def _worth_retrying(self) -> bool:
        return False

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])

    def stop(self) -> None:
        """Orderly and fast: clients are disconnected. The data stays until close()."""
        self.child.stop()

    def kill(self) -> None:
        """kill -9."""
        self.child.kill()

    def restart(self) -> None:
        """stop() and start()."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End it and remove its directory; a second call does nothing."""
        if self._child is None:
            return
        self._child.stop()
        self._child = None
        self._keeper.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A TCP (or with SOCK_DGRAM a UDP) port of 127.0.0.1 that is free, and that nobody else is given before it is used.

    The kernel gives it to nobody who asks for any port, and on Linux this function gives it to no other process as long as
    this one lives (or has asked for MARKS more).
    """
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket(type=kind) as probe:
            if kind == socket.SOCK_STREAM:  # as the servers do: who has just left is no bar
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            if _marked(port):
                return port
    raise ServerFailed(f"no port of 127.0.0.1 between {PORTS[0]} and {PORTS[-1]} is free")


def _marked(port: int) -> bool:
    """Whether the port is ours from now on: a name that one process has at a time, within what shares these ports."""
    if not sys.platform.startswith("linux"):
        return True
    with socket.socket(socket.AF_UNIX) as mark:
        try:
            mark.bind(f"\0trunkline-port-{port}")
        except OSError:
            return False
        _marks.append(mark.detach())
    if len(_marks) > MARKS:
        os.close(_marks.popleft())
    return True


def plain_environment(directory: pathlib.Path) -> dict[str, str]:
    """The environment of a server: nothing of ours gets in but the PATH."""
    return {"HOME": str(directory), "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def private_directory(prefix: str, user: User | None) -> pathlib.Path:
    """A fresh directory only `user` (and root) can enter, at a place `user` can get to."""
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if reachable(pathlib.Path(place).resolve(), user):
            directory = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=place)).resolve()
            if user is not None:
                os.chown(directory, user.uid, user.gid)
            return directory
    raise NoServer(f"user {user.name if user else ''!r} can enter no temporary directory: set TMPDIR to one it can")
