"""The referee of seats: told by relays and workers what is true, it looks at what Redis says of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from uuid import UUID

from budget.replies import text
from budget.scripts import PREFIX
from budget.seats import pools
from lab.rehearse.clock import BEGIN_US, Clock
from lab.rehearse.fleet.keeper import Worker
from lab.rehearse.fleet.plan import POOL
from lab.rehearse.wire import Wire


class Judge:
    """``broken``: what must never be, how often, and the first of each; ``seen``: what there was. ``leased``: whose lease
    may still be there; ``live``: whether a call is at its relay and not over.
    """

    def __init__(self, clock: Clock, wire: Wire, leased: Callable[[UUID], bool], live: Callable[[UUID], bool]) -> None:
        self._clock, self._wire, self._leased, self._live = clock, wire, leased, live
        self.broken: Counter[str] = Counter()
        self.first: dict[str, str] = {}
        self.seen: Counter[str] = Counter()
        self.waits: list[int] = []  # us from the answer to the agent, of calls that waited
        self._doubted: set[str] = set()

    def bad(self, what: str, more: object = "") -> None:
        """That must never be."""
        self.broken[what] += 1
        self.first.setdefault(what, f"{(self._clock.now - BEGIN_US) / 1e6:.6f} s {more}")

    def look(self, workers: Iterable[Worker]) -> None:
        """Once a second, with the budget ready: one seat has one call, one call has one seat, and each knows the other."""
        seated = {text(id_): text(at) for id_, at in self._wire.hgetall(f"{PREFIX}seated").items()}
        free, names = ([text(name) for name in self._wire.zrange(f"{PREFIX}{of}:{POOL}", 0, -1)] for of in ("free", "seats"))
        asked = [("HMGET", f"{PREFIX}seat:{POOL}/{name}", "state", "attempt", "url") for name in names]
        stand = {
            name: tuple(text(word or b"") for word in row) for name, row in zip(names, self._wire.ask(*asked), strict=True)
        }
        self._at_most_one(seated, stand, set(free))
        talking = {worker.url for worker in workers if worker.call is not None and self._live(worker.call)}
        doubted = {url for name, (state, _, url) in stand.items() if name in free and state == "free" and url in talking}
        for url in doubted & self._doubted:  # what its keeper says may be on its way
            self.bad("a seat was free while its worker talked", url)
        self._doubted = doubted

    def _at_most_one(self, seated: dict[str, str], stand: dict[str, tuple[str, ...]], free: set[str]) -> None:
        if len(set(seated.values())) != len(seated):
            self.bad("a seat was given to two calls", seated)
        for id_ in seated:
            if not self._leased(UUID(id_)):
                self.bad("a seat was left with a call that is over", id_)
        for name, (state, id_, _) in stand.items():
            if state == "held" and not self._leased(UUID(id_)):
                self.bad("a seat was held for a call that is over", name)
            if state == "held" and seated.get(id_) != f"{POOL}/{name}":
                self.bad("a seat was held for a call that has another", name)
            if state != "free" and name in free:
                self.bad("a seat was to be had and not free", name)

    def all_free(self, seats: int) -> bool:
        """So many seats are heard of, and nobody has one, or is owed one."""
        found = next((one for one in pools(self._wire) if one.name == POOL), None)
        return found is not None and found[1:] == (seats, seats, 0, 0, 0)

    def close(self, seats: int) -> None:
        """Every call is over: each seat is free."""
        if not self.all_free(seats):
            self.bad("a seat was not given back", pools(self._wire))
        left = self._wire.ask(
            ("HLEN", f"{PREFIX}seated"), ("HMGET", f"{PREFIX}held", f"seats:{POOL}", f"seats:{POOL}:at_answer")
        )
        if left[0] or any(int(one or 0) for one in left[1]):
            self.bad("a call is still counted in the pool", left)
