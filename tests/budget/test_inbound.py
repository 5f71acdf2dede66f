"""Calls that come in: counted at once or refused, and the channels that are kept for them."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from budget import permits
from budget.explain_scopes import read_scopes
from budget.leases import UNCOUNTED
from budget.permits import Lease
from budget.replies import text
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from tests.budget.bench import CARRIER, HOUR, TENANT, Bench, VirtualBench, in_use, open_epoch

TRUNK = carrier_scope(CARRIER)
OTHER = UUID(int=98)


def taken(bench: Bench, lane: str) -> int:
    """So many permits are granted before one is refused."""
    bench.fill(lane, 20)
    count = 0
    while bench.grant().grants:
        count += 1
    return count


def held(bench: Bench) -> dict[str, int]:
    """Everything that is counted, by its scope."""
    counted = {text(name): int(count) for name, count in bench.redis.hgetall(f"{PREFIX}held").items()}
    return counted | {TRUNK: int(bench.redis.zcard(f"{PREFIX}held:{TRUNK}"))}


def test_what_is_reserved_no_call_of_ours_takes(bench: Bench) -> None:
    bench.carrier(channels=6, reserved=2)
    assert taken(bench, bench.lane()) == 4
    now = read_scopes(bench.redis, [TRUNK]).scopes[TRUNK]
    assert (now.limit, now.used, now.kept, now.left, now.full) == (6, 4, 2, 0, True)


def test_one_at_a_time_or_many_the_reserve_is_kept(bench: Bench) -> None:
    bench.carrier(channels=9, reserved=3)
    bench.fill(bench.lane(), 20)
    assert len(bench.grant(want=20).grants) == 6


def test_a_call_that_comes_in_takes_any_place(bench: Bench) -> None:
    """Those of the reserve first, but also all that nobody dials on."""
    bench.carrier(channels=6, reserved=2)
    assert [bench.admit().full for _ in range(7)] == [""] * 6 + [TRUNK]
    assert taken(bench, bench.lane()) == 0


def test_a_reserve_that_is_used_is_not_kept_besides(bench: Bench) -> None:
    bench.carrier(channels=6, reserved=2)
    assert bench.admit().fence is not None
    assert bench.admit().fence is not None
    assert taken(bench, bench.lane()) == 4
    assert bench.admit().full == TRUNK


def test_dialed_and_come_in_are_never_more_than_the_limit(bench: Bench) -> None:
    bench.carrier(channels=5, reserved=3)
    assert taken(bench, bench.lane()) == 2
    assert [bench.admit().full for _ in range(4)] == ["", "", "", TRUNK]


def test_a_carrier_that_calls_more_than_is_reserved_takes_from_the_rest(bench: Bench) -> None:
    bench.carrier(channels=6, reserved=2)
    for _ in range(4):
        assert bench.admit().fence is not None
    assert taken(bench, bench.lane()) == 2


def test_what_one_gives_back_is_reserved_again(bench: Bench) -> None:
    bench.carrier(channels=4, reserved=2)
    attempt = uuid4()
    fence = bench.admit(attempt).fence
    assert fence is not None
    assert bench.admit().fence is not None
    lane = bench.lane()
    assert taken(bench, lane) == 2
    assert permits.release(bench.redis, attempt, fence)
    assert bench.refusal().limit == TRUNK
    assert bench.admit().fence is not None


def test_it_counts_everywhere_until_it_is_released(bench: Bench) -> None:
    shared = "account:acme"
    bench.scope(shared, channels=5)
    bench.carrier(more=(shared,))
    attempt = uuid4()
    admission = bench.admit(attempt, more=".a-team")
    assert admission.fence is not None
    everywhere = [shared, "switch:fs1", "global", f"tenant:{TENANT}", "agents:team", f"in:{TRUNK}", f"in:{shared}"]
    assert held(bench) == dict.fromkeys([TRUNK, *everywhere], 1)
    assert permits.leases(bench.redis, [CARRIER]) == [Lease(attempt, admission.fence, CARRIER, "fs1")]
    assert permits.renew(bench.redis, bench.settings, [attempt]) == 1
    assert permits.release(bench.redis, attempt, admission.fence)
    assert held(bench) == {TRUNK: 0}


@pytest.mark.parametrize("scope", ["account:acme", "switch:fs1", "global", f"tenant:{TENANT}", "agents:team"])
def test_each_limit_refuses_by_its_name(bench: Bench, scope: str) -> None:
    bench.scope(scope, channels=1)
    bench.carrier(more=("account:acme",))
    assert bench.admit(more=".a-team").fence is not None
    before = held(bench)
    refused = bench.admit(more=".a-team")
    assert (refused.fence, refused.full) == (None, scope)
    assert held(bench) == before  # what is refused counts nowhere


def test_a_pause_of_ours_refuses_and_a_carriers_does_not(bench: Bench) -> None:
    """A carrier that is not to be dialed through goes on calling."""
    bench.carrier(paused=True)
    assert bench.admit().fence is not None
    bench.scope("agents:team", paused=True)
    assert bench.admit(more=".a-team").full == "agents:team"


def test_no_rate_is_asked(bench: Bench) -> None:
    bench.carrier(interval=HOUR)
    lane = bench.lane()
    bench.fill(lane, 2)
    bench.take()
    assert bench.admit().fence is not None
    assert bench.number(TRUNK, "tat") > 0
    assert bench.refusal().paced


def test_ended_calls_count_on_for_those_that_come_in_too(bench: Bench) -> None:
    bench.carrier(channels=1, linger_us=HOUR)
    attempt = uuid4()
    fence = bench.admit(attempt).fence
    assert fence is not None
    assert permits.release(bench.redis, attempt, fence)
    assert bench.admit().full == TRUNK


def test_what_lingers_no_more_takes_nothing_of_what_the_reserve_leaves(virtual: VirtualBench) -> None:
    virtual.carrier(channels=3, reserved=2, linger_us=250_000)
    virtual.fill(virtual.lane(), 2)
    virtual.release(virtual.take())
    assert virtual.refusal().limit == TRUNK
    virtual.step(300_000)
    assert virtual.take()


def test_asked_again_it_is_the_same_lease(bench: Bench) -> None:
    """Two controllers, or one that was asked twice."""
    bench.carrier(channels=1)
    attempt = uuid4()
    first = bench.admit(attempt)
    assert first.fence is not None
    assert bench.admit(attempt) == first
    assert in_use(bench.redis, [TRUNK, "global"]) == {TRUNK: 1, "global": 1}


def test_only_its_owner_releases_it_and_every_fence_is_another(bench: Bench) -> None:
    bench.carrier()
    ids = [uuid4() for _ in range(3)]
    fences = [bench.admit(one).fence for one in ids]
    bench.fill(bench.lane(), 1)
    assert len({*fences, bench.take().fence}) == 4
    assert fences[1] is not None
    assert not permits.release(bench.redis, ids[0], fences[1])


def test_where_no_carrier_counts_it_the_house_does(bench: Bench) -> None:
    bench.carrier(channels=1)
    bench.scope("global", channels=2)
    attempt = uuid4()
    admission = bench.admit(attempt, carrier=None)
    assert admission.fence is not None
    assert in_use(bench.redis, [TRUNK, "global"]) == {TRUNK: 0, "global": 1}
    assert permits.leases(bench.redis, []) == [Lease(attempt, admission.fence, UNCOUNTED, "fs1")]
    assert bench.admit(carrier=None).fence is not None
    assert bench.admit(carrier=None).full == "global"
    assert permits.release(bench.redis, attempt, admission.fence)
    assert bench.admit(carrier=None).fence is not None


def test_without_an_epoch_nobody_is_admitted(bench: Bench) -> None:
    bench.carrier()
    bench.redis.delete(f"{PREFIX}epoch")
    assert bench.admit() == (None, "not_ready")


def test_an_adopted_one_uses_the_reserve(bench: Bench) -> None:
    """After a rebuild, and where reconcile finds a call without a lease."""
    bench.carrier(channels=3, reserved=1)
    lease = Lease(uuid4(), 5, CARRIER, "fs1")
    lane = f"dial.inbound.{TENANT.hex}.inbound"
    assert permits.adopt(bench.redis, bench.settings, lease, lane)
    assert not permits.adopt(bench.redis, bench.settings, lease, lane)
    assert taken(bench, bench.lane()) == 2
    assert permits.release(bench.redis, lease.attempt_id, 5)
    assert bench.refusal().limit == TRUNK


def test_a_carrier_that_joins_an_account_brings_its_callers(bench: Bench) -> None:
    bench.carrier(channels=9)
    assert bench.admit().fence is not None
    bench.scope("account:acme", channels=4, reserved=1)
    bench.carrier(OTHER, more=("account:acme",))
    bench.carrier(channels=9, more=("account:acme",))
    assert held(bench)["in:account:acme"] == 1
    # The one that came in stands for the account's reserve: three are left to dial.
    assert taken(bench, bench.lane()) == 3


def test_an_epoch_later_its_fences_are_higher(bench: Bench) -> None:
    bench.carrier()
    before = bench.admit().fence
    open_epoch(bench.redis, 8)
    after = bench.admit().fence
    assert before is not None
    assert after is not None
    assert after > before
