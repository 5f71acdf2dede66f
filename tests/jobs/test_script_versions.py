"""The budget belongs to one version of the scripts: the newer one takes it, by a rebuild, and the older one keeps out."""

from __future__ import annotations

import time

import pytest
from redis import Redis

from budget import epoch as budget_epoch
from budget import permits
from budget.scopes import carrier_scope
from budget.scripts import VERSION
from jobs.feeder import Feeder, Turns
from jobs.version import STAND_BACK_S, OtherScripts
from settings import Settings
from store import attempts
from store import epoch as store_epoch
from store.leader import Leader
from tests.jobs.conftest import drained, tick, waiting, when
from tests.store.conftest import World


def opened_by(world: World, redis: Redis, version: int) -> int:
    """An epoch that a leader of that version has opened; its keys."""
    number = store_epoch.bump(world.db, store_epoch.get(world.db).epoch, "run", version)
    store_epoch.mark_open(world.db, number, when(0))
    redis.set(f"tl{version}:epoch", number)
    redis.sadd(f"tl{version}:in", "something")
    return number


def test_an_older_budget_is_closed_before_ours_opens(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    before = opened_by(world, redis, VERSION - 1)
    claimed, left = waiting(world), waiting(world)
    assert isinstance(world.claim(claimed, epoch=before, fence=77, now=when(1)), attempts.Claimed)
    redis.set("tl1foo", "another program's")
    tick(feeder)
    after = store_epoch.get(world.db)
    assert (after.epoch, after.scripts, after.opened_at is not None) == (before + 1, VERSION, True)
    assert list(redis.scan_iter(f"tl{VERSION - 1}:*")) == []
    assert redis.get("tl1foo") is not None
    # What the old controllers dialed counts in our budget; what they are about to claim is refused.
    assert [lease.fence for lease in permits.leases(redis, [world.carrier_id])] == [77]
    assert world.claim(left, epoch=before, now=when(1)) == attempts.Refused("epoch")
    # And the carrier rests as after any rebuild, for what the old budget has let go.
    assert permits.grant(redis, options, world.carrier_id, "fs1").limit == carrier_scope(world.carrier_id)
    tick(feeder)
    assert left in drained(world, redis, options)


def test_a_rebuild_of_the_older_version_under_way_cannot_open(world: World, feeder: Feeder, redis: Redis) -> None:
    old = f"tl{VERSION - 1}:"
    opened_by(world, redis, VERSION - 1)
    redis.set(f"{old}rebuilding", 5)
    tick(feeder)
    assert not redis.exists(f"{old}rebuilding"), "its open.lua looks for this mark"


def test_a_newer_budget_is_left_alone_and_so_is_the_lead(world: World, feeder: Feeder, redis: Redis) -> None:
    number = opened_by(world, redis, VERSION + 1)
    with pytest.raises(OtherScripts, match=f"scripts version {VERSION + 1}, ours is {VERSION}"):
        tick(feeder)
    with Leader(world.url, "versions") as leader, Leader(world.url, "versions") as other:
        turns, now = Turns(feeder, leader), time.monotonic()
        assert turns.turn(when(0), now) == 0
        assert other.held(), "somebody else may lead"
        assert turns.turn(when(0), now + STAND_BACK_S / 2) == 0
        other.close()
        assert turns.turn(when(0), now + STAND_BACK_S / 2) == 0
        assert other.held(), "for a while the older one does not even ask"
    truth = store_epoch.get(world.db)
    assert (truth.epoch, truth.scripts) == (number, VERSION + 1)
    assert redis.get(f"tl{VERSION + 1}:epoch") == str(number).encode()
    assert budget_epoch.opened(redis) is None, "so nothing is granted by our scripts"


def test_the_way_back_is_said_by_hand(world: World, feeder: Feeder, redis: Redis) -> None:
    number = opened_by(world, redis, VERSION + 1)
    store_epoch.bump(world.db, number, None, VERSION)
    tick(feeder)
    assert store_epoch.get(world.db).scripts == VERSION
    assert list(redis.scan_iter(f"tl{VERSION + 1}:*")) == []
