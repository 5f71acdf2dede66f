"""Links and scripted switches that are gone when the test is over, greenlets included."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator

import gevent
import pytest

from controller.esl import EslLink
from tests.esl.stub import Peer, Switch

MakeSwitch = Callable[..., Switch]
MakeLink = Callable[..., EslLink]


@pytest.fixture
def switch() -> Iterator[MakeSwitch]:
    made: list[Switch] = []

    def make(*scripts: Callable[[Peer], None]) -> Switch:
        made.append(Switch(*scripts))
        return made[-1]

    yield make
    for item in made:
        item.stop()


@pytest.fixture
def link(switch: MakeSwitch) -> Iterator[MakeLink]:
    made: list[EslLink] = []

    def make(target: Switch, *, role: str = "commands", **changes: object) -> EslLink:
        made.append(EslLink(target.settings(**changes), role=role, rng=random.Random(7)))
        return made[-1]

    yield make
    for item in made:
        item.stop(0.2)
        assert leftovers(item) == []


def leftovers(item: EslLink) -> list[gevent.Greenlet[..., object]]:
    """Greenlets that still run a method of this link or of its parts."""
    parts = (item, item.dispatcher, item._hooks)
    # By its type: to ask what others left may raise (a weak reference to what is gone).
    return [
        g
        for g in gc.get_objects()
        if issubclass(type(g), gevent.Greenlet)
        and not g.dead
        and getattr(getattr(g, "_run", None), "__self__", None) in parts
    ]
