"""No carrier ever gets more than it allows, whatever stands still, is killed or forgets: judged at the carriers' sockets.

The short form of ``python -m bench carriers`` and ``python -m bench pacing``, with the same code.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench import carriers, pacing
from bench._limiters import OURS
from trunkline.servers import RedisServer

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

#: Originates that are written and not acknowledged, at most, when two switches stand still.
MAY_BE_LOST = 4


def test_three_carriers_get_never_too_much_from_four_switches() -> None:
    """Redis hiccups, controllers and a switch stand still, clocks are wrong; Redis is wiped, later restored from a file."""
    found = carriers.campaign(carriers.Length(saturated=10.0, bursts=3, wiped=11.0), seed=7)
    assert not found.wrong, "\n".join([*found.wrong, carriers.timeline(found.faults, found.began_ns)])
    full = [carrier.name for carrier in carriers.CARRIERS if found.verdicts[carrier.name].peak_invites == carrier.cps]
    assert full, "no carrier was ever saturated: no test"
    assert found.statuses.total() == found.posted
    # What was written to the switch that stood still may be told as lost; nothing else goes wrong.
    assert found.statuses["failed"] <= MAY_BE_LOST, found.statuses
    assert found.statuses["failed"] + found.statuses["busy"] + found.statuses["completed"] == found.posted
    assert found.posted - found.invites <= found.statuses["failed"]
    assert min(found.shares.values()) >= carriers.LEAST_SHARE, found.shares


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.mark.parametrize("demand", [pacing.SATURATED, pacing.ON_OFF, pacing.WRONG_CLOCKS], ids=lambda demand: demand.name)
def test_four_dialers_at_the_permit_alone(redis_server: RedisServer, demand: pacing.Demand) -> None:
    found = pacing.once(redis_server.url, OURS, demand, seconds=4.0)
    assert not found.verdict.violations, str(found)
    assert found.verdict.invites == found.granted - found.burned
    assert len(found.verdict.sources) == pacing.DIALERS
    if demand is not pacing.ON_OFF:
        assert found.asked <= 1.2 * found.granted, str(found)
