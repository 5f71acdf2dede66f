"""Start the laboratory's processes for a test or the demo, and wait until they are ready.

with LabCarrier("a", channels=20, cps=5) as carrier, LabSwitch({"carrier_a": carrier.sip}) as switch:
    switch.esl          # ("127.0.0.1", port)
    carrier.log         # Path of the raw arrival log, for lab.judge
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

READY_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 10.0
_ROOT = Path(__file__).resolve().parent.parent
Address = tuple[str, int]


class LabError(RuntimeError):
    """A process of the laboratory did not start, or is gone."""


class LabProcess:
    """A `python -m lab...` child. `ready` holds the JSON line it printed."""

    def __init__(self, module: str, arguments: list[str], environment: dict[str, str] | None = None) -> None:
        self._module = module
        self._arguments = arguments
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, Any] = {}

    def start(self) -> Self:
        """Raises LabError when the process says nothing within READY_TIMEOUT_S."""
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, **self._environment, "PYTHONPATH": path}
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module, *self._arguments], cwd=_ROOT, stdout=subprocess.PIPE, env=environment
        )
        self.ready = self._read_ready()
        return self

    def _read_ready(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + READY_TIMEOUT_S
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self.kill()
                    raise LabError(f"{self._module}: not ready within {READY_TIMEOUT_S:g} s")
                chunk = os.read(self._process.stdout.fileno(), 4096)
                if not chunk:
                    raise LabError(f"{self._module}: ended with status {self._process.wait()} before it was ready")
                line += chunk
        ready: dict[str, Any] = json.loads(line.split(b"\n", 1)[0])
        return ready

    @property
    def pid(self) -> int:
        if self._process is None:
            raise LabError(f"{self._module}: not started")
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status, None while it runs."""
        return None if self._process is None else self._process.poll()

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        assert self._process is not None
        return self._process.wait(timeout_s)

    def send_signal(self, number: signal.Signals) -> None:
        """SIGSTOP and SIGCONT freeze and thaw it."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """As kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._close()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that does not help."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._close()

    def _close(self) -> None:
        assert self._process is not None
        self._process.wait(STOP_TIMEOUT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _text(address: Address | str) -> str:
    return address if isinstance(address, str) else f"{address[0]}:{address[1]}"


class LabCarrier(LabProcess):
    """A simulated carrier. `log` defaults to a file in a new temporary directory."""

    def __init__(
        self,
        name: str = "carrier_a",
        *,
        port: int = 0,
        channels: int = 0,
        cps: int = 0,
        log: Path | None = None,
        seed: int = 1,
        mix: str = "answered_hangup=1",
        ring: str = "0.4",
        talk: str = "3",
        extra: list[str] | None = None,
    ) -> None:
        if log is None:
            # Kept until this process ends: the judge reads it after the carrier is gone.
            directory = tempfile.mkdtemp(prefix="lab-carrier-")
            atexit.register(shutil.rmtree, directory, ignore_errors=True)
            log = Path(directory) / f"{name}.jsonl"
        self.log = log
        super().__init__(
            "lab.carrier",
            [
                "--name",
                name,
                "--listen",
                f"127.0.0.1:{port}",
                "--channels",
                str(channels),
                "--cps",
                str(cps),
                "--log",
                str(self.log),
                "--seed",
                str(seed),
                "--mix",
                mix,
                "--ring",
                ring,
                "--talk",
                talk,
                *(extra or []),
            ],
        )

    @property
    def sip(self) -> Address:
        return _address(self.ready["sip"])


class LabSwitch(LabProcess):
    """A simulated FreeSWITCH with these gateways (name -> carrier address, options after a comma as in the CLI)."""

    def __init__(
        self,
        gateways: dict[str, Address | str],
        *,
        password: str = "ClueCon",
        esl_port: int = 0,
        heartbeat_s: float = 20.0,
        seed: int = 1,
        extra: list[str] | None = None,
    ) -> None:
        self.password = password
        arguments = [
            "--esl",
            f"127.0.0.1:{esl_port}",
            "--password-env",
            "LAB_ESL_PASSWORD",
            "--heartbeat",
            str(heartbeat_s),
            "--seed",
            str(seed),
        ]
        for name, address in gateways.items():
            arguments += ["--gateway", f"{name}={_text(address)}"]
        super().__init__("lab.switch", [*arguments, *(extra or [])], {"LAB_ESL_PASSWORD": password})

    @property
    def esl(self) -> Address:
        return _address(self.ready["esl"])

    @property
    def sip(self) -> Address:
        return _address(self.ready["sip"])

    @property
    def core_uuid(self) -> str:
        return str(self.ready["core_uuid"])
