"""Behind a proxy: the configurations of docs/fleet.md as they stand there, where the program is installed."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.fleet.house import ROOT, Fleet, reach, wait_for
from trunkline.private import free_port

WORKERS = 2


def written(language: str, ports: dict[str, int]) -> str:
    """The configuration of docs/fleet.md, on ports of ours."""
    found = re.search(rf"```{language}\n(.*?)```", (ROOT / "docs/fleet.md").read_text(), re.S)
    assert found is not None
    text = found[1]
    for port, ours in ports.items():
        assert f":{port}" in text
        text = text.replace(f":{port}", f":{ours}")
    return text


def neighbours() -> int:
    """A port whose next one is free too."""
    while True:
        first = free_port()
        try:
            with socket.create_server(("127.0.0.1", first + 1)):
                return first
        except OSError:
            continue


@pytest.fixture
def workers(fleet: Callable[..., Fleet]) -> tuple[Fleet, int]:
    port = neighbours()
    house = fleet("--no-seats", "--port", str(port), workers=WORKERS)
    wait_for(lambda: "2 workers" in house.log.read_text(), "the keeper never began")
    return house, port


def haproxy(directory: Path, port: int, workers: int) -> list[str]:
    text = written("haproxy", {"8700": port, "9000": workers, "9001": workers + 1})
    (directory / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(directory / "haproxy.cfg")]


def nginx(directory: Path, port: int, workers: int) -> list[str]:
    text = written("nginx", {"8701": port, "9000": workers, "9001": workers + 1})
    temp = "".join(
        f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    head = f"daemon off;\nerror_log stderr;\npid {directory}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temp}"
    (directory / "nginx.conf").write_text(f"{head}{text}}}\n")
    return ["nginx", "-p", str(directory), "-c", str(directory / "nginx.conf")]


@pytest.fixture(params=[haproxy, nginx], ids=["haproxy", "nginx"])
def proxy(request: pytest.FixtureRequest, workers: tuple[Fleet, int], tmp_path: Path) -> Iterator[str]:
    name = request.param.__name__
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    port = free_port()
    process = subprocess.Popen(request.param(tmp_path, port, workers[1]))
    yield f"ws://127.0.0.1:{port}/"
    process.terminate()
    process.wait(timeout=20)


def call(url: str) -> ClientConnection:
    """Tried again as the relay does."""
    return wait_for(lambda: _once(url), f"nobody at {url}")


def _once(url: str) -> ClientConnection | None:
    try:
        socket = reach(url, None)
    except Exception:  # noqa: BLE001  # refused, or not there yet: as the relay, again
        return None
    socket.send('{"event": "start", "call": {"id": "call_1", "to": "+491", "variables": {"tone_hz": 440}}}')
    try:
        while isinstance(message := socket.recv(timeout=30), bytes):
            pass
    except ConnectionClosed:
        return None
    assert message == '{"event": "ready"}'
    return socket


def test_one_call_a_worker_and_the_next_when_one_is_free(proxy: str) -> None:
    first, second = call(proxy), call(proxy)
    with ThreadPoolExecutor(1) as pool:
        third = pool.submit(call, proxy)
        with pytest.raises(TimeoutError):
            third.result(timeout=1.0)
        first.close()
        third.result(timeout=60).close()
    second.close()
    for _ in range(6):  # each worker is over after its call, and there is always another
        call(proxy).close()
