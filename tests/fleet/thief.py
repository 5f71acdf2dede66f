"""An agent that looks for what is not its own: for its test it tells what it found in the processes above it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from websockets.asyncio.server import ServerConnection


async def answer(socket: ServerConnection) -> None:
    """``{"uid": ..., "found": [[pid, "environ" or "mem", text]]}``, from this process up to its keeper."""
    await socket.send(json.dumps({"uid": os.geteuid(), "found": found()}))
    await socket.wait_closed()


def found() -> list[tuple[int, str, str]]:
    told, pid = [], os.getpid()
    while True:
        told += [(pid, "environ", _environment(pid)), (pid, "mem", _memory(pid))]
        if "agents" in (words := Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")) and "-m" in words:
            return told  # python -m agents: the keeper
        pid = next(
            int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("PPid:")
        )


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace")
    except OSError as error:
        return f"refused: {error.strerror}"


def _memory(pid: int) -> str:
    try:
        first = Path(f"/proc/{pid}/maps").read_text().partition("-")[0]
        with Path(f"/proc/{pid}/mem").open("rb") as memory:
            memory.seek(int(first, 16))
            return f"read {len(memory.read(64))}"
    except (OSError, ValueError) as error:
        return f"refused: {error}"
