"""One seat as its keeper sees it: the process that has it now, and what the platform says of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seat:
    """``call``: the attempt its worker has taken, ``token``: the id of the token it came with, ``number``: of the worker's
    question about it. ``state`` and ``holder``: as the platform said last. ``leaving``: no more calls, by our wish.
    ``generation``: of the program its worker runs. Times are the event loop's.
    """

    name: str
    worker: str = ""
    generation: int = 0
    pid: int = 0
    url: str = ""
    call: str | None = None
    token: str | None = None
    number: int = 0
    state: str = ""
    holder: str | None = None
    leaving: bool = False
    started_at: float = 0.0
    heard_at: float = 0.0
    falls: int = 0  # workers in a row that were over before they had lived
    writer: asyncio.StreamWriter | None = None
    asks: bool = False  # its worker waits to hear whether the call is its own
    later: asyncio.TimerHandle | None = field(default=None, repr=False)

    @property
    def up(self) -> bool:
        """There is a worker that listens."""
        return self.writer is not None

    def said(self, pool: str, *, gone: bool = False) -> dict[str, Any]:
        """As POST /internal/seats takes it. Without a worker it takes no call, whatever it has been."""
        state = "gone" if gone else "open" if self.up and not self.leaving else "leaving"
        return {
            "pool": pool, "name": self.name, "worker": self.worker, "url": self.url, "attempt": self.call,
            "token": self.token if self.call else None, "state": state,
        }  # fmt: skip

    def answer(self, *, yours: bool) -> None:
        """Tell the worker whether the call that it asked about is its own."""
        self.asks = False
        self._tell({"yours": yours, "attempt": self.call, "number": self.number})

    def checked(self, attempt: str, number: int, *, good: bool) -> None:
        """Tell the worker whether it is the relay who came, with this question of its."""
        self._tell({"checked": good, "attempt": attempt, "number": number})

    def drop(self) -> None:
        """Whoever came is not there any more: it has no call. Should its worker have taken it all the same, its token is
        known yet: the platform is to hear of that one too.
        """
        self.call, self.asks = None, False

    def _tell(self, message: dict[str, object]) -> None:
        if self.writer is not None:
            self.writer.write(json.dumps(message).encode() + b"\n")
