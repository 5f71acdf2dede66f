"""The way between controller and switch is cut again and again, goes silent without a word, and is held up.

Whoever is called hears nothing of it: as many INVITEs as attempts, and the same ends as without. What ended in the very
moment in which nobody listened is told by its CDR, which goes another way.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import time
from collections.abc import Callable, Iterator

import pytest

from lab.cutter import Cutter
from tests.chaos.faults import Fault, Planned
from tests.chaos.oracle import verdict
from tests.system.house import PATIENCE_S, PLAIN, SHARED, House
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
CARRIER = LabCarrier("lab_a", channels=12, cps=5, ring="0.3:0.9", talk="0.8:2.5")
#: s; of cuts, one every EVERY_S.
LONG_S = 30.0 if os.environ.get("TRUNKLINE_CHAOS") == "all" else 12.0
EVERY_S = 2.0
#: s; a link that has gone silent is noticed after a ping's interval and a command's limit, and made anew.
SILENT_S = 3.0
HELD_S = 1.2
ENDINGS = (PLAIN, "0101", PLAIN, "0104", PLAIN, "0110", "0103", PLAIN, "0107")
WITHOUT = {"0101": "busy", "0104": "failed", "0110": "completed", "0103": "failed", "0107": "no_answer", PLAIN: "completed"}


class Way:
    """The cutter in front of the stack's switch, which it learns of when it is there."""

    def __init__(self) -> None:
        self.stack: Stack | None = None
        self.cutter = Cutter(self._target)

    def _target(self) -> tuple[str, int]:
        if self.stack is None:
            raise OSError("no switch yet")
        return self.stack.places[0].esl


@pytest.fixture
def way() -> Iterator[Way]:
    made = Way()
    with made.cutter:
        yield made


@pytest.fixture
def house(way: Way) -> Iterator[House]:
    environ = SHARED | {"TRUNKLINE_ESL_PORT": str(way.cutter.port), "TRUNKLINE_RECONCILE_INTERVAL_S": "2"}
    way.stack = Stack(ROOT, [CARRIER], [Route("all", ("",), (CARRIER.name,))], environ=environ, private=True)
    with way.stack as stack:
        yield House(stack)


def test_ends_are_as_without(house: House, way: Way) -> None:
    cutter, since = way.cutter, time.time_ns()
    blows: list[tuple[Callable[[], None], float]] = [
        (cutter.cut, 0.6),
        (cutter.silence, SILENT_S),
        (lambda: cutter.hold(HELD_S), HELD_S + 0.6),
    ]
    faults: list[Fault] = []
    ids: list[str] = []
    over = time.monotonic() + LONG_S
    before = cutter.carried
    for (blow, blind_s), endings in zip(itertools.cycle(blows), itertools.repeat(ENDINGS)):
        late = time.monotonic() > over
        if late and cutter.carried - before > len(faults):
            break  # not while the links were hardly cut: a slow machine makes them anew late
        assert time.monotonic() < over + PATIENCE_S, "the links are not made anew"
        struck = time.monotonic()
        begin = time.time_ns()
        blow()
        faults.append(Fault(Planned("switch"), begin, begin + int(blind_s * 1e9)))
        ids += [] if late else [house.post(ending) for ending in endings]
        time.sleep(max(0.0, struck + EVERY_S - time.monotonic()))
    house.wait_ended(ids)
    house.wait_nothing_held()
    calls = [house.see(call) for call in ids]
    found = verdict(house.stack, calls, ids, None, faults, since)
    assert not found.wrong, "\n".join(found.wrong)
    otherwise = [call for call in calls if call["status"] != WITHOUT[call["to"][-4:]]]
    assert (otherwise, found.unknown) == ([], 0)
    print(f"{len(faults)} blows, {cutter.carried} links, {len(calls)} calls, every end as without")
