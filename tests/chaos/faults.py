"""What happens to the house: each process killed in turn, some paused, in an order that the seed chooses."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.system.house import postgres_of, redis_of
from trunkline.private import PrivateServer
from trunkline.stack import Stack

SERVERS = ("redis", "postgres")
#: Killed they would be another house's fault: the laboratory. A switch is paused here; its death is tests/chaos' own test.
SPARED = ("carrier-", "switch-")
#: What stands still, and for how many s.
PAUSES = (("switch-fs1", 5.0), ("redis", 1.0), ("controller-fs2", 2.5))


@dataclass(frozen=True)
class Planned:
    """`pause_s` None: killed."""

    name: str
    pause_s: float | None = None

    def __str__(self) -> str:
        return f"kill -9 {self.name}" if self.pause_s is None else f"{self.name} stands still for {self.pause_s:g} s"


@dataclass(frozen=True)
class Fault:
    """What was done to whom, from `begin` until it ran again: nanoseconds since 1970, as in the arrival logs."""

    planned: Planned
    begin: int
    end: int
    in_flight: int = 0  # calls that the carriers had up when it began

    def touches(self, begin: int, end: int, margin_s: float) -> bool:
        """Whether [begin, end] comes within `margin_s` of it."""
        margin = int(margin_s * 1e9)
        return begin <= self.end + margin and end >= self.begin - margin


def plan(stack: Stack, seed: int) -> list[Planned]:
    """Every process but the laboratory's killed once, both servers too, and the pauses; shuffled."""
    victims = [name for name in stack.supervisor.names if not name.startswith(SPARED)]
    found = [Planned(name) for name in (*victims, *SERVERS)] + [Planned(name, seconds) for name, seconds in PAUSES]
    random.Random(f"faults:{seed}").shuffle(found)
    return found


class Upheaval:
    """Carries the plan out, one after the other, from the thread that tends the stack: call :meth:`step` often.

    A disturbance begins when enough INVITEs have come since the start and the one before has been over for `settle_s`.
    """

    def __init__(self, stack: Stack, planned: Sequence[Planned], settle_s: float) -> None:
        self._stack = stack
        self._left: Iterator[Planned] = iter(planned)
        self._next: Planned | None = next(self._left, None)
        self._settle_s = settle_s
        self._under_way: tuple[Planned, int, int] | None = None
        self._over_at = time.monotonic()
        self.done: list[Fault] = []

    @property
    def over(self) -> bool:
        return self._next is None and self._under_way is None

    def step(self, may_begin: bool, in_flight: int) -> None:
        """`may_begin`: the load is where the next disturbance belongs."""
        if self._under_way is not None:
            self._end()
        elif self._next is not None and may_begin and time.monotonic() - self._over_at >= self._settle_s:
            self._begin(self._next, in_flight)
            self._next = next(self._left, None)

    def _begin(self, planned: Planned, in_flight: int) -> None:
        begin = time.time_ns()
        if planned.pause_s is not None:
            self._signal(planned.name, signal.SIGSTOP)
        elif planned.name in SERVERS:
            self._server(planned.name).kill()
        else:
            self._stack.supervisor.kill(planned.name)
        self._under_way = planned, begin, in_flight

    def _end(self) -> None:
        assert self._under_way is not None
        planned, begin, in_flight = self._under_way
        if planned.pause_s is not None:
            if time.time_ns() - begin < planned.pause_s * 1e9:
                return
            self._signal(planned.name, signal.SIGCONT)
        elif not self._back(planned.name):
            return
        self._under_way = None
        self._over_at = time.monotonic()
        self.done.append(Fault(planned, begin, time.time_ns(), in_flight))

    def _back(self, name: str) -> bool:
        """The supervisor has started it again."""
        running = self._server(name).pid if name in SERVERS else self._stack.supervisor.pid(name)
        return running is not None

    def _server(self, name: str) -> PrivateServer:
        return redis_of(self._stack) if name == "redis" else postgres_of(self._stack)

    def _signal(self, name: str, number: signal.Signals) -> None:
        if name in SERVERS:
            self._server(name).child.signal(number)
        else:
            self._stack.supervisor.signal(name, number)
