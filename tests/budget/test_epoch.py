"""The epoch on a real Redis: only the rebuild under way wipes and opens."""

from __future__ import annotations

import pytest

from budget import epoch
from budget.replies import texts
from budget.scripts import PREFIX
from tests.budget.bench import Bench, open_epoch


def test_a_rebuild_closes_wipes_and_opens(bench: Bench) -> None:
    bench.carrier()
    [attempt] = bench.fill(bench.lane(), 1)
    epoch.begin(bench.redis, epoch.marks(bench.redis), 8)
    assert bench.refusal().limit == "not_ready"
    epoch.wipe(bench.redis, 8)
    assert bench.redis.keys("rq:queue:dial.*") == []
    assert texts(bench.redis.keys(f"{PREFIX}*")) == [f"{PREFIX}rebuilding"]
    epoch.open_epoch(bench.redis, 8, epoch.run_id(bench.redis), [])
    assert epoch.opened(bench.redis) == 8
    assert epoch.marks(bench.redis).rebuilding == ""
    assert bench.redis.exists(f"rq:job:{attempt}") == 1  # RQ's, and written anew by the next push


def test_who_was_overtaken_before_it_began_does_not_begin(bench: Bench) -> None:
    seen = epoch.marks(bench.redis)
    open_epoch(bench.redis, 9)
    with pytest.raises(epoch.Overtaken):
        epoch.begin(bench.redis, seen, 8)
    assert epoch.opened(bench.redis) == 9


def test_who_was_overtaken_in_the_middle_neither_wipes_nor_opens(bench: Bench) -> None:
    epoch.begin(bench.redis, epoch.marks(bench.redis), 8)
    open_epoch(bench.redis, 9)
    bench.carrier()
    [attempt] = bench.fill(bench.lane(), 1)
    with pytest.raises(epoch.Overtaken):
        epoch.wipe(bench.redis, 8)
    with pytest.raises(epoch.Overtaken):
        epoch.open_epoch(bench.redis, 8, "r", [])
    assert epoch.opened(bench.redis) == 9
    assert bench.take().attempt_id == attempt


def test_a_redis_that_forgot_in_the_middle_is_not_opened(bench: Bench) -> None:
    """What was adopted before is gone: the rebuild has to begin again."""
    epoch.begin(bench.redis, epoch.marks(bench.redis), 8)
    epoch.wipe(bench.redis, 8)
    bench.redis.delete(f"{PREFIX}rebuilding")
    with pytest.raises(epoch.Overtaken):
        epoch.open_epoch(bench.redis, 8, "r", [])
    assert epoch.opened(bench.redis) is None


def test_a_rebuild_that_broke_off_is_taken_over(bench: Bench) -> None:
    epoch.begin(bench.redis, epoch.marks(bench.redis), 8)
    open_epoch(bench.redis, 9)
    assert epoch.opened(bench.redis) == 9


def test_nonsense_is_no_epoch(bench: Bench) -> None:
    bench.redis.set(f"{PREFIX}epoch", "eight")
    assert epoch.opened(bench.redis) is None
    open_epoch(bench.redis, 8)
    assert epoch.opened(bench.redis) == 8
