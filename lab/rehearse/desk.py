"""The stand-in for Postgres and the feeder: what is accepted, what waits, what was claimed, and what Redis is told of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from random import Random
from uuid import UUID

from budget import lanes
from budget import push as laning
from budget.lanes import LaneSpec
from lab.rehearse.clock import SECOND, Clock
from lab.rehearse.plan import Plan
from lab.rehearse.wire import Wire
from settings import Settings

#: us; between two looks of the feeder that nobody asked for.
LOOK_US = 250_000
#: us; looks it was asked for are not closer together.
SOONEST_US = 20_000


class State(IntEnum):
    """Of an attempt: in a lane; granted; granted, and forgotten by a controller that crashed; claimed, and maybe under way;
    over.
    """

    LANED = 0
    GRANTED = 1
    DROPPED = 2
    CLAIMED = 3
    OVER = 4


class Attempt:
    """One try of a call."""

    __slots__ = ("carrier", "due", "epoch", "fence", "id", "invited", "line", "number", "slot", "state", "switch", "tries")

    def __init__(self, id_: UUID, number: int, line: Line, due: int, tries: int) -> None:
        self.id, self.number, self.line, self.due, self.tries = id_, number, line, due, tries
        self.state = State.LANED
        self.fence = self.epoch = self.slot = 0
        self.switch = ""
        self.carrier: UUID | None = None
        self.invited = False


@dataclass(slots=True)
class Block:
    """Calls that wait and have no attempt in Redis yet."""

    due: int
    count: int
    tries: int


@dataclass(slots=True, eq=False)
class Line:
    """A lane as the feeder sees it. ``inside``: attempts in Redis' list; ``behind``: calls that wait behind them."""

    spec: LaneSpec
    window: int
    key: int
    capped: bool
    scopes: tuple[str, ...]
    inside: int = 0
    behind: int = 0
    backlog: deque[Block | Attempt] = field(default_factory=deque)

    @property
    def waiting(self) -> int:
        """Calls that wait for a permit."""
        return self.inside + self.behind


class Desk:
    """Every attempt that is not over, every call that is not."""

    def __init__(self, plan: Plan, settings: Settings, wire: Wire, clock: Clock, lines: Iterable[Line]) -> None:
        self._settings, self._wire, self._clock = settings, wire, clock
        self._random = Random(f"ids {plan.seed}")
        self._max_attempts = plan.max_attempts
        self.lines = {line.spec.name: line for line in lines}
        self.attempts: dict[UUID, Attempt] = {}
        self.accepted = self.done = self.failed = self.retries = 0
        self.arrived = [0] * (1 + max((line.key for line in self.lines.values()), default=0))
        self._numbers = 0
        self._asked = False
        self._looked = 0

    @property
    def open_calls(self) -> int:
        """Accepted and not at their end."""
        return self.accepted - self.done - self.failed

    def _new(self, line: Line, due: int, tries: int) -> Attempt:
        self._numbers += 1
        return Attempt(UUID(int=self._random.getrandbits(128)), self._numbers, line, due, tries)

    def accept(self, line: Line, count: int, tries: int = 0) -> None:
        """``count`` calls (or, with ``tries``, one more try of as many) come into the lane, as the API lanes them."""
        if not tries:
            self.accepted += count
        self.arrived[line.key] += count
        now = self._clock.now
        if line.behind == 0 and line.inside < line.window:
            # One more than fits: then it is the script itself that says "no more".
            some = [self._new(line, now, tries) for _ in range(min(count, line.window - line.inside + 1))]
            count -= len(some)
            laned = set(laning.push(self._wire, [(one.id, line.spec.name) for one in some], window=line.window))
            for one in some:
                if one.id in laned:
                    self.attempts[one.id] = one
                    line.inside += 1
                else:
                    line.backlog.append(one)
                    line.behind += 1
        if count:
            line.backlog.append(Block(now, count, tries))
            line.behind += count

    def _take(self, line: Line, most: int) -> Iterator[Attempt]:
        while line.backlog and most > 0:
            first = line.backlog[0]
            if isinstance(first, Attempt):
                yield line.backlog.popleft()  # type: ignore[misc]
                most -= 1
                continue
            count = min(most, first.count)
            yield from (self._new(line, first.due, first.tries) for _ in range(count))
            first.count -= count
            most -= count
            if not first.count:
                line.backlog.popleft()

    def refill(self, _: object = None) -> None:
        """What waits behind a lane that is half empty comes in."""
        self._asked, self._looked = False, self._clock.now
        some: list[Attempt] = []
        off = []
        for line in self.lines.values():
            if line.behind and line.inside <= line.window // 2:
                some += self._take(line, line.window - line.inside)
        for one in some:
            one.line.inside += 1
            one.line.behind -= 1
            self.attempts[one.id] = one
            if not one.line.behind:
                off.append(one.line.spec.name)
        if some:
            laning.push(self._wire, [(one.id, one.line.spec.name) for one in some])
        if off:
            lanes.set_overflow(self._wire, [], dict.fromkeys(off))

    def refill_soon(self) -> None:
        """A lane ran empty that has more behind it."""
        if not self._asked:
            self._asked = True
            self._clock.at(self._looked + SOONEST_US, self.refill)

    def granted(self, attempt_id: UUID) -> Attempt | None:
        """The attempt left its lane; None: there is none that waits in one."""
        one = self.attempts.get(attempt_id)
        if one is None or one.state != State.LANED:
            return None
        one.state = State.GRANTED
        one.line.inside -= 1
        return one

    def back(self, one: Attempt) -> None:
        """A permit was given back: the attempt is in its lane again."""
        one.state, one.fence = State.LANED, 0
        one.line.inside += 1

    def over(self, one: Attempt, *, again_us: int | None) -> None:
        """The attempt has ended; with ``again_us`` the call is tried once more so much later, if it may."""
        one.state = State.OVER
        if again_us is None:
            self.done += 1
        elif one.tries + 1 >= self._max_attempts:
            self.failed += 1
        else:
            self.retries += 1
            self._clock.after(again_us, self._again, (one.line, one.tries + 1))

    def _again(self, what: tuple[Line, int]) -> None:
        self.accept(what[0], 1, what[1])

    def forget(self, one: Attempt) -> None:
        """Its lease was given back; nothing asks for it any more."""
        self.attempts.pop(one.id, None)
        self._wire.post(("UNLINK", f"rq:job:{one.id}"))

    def state_lanes(self, _: object = None) -> None:
        """Tells Redis of every lane."""
        lanes.set_lanes(self._wire, [line.spec for line in self.lines.values()])

    def prune(self, _: object = None) -> None:
        """Lanes that hold nothing are forgotten, as a feeder does; they come back by themselves."""
        empty = [name for name, line in self.lines.items() if not line.waiting]
        if empty:
            lanes.prune(self._wire, empty)
        self._clock.after(20 * SECOND, self.prune)

    def push_again(self) -> None:
        """After a rebuild: what was in a lane comes into it again, in its old order; overflow flags as they were."""
        for line in self.lines.values():
            line.inside = 0
        waiting = [one for one in self.attempts.values() if one.state == State.LANED]
        laning.push(self._wire, [(one.id, one.line.spec.name) for one in waiting])
        for one in waiting:
            one.line.inside += 1
        lanes.set_overflow(self._wire, [name for name, line in self.lines.items() if line.behind], [])
