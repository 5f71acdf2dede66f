"""The whole house for a test module: ``stack``, a tenant in it, and the lab's own words to its switch."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import pytest

from tests.system.house import SHARED
from tests.system.switch_words import ask
from trunkline.stack import LabCarrier, Route, Stack

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Everything on private servers: one lab carrier (20 channels, 10 CPS) behind every number."""
    carrier, route = LabCarrier("lab_a", 20, 10), Route("all", ("",), ("lab_a",))
    with Stack(CHECKOUT, [carrier], [route], environ=SHARED, private=True, runtime=True) as running:
        yield running


@pytest.fixture
def lab(stack: Stack) -> Callable[[str], str]:
    """``lab("tone <uuid> 440")``: the reply to ``api lab ...`` on the simulated switch (lab/README.md)."""

    return lambda words: ask(stack, f"lab {words}")
