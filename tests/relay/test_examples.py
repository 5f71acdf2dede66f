"""The example agents, as they stand in examples/: each under 80 lines, and each holds a conversation."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.audio.pcm import goertzel
from tests.relay.house import DEADLINE_S, house, run, until
from tests.relay.test_failures import closed_port
from tests.relay.test_token import OTHER, SECRET, knock
from tests.web.served import ROOT

EXAMPLES = ROOT / "examples"


def command(name: str) -> list[str]:
    """How it is started; skips where this machine cannot."""
    if name.endswith(".py"):
        return [sys.executable, str(EXAMPLES / name)]
    node = shutil.which("node")
    asked = [node or "", "--input-type=module", "-e", "import 'ws'"]
    if node is None or subprocess.run(asked, cwd=EXAMPLES, capture_output=True, timeout=60, check=False).returncode:
        pytest.skip("node, or its package ws, is not installed here")
    return [node, str(EXAMPLES / name)]


@contextmanager
def running(name: str, port: int) -> Iterator[None]:
    environment = {**os.environ, "TRUNKLINE_AGENT_SECRET": SECRET}
    process = subprocess.Popen([*command(name), str(port)], env=environment, stdout=subprocess.DEVNULL)
    try:
        yield
        assert process.poll() is None, "it goes on for the next call"
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("name", ["agent.py", "agent.mjs"])
def test_an_example_is_short(name: str) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) < 80


@pytest.mark.parametrize("name", ["agent.py", "agent.mjs"])
def test_an_example_greets_repeats_and_hangs_up(tmp_path: Path, name: str) -> None:
    async def scenario() -> None:
        port = closed_port()
        async with house(tmp_path, agent_connect_timeout_s=5.0, agent_ready_timeout_s=5.0) as h:
            with running(name, port):
                await until(lambda: listens(port), "it listens")
                attempt = await h.dial("0122", f"ws://127.0.0.1:{port}/", agent={"agent_secret": SECRET})
                await until(lambda: goertzel(h.heard(attempt)[-3200:], 440) > 0.8, "the greeting")
                h.phones[attempt].callee.configure("speech=tone:600")
                await until(lambda: goertzel(h.heard(attempt)[-3200:], 600) > 0.8, "what was said, again")
                h.phones[attempt].callee.press("0")
                h.phones[attempt].callee.press("9")
                await h.gone(attempt)
                assert h.phones[attempt].vars["trunkline_end_reason"] == "agent_hangup"
                assert await knock(port, attempt, None) == 401
                assert await knock(port, attempt, OTHER) == 401

    run(scenario())
