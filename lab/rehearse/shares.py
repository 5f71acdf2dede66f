"""Who got what of what there was: Jain's index, and how long calls would wait if every second were shared ideally.

Tenants are compared within a class and a route, because only these stand before the same carriers. What the class and
route carried in a second is what there was; ideally it goes to those who have calls waiting, by weight.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

from lab.rehearse.ledger import Key

#: Expected calls below which a share says nothing.
FEW = 20.0
#: Calls waiting below which a second says nothing: who still waits at the end of it is then mostly who was not served.
DEEP = 8

Row = tuple[int, int, int, int]


def jain(shares: Sequence[float]) -> float:
    """1: all equal; 1/n: one has everything. 1 for none."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def groups(keys: Iterable[Key]) -> list[list[Key]]:
    """Keys that are compared: of one class and route, none with a limit of its own."""
    found: dict[tuple[str, str], list[Key]] = defaultdict(list)
    for key in keys:
        if not key.capped:
            found[key.priority, key.route].append(key)
    return list(found.values())


def contended(group: list[Key]) -> dict[int, tuple[float, float]]:
    """id(key) -> (calls it had, calls due to it by weight) over the seconds in which it and others had calls waiting
    throughout, and not only a few.
    """
    seconds: dict[int, list[tuple[Key, int]]] = defaultdict(list)
    for key in group:
        before = -2
        for second, _, left, waiting in key.rows:
            if waiting >= DEEP and before == second - 1:
                seconds[second].append((key, left))
            before = second if waiting >= DEEP else -1
    had: dict[int, float] = defaultdict(float)
    due: dict[int, float] = defaultdict(float)
    for present in seconds.values():
        if len(present) > 1:
            left = sum(count for _, count in present)
            weight = sum(key.weight for key, _ in present)
            for key, count in present:
                had[id(key)] += count
                due[id(key)] += left * key.weight / weight
    return {one: (had[one], due[one]) for one in due if due[one] >= FEW}


def fluid(group: list[Key]) -> dict[int, list[tuple[int, float]]]:
    """id(key) -> [(s waited, how many calls)] had every second been shared by weight among those with calls waiting."""
    rows: dict[int, list[tuple[int, Row]]] = defaultdict(list)
    for place, key in enumerate(group):
        for row in key.rows:
            rows[row[0]].append((place, row))
    queues: list[deque[list[float]]] = [deque() for _ in group]
    behind = [0.0] * len(group)
    waited: list[dict[int, float]] = [defaultdict(float) for _ in group]
    for second in sorted(rows):
        there = 0.0
        for place, (_, came, left, _) in rows[second]:
            there += left
            if came:
                queues[place].append([second, came])
                behind[place] += came
        while there > 1e-9:
            active = [place for place, amount in enumerate(behind) if amount > 1e-9]
            if not active:
                break
            unit = there / sum(group[place].weight for place in active)
            for place in active:
                served = min(behind[place], unit * group[place].weight)
                there -= served
                behind[place] -= served
                _serve(queues[place], served, second, waited[place])
    return {id(key): sorted(waited[place].items()) for place, key in enumerate(group)}


def _serve(queue: deque[list[float]], amount: float, second: int, waited: dict[int, float]) -> None:
    while amount > 1e-9 and queue:
        since, there = queue[0]
        some = min(amount, there)
        waited[second - int(since)] += some
        amount -= some
        queue[0][1] -= some
        if queue[0][1] <= 1e-9:
            queue.popleft()


def quantiles(waits: list[tuple[int, float]]) -> tuple[float, float, float, float]:
    """(p50, p90, max, mean) of waits with their amounts, in ascending order; zeros for none."""
    total = sum(amount for _, amount in waits)
    if not total:
        return 0.0, 0.0, 0.0, 0.0
    found = []
    for share in (0.5, 0.9):
        passed = 0.0
        for wait, amount in waits:
            passed += amount
            if passed >= share * total:
                found.append(float(wait))
                break
        else:
            found.append(float(waits[-1][0]))
    return found[0], found[1], float(waits[-1][0]), sum(wait * amount for wait, amount in waits) / total
