"""Notices that this process, or the whole machine, stood still: a thread that sleeps briefly and looks how late it woke."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

_PRIORITY = 10


def run_before_others(pid: int = 0) -> bool:
    """Real-time priority for a process (0: this one; threads it starts later too), where the system allows that.

    For measurements that ask what a machine does which has a core to spare. False: nothing was changed.
    """
    if sys.platform != "linux":
        return False
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    except PermissionError:
        return False
    return True


class Canary:
    """Use as a context manager. ``pauses``: (monotonic s when it was noticed, s it was late), longer than `limit_s` only.

    It also notices a thread of its own process that keeps the interpreter to itself; what it can not see is a pause that
    falls wholly into one of its naps and ends before the nap does, which is at most `nap_s` long.
    """

    def __init__(self, limit_s: float, *, nap_s: float = 0.001, tell: Callable[[float], None] | None = None) -> None:
        """`tell` is called in the canary's thread with how late it was, in seconds."""
        self.pauses: list[tuple[float, float]] = []
        self.naps = 0
        self._limit_s, self._nap_s, self._tell = limit_s, nap_s, tell
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="canary", daemon=True)

    def _watch(self) -> None:
        while not self._stopping.is_set():
            before = time.monotonic()
            time.sleep(self._nap_s)
            after = time.monotonic()
            self.naps += 1
            late = after - before - self._nap_s
            if late > self._limit_s:
                self.pauses.append((after, late))
                if self._tell is not None:
                    self._tell(late)

    def longest_s(self, since: float = 0.0, until: float = float("inf")) -> float:
        """The longest pause noticed between two monotonic moments, in s; 0 when there was none over the limit."""
        return max((late for at, late in self.pauses if since <= at <= until), default=0.0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join(timeout=5)
