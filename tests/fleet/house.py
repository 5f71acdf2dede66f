"""A fleet as it runs: the real API for its seats, ``python -m agents`` with real workers, and callers by WebSocket."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

from redis import Redis
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from budget import permits
from budget.replies import text
from budget.scripts import PREFIX
from budget.seats import PoolNow, pools, seat_of
from calls.agent_token import sign
from settings import Settings

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse"
CARRIER, TENANT = UUID(int=1), UUID(int=2)
#: s; workers here wait so long for their keepers: what is answered does not hang on how busy the machine is.
ASK_S = 12.0


def wait_for(what: Callable[[], T], about: str, timeout_s: float = 30.0) -> T:
    until = time.monotonic() + timeout_s
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < until, about
        time.sleep(0.02)


class Fleet:
    """One keeper as a process, started by the program ``before`` it. ``pool`` ``desk`` unless said otherwise."""

    def __init__(
        self, redis: Redis, web_port: int, log: Path, *options: str, workers: int = 2, name: str = "h1",
        before: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.redis, self.log, self.name = redis, log, name
        environment = {
            "TRUNKLINE_CDR_PASSWORD": PASSWORD, "TRUNKLINE_FLEET_URL": f"http://127.0.0.1:{web_port}/internal/seats",
        }  # fmt: skip
        words = ["--pool", "desk", "--name", name, "--workers", str(workers), "--ask-s", str(ASK_S), *options]
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", "agents", *words], cwd=ROOT, env=os.environ | environment, stderr=out
            )

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=20)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    # What is known of it

    def now(self) -> PoolNow:
        return next((one for one in pools(self.redis) if one.name == "desk"), PoolNow("desk", 0, 0, 0, 0, 0))

    def await_free(self, count: int) -> None:
        wait_for(lambda: self.now().free == count, f"never {count} free: {self.log.read_text()}")

    def seat(self, name: str) -> dict[str, str]:
        return {text(k): text(v) for k, v in self.redis.hgetall(f"{PREFIX}seat:desk/{name}").items()}

    def workers(self) -> dict[str, str]:
        """Which process has each seat."""
        keys = sorted(self.redis.scan_iter(f"{PREFIX}seat:desk/{self.name}-*"))
        return {text(key).partition("/")[2]: self.seat(text(key).partition("/")[2])["worker"] for key in keys}


def pid_listening(url: str) -> int:
    """The process behind a worker's address."""
    port = f":{int(url.rstrip('/').rpartition(':')[2]):04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{words[9]}]" for words in lines if words[1].endswith(port) and words[3] == "0A"}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if any(os.readlink(fd) in inodes for fd in (entry / "fd").iterdir()):
                    return int(entry.name)
            except OSError:
                continue
    raise AssertionError(f"nobody listens at {url}")


class Call:
    """A call with a permit, and the relay's way to its agent. ``key``: of its pool."""

    def __init__(self, redis: Redis, settings: Settings, key: str) -> None:
        self.redis, self.id, self.fence, self.key = redis, uuid4(), int(time.time() * 1000), key
        lease = permits.Lease(self.id, self.fence, CARRIER, "fs1")
        assert permits.adopt(redis, settings, lease, f"dial.normal.{TENANT.hex}.all.f-desk")
        place = seat_of(redis, self.id, "desk")
        assert place is not None, "no seat"
        self.url, self.seat = place.url, place.seat.split("/")[1]
        self.socket: ClientConnection | None = None

    def talk(self, token: str | None = None) -> None:
        self.socket = reach(self.url, self.id, token or self.token())
        self.socket.send('{"event": "start", "call": {"id": "call_1", "to": "+491", "variables": {"tone_hz": 440}}}')
        assert self.heard() == "ready"

    def token(self, *, key: str | None = None, attempt: str | None = None, now: float | None = None) -> str:
        """As the relay signs it, for one connection."""
        return sign(
            key or self.key, agent="agent_1", call="call_1", attempt=attempt or str(self.id), now=now or time.time(),
            token_id=uuid4().hex,
        )  # fmt: skip

    def heard(self) -> str:
        """The next event of the agent's."""
        assert self.socket is not None
        while isinstance(message := self.socket.recv(timeout=30), bytes):
            pass
        return str(message).split('"')[3]

    def await_lost(self) -> None:
        """Until the agent's socket falls."""
        try:
            while self.heard():
                pass
        except ConnectionClosed:
            return

    def end(self) -> None:
        """Hung up, and its permit given back."""
        if self.socket is not None:
            self.socket.close()
        assert permits.release(self.redis, self.id, self.fence)


def reach(url: str, attempt: UUID | None, token: str | None = None) -> ClientConnection:
    headers = {} if attempt is None else {"X-Trunkline-Attempt": str(attempt)}
    headers |= {} if token is None else {"Authorization": f"Bearer {token}"}
    return connect(url, additional_headers=headers, compression=None, open_timeout=30).__enter__()


def refused(url: str, attempt: UUID | None, token: str | None = None) -> int:
    """The status by which a connection is sent away."""
    try:
        reach(url, attempt, token).close()
    except InvalidStatus as error:
        return error.response.status_code
    raise AssertionError("it was taken")


def texts(values: Sequence[bytes]) -> list[str]:
    return [text(value) for value in values]
