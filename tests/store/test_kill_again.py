"""``trunkline kill`` looks a second time: a claim that was under way when the pause was written is hung up, too."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from settings import get_settings
from store import attempts
from store.pool import Database
from tests.store.conftest import World, db, world
from trunkline.cli import main, operate

__all__ = ["db", "world"]


def test_what_was_being_claimed_is_found_after_the_time_that_is_set(
    world: World, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", world.url)
    monkeypatch.setenv("TRUNKLINE_KILL_AGAIN_S", "7.5")
    get_settings.cache_clear()
    late = world.accept()
    waited: list[float] = []

    def claimed_meanwhile(seconds: float) -> None:
        """As by a claim that had read the tenant's row before the pause was written."""
        waited.append(seconds)
        world.execute("UPDATE tenants SET paused = false WHERE id = %s", world.tenant.id)
        assert isinstance(world.claim(late.attempt_id), attempts.Claimed)
        world.execute("UPDATE tenants SET paused = true WHERE id = %s", world.tenant.id)

    monkeypatch.setattr(operate.time, "sleep", claimed_meanwhile)
    try:
        done = CliRunner().invoke(main, ["kill", "--tenant", world.tenant.name, "--yes"])
    finally:
        get_settings.cache_clear()
    assert (done.exit_code, waited) == (0, [7.5]), done.output
    assert "1 live calls are being hung up" in done.output
