"""A tenant whose cap is used up for all its calls: nothing of it is laned until there is room again, and others go on."""

from __future__ import annotations

from calls.lanes import parse_lane
from jobs.feeder import Feeder
from jobs.picture import read
from store import caps
from tests.jobs.conftest import lane_of, tick, waiting
from tests.store.conftest import World


def test_nothing_is_laned_until_there_is_room(world: World, feeder: Feeder) -> None:
    caps.set_caps(world.db, world.tenant.id, actor="operator:test", calls_per_minute=1)
    world.execute("UPDATE tenants SET held_until = now() + interval '1 hour' WHERE id = %s", world.tenant.id)
    call = waiting(world)
    lane = parse_lane(lane_of(world, call))
    assert read(world.db).held == {world.tenant.id}
    assert read(world.db).serving(lane) == ()
    tick(feeder)
    ((epoch,),) = world.rows("SELECT pushed_epoch FROM attempts WHERE id = %s", call)
    assert epoch is None
    world.execute("UPDATE tenants SET held_until = now() - interval '1 s' WHERE id = %s", world.tenant.id)
    assert read(world.db).held == frozenset()
    feeder.look_again()
    tick(feeder)
    ((epoch,),) = world.rows("SELECT pushed_epoch FROM attempts WHERE id = %s", call)
    assert epoch is not None
