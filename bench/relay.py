"""200 relayed calls at once: frames lost, one-way delay, and calls per core beside a bare ``websockets`` echo.

The whole house on the lab switch. Each callee speaks all the time, numbered frames with the moment at which they were made
in their samples, from the switch's media sockets through the relay to the agents (bench/_talkers.py), who read both. The
agents talk all the time too, numbered as well, and what each callee heard is read at the switch. The bare peer is one
``websockets`` server that sends back what it gets, in the same run, on as many sockets with the same frames
(bench/_echo.py). CPU is the kernel's count for the relay's and for the echo's process. TRUNKLINE_BENCH_CALLS: how many;
TRUNKLINE_BENCH_TLS=1: agents by ``wss://``; TRUNKLINE_BENCH_PACED=1: they send at the pace of speech.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import trustme

from bench import Ratio, Report
from bench._campaign import ENVIRON, PATIENCE_S, numbers
from calls.ids import agent_ref
from lab.audio import pcm
from store import agents
from trunkline.api import Api
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

CALLS = int(os.environ.get("TRUNKLINE_BENCH_CALLS", "200"))
TLS = os.environ.get("TRUNKLINE_BENCH_TLS") == "1"
PACE = "paced" if os.environ.get("TRUNKLINE_BENCH_PACED") == "1" else "ahead"
WINDOW_S = 20.0
#: ms; what a relay may add one way (p99).
DELAY_MS = 40.0
CARRIER = LabCarrier("lab_a", CALLS + 20, 40, ring="0.3", talk="300", options=("--speech stamps",))
#: In memory, as the relay's own default is.
SHM = pathlib.Path("/dev/shm")
ROOT = pathlib.Path(__file__).resolve().parents[1]


def run() -> Report:
    echo_cpu, echo = _echo()
    with _house() as (stack, talkers, port):
        calls = _place(stack, port)
        cpu, came = _window(talkers, stack.supervisor.pid("relay"))
        heard, silences, missing_down = _heard(stack, calls)
    sent = int(CALLS * WINDOW_S / pcm.FRAME_S)
    ours, bare = CALLS * WINDOW_S / cpu, CALLS * WINDOW_S / echo_cpu
    lost = came["missing"] + missing_down
    return Report(
        [
            Ratio("lost", 1 + lost, 1, "1 and frames lost, both ways", f"1 ({CALLS} calls for {WINDOW_S:g} s)"),
            Ratio("delay", came["p99_us"] / 1000, DELAY_MS, "ms from switch to agent through the relay, p99", "the limit"),
            Ratio("per_core", ours, bare, "calls per core", "sockets of a bare websockets echo per core"),
        ],
        {
            "frames_to_agents": came["frames"],
            "frames_to_agents_of": sent,
            "frames_to_callees": heard,
            "lost_to_agents": came["missing"],
            "lost_to_callees": missing_down,
            "silent_frames_at_callees": silences,
            "delay_p50_ms": came["p50_us"] / 1000,
            "delay_max_ms": came["max_us"] / 1000,
            "echo_delay_p50_ms": echo["p50_us"] / 1000,
            "echo_delay_p99_ms": echo["p99_us"] / 1000,
            "relay_cores": round(cpu / WINDOW_S, 3),
            "echo_cores": round(echo_cpu / WINDOW_S, 3),
            "agents": f"{'wss' if TLS else 'ws'}, {PACE}",
            "load_average": round(os.getloadavg()[0], 1),
        },
    )


@contextmanager
def _process(*line: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-m", *line], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"process {process.pid} ended")
    return line


def _window(watcher: subprocess.Popen[str], worker: int | None) -> tuple[float, dict[str, int]]:
    """CPU seconds of the worker, and what came at the watcher, in a window."""
    if worker is None:
        raise RuntimeError("the relay ended")
    time.sleep(2.0)
    watcher.send_signal(signal.SIGUSR1)
    before = _cpu_s(worker)
    time.sleep(WINDOW_S)
    used = _cpu_s(worker) - before
    watcher.send_signal(signal.SIGUSR2)
    came: dict[str, int] = json.loads(_said(watcher))
    return used, came


def _echo() -> tuple[float, dict[str, int]]:
    with _process("bench._echo", "serve") as server, _process("bench._echo", "load", _said(server), str(CALLS)) as clients:
        _said(clients)
        return _window(clients, server.pid)


@contextmanager
def _house() -> Iterator[tuple[Stack, subprocess.Popen[str], str]]:
    """The stack, the talkers and their port."""
    environ = dict(ENVIRON)
    stack = Stack(ROOT, [CARRIER], [Route("all", ("",), ("lab_a",))], environ=environ, private=True)
    authority = trustme.CA()
    with authority.cert_pem.tempfile() as trusted, tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as audio:
        environ |= {"TRUNKLINE_AGENT_CA_FILE": trusted, "TRUNKLINE_RELAY_AUDIO_DIR": audio}
        with stack:
            certificate = stack.run / "agent.pem"
            authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
            with _process("bench._talkers", PACE, *([str(certificate)] if TLS else [])) as talkers:
                yield stack, talkers, _said(talkers)


def _place(stack: Stack, port: str) -> list[str]:
    """The attempts of that many calls that are all being talked in."""
    account = stack.account("talk")
    api = Api(stack.api, account.key)
    url = f"{'wss' if TLS else 'ws'}://127.0.0.1:{port}/"
    agent = agents.create(stack.db, tenant_id=account.id, name="talker", kind="websocket", url=url)
    attempts = []
    for _, to in zip(range(CALLS), numbers("415"), strict=False):
        body = {"to": to, "from": "+14155550100", "agent_id": agent_ref(agent.id), "max_attempts": 1}
        answer = api.post("/v1/calls", body)
        if answer.status != 202:
            raise RuntimeError(f"not accepted: {answer}")
        attempts.append(str(api.get(f"/v1/calls/{answer.body['id']}/attempts").body["data"][0]["id"]))
    sql = "SELECT count(*) FROM call_events WHERE type = 'relay.first_audio'"

    def talking() -> bool:
        with stack.db.connection() as conn:
            (count,) = conn.execute(sql).fetchone() or (0,)
        return bool(count >= CALLS)

    wait_until("every callee to hear its agent", talking, timeout_s=PATIENCE_S)
    return attempts


def _heard(stack: Stack, attempts: list[str]) -> tuple[int, int, int]:
    """(numbered frames that the callees heard, frames of silence between them, numbers that are missing)."""
    file = stack.run / "heard.s16"
    frames = silences = missing = 0
    with socket.create_connection(stack.places[0].esl, timeout=10) as link, link.makefile("rb") as reply:
        link.sendall(f"auth {stack.places[0].password}\n\n".encode())
        for attempt in attempts:
            link.sendall(f"api lab heard {attempt} {file}\n\n".encode())
            while not reply.readline().endswith(b" ms\n"):
                pass
            sound = file.read_bytes()
            stamps = [pcm.stamp_of(sound[at : at + 320]) for at in range(0, len(sound), 320)]
            while stamps and stamps[0] is None:
                stamps.pop(0)
            came = [stamp[0] for stamp in stamps if stamp is not None]
            frames, silences = frames + len(came), silences + len(stamps) - len(came)
            missing += sum(following - number - 1 for number, following in pairwise(came)) if came else 1
    return frames, silences, missing


def _cpu_s(pid: int) -> float:
    """CPU time of a process, all its threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
