"""The promises of the retry policy over whole lives of calls; hypothesis looks for the seed that breaks one."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.retry.lives import live


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**63))
def test_every_promise_holds_over_a_life(seed: int) -> None:
    live(Random(seed))
