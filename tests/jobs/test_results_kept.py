"""The watchdog erases what agents handed in when its time is over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobs import watchdog as module
from jobs.watchdog import FORGET_EVERY_S, Watchdog
from store import results
from store.results import NewResult
from tests.jobs.test_watchdog import options
from tests.store.conftest import T0, World


def test_what_was_said_goes_when_its_time_is_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ERASE_BATCH", 2)
    calls = [world.accept() for _ in range(5)]
    for call in calls:
        new = NewResult("done", "what was said", {"data": {"a": 1}}, bytes(32))
        taken = results.take(world.db, world.tenant.id, call.attempt_id, world.agent_id, new, days=2, now=T0)
        assert taken is not None
    watchdog, seconds = Watchdog(world.db, options(world)), 1000.0

    def look(days: float, later_s: float) -> int:
        """How many are left after it."""
        nonlocal seconds
        seconds += later_s
        watchdog.look(T0 + timedelta(days=days), clock=lambda: seconds)
        listed = [results.list_results(world.db, world.tenant.id, call.call.id)[0] for call in calls]
        assert all((one.erased_at is None) == (one.summary == "what was said") for one in listed)
        return sum(one.erased_at is None for one in listed)

    assert look(1.99, 0) == 5
    assert look(2, 1) == 5, "it looks every five minutes"
    assert [look(2, FORGET_EVERY_S), look(2, 1), look(2, 1)] == [3, 1, 0], "at once again while there may be more"
