"""An agent that hangs up as soon as somebody answers, and tells what came of it only when the call is long over."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol


@dataclass
class LateAgent:
    """``starts``: what it was told of each call, by the call's id; ``over``: calls of which it heard the end."""

    url: str = ""
    starts: dict[str, dict[str, Any]] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)

    def talk(self, socket: ServerConnection) -> None:
        call = ""
        try:
            for message in socket:
                if isinstance(message, bytes):
                    continue
                told = json.loads(message)
                if told["event"] == "start":
                    call = told["call"]["id"]
                    self.starts[call] = told
                    socket.send(json.dumps({"event": "ready"}))
                    socket.send(bytes(3200))  # something to hear
                elif told["event"] == "answered":
                    socket.send(json.dumps({"event": "hangup", "after_playback": True}))
                elif told["event"] == "stop":
                    self.over.add(call)
        except ConnectionClosed:
            pass


@contextmanager
def late_agent() -> Iterator[LateAgent]:
    """One that listens on loopback inside of the block."""
    agent = LateAgent()
    with serve(agent.talk, "127.0.0.1", 0, subprotocols=[Subprotocol("trunkline.agent.v1")], compression=None) as server:
        agent.url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield agent
        finally:
            server.shutdown()
            thread.join()
