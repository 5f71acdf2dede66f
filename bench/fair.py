"""Who is served when everybody wants more than there is: ten calls behind a flood, urgent ones, campaigns, tenants.

The budget's own scripts on a virtual clock (lab/rehearse), one carrier of 50 CPS or two, three switches with a controller
each. What is counted are INVITEs as they arrive at the carrier. Nothing here depends on how fast the machine is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from uuid import UUID

from bench import Ratio, Report
from budget.lanes import Serving
from calls.lanes import Lane
from lab.rehearse.clock import BEGIN_US, SECOND
from lab.rehearse.desk import Attempt
from lab.rehearse.plan import Behaviour, Demand, Party, Plan, Stream, Trunk
from lab.rehearse.redis import RehearsalRedis
from lab.rehearse.run import World
from lab.rehearse.shares import jain
from settings import Settings

CPS = 50
SWITCHES = ("fs1", "fs2", "fs3")
#: us; how far ahead the controllers need their slots.
LEAD_US = 30_000
FLOOD, FEW = 10_000, 10
#: us; when the tenants with few calls come: all while the flood waits.
COMING = [int((5 + 17.3 * n) * SECOND) for n in range(10)]
#: us; urgent calls come alone, at every phase of a slot.
URGENT = [int((3 + 0.37 * n) * SECOND) + 1_237 * n for n in range(100)]
EACH = 200
MIXED = (1, 1, 2, 2, 3, 3, 4, 4, 5, 5)
BRIEF = Behaviour(answered=0.0, busy=1.0, invalid=0.0, refused=0.0, pdd_s=0.2)


def _id(number: int) -> UUID:
    return UUID(int=number)


def _run(server: RehearsalRedis, parties: Sequence[Party], *, carriers: int = 1) -> tuple[World, list[Attempt]]:
    """Runs it to the end; every attempt in the order in which its INVITE arrived."""
    trunks = tuple(Trunk(_id(n + 1), f"carrier{n + 1}", CPS, 10_000, behaviour=BRIEF) for n in range(carriers))
    routes = {"all": tuple(Serving(trunk.id) for trunk in trunks)}
    plan = Plan(1, trunks, tuple(parties), routes, SWITCHES)
    world = World(plan, server.url, Settings(redis_url=server.url), lead_us=LEAD_US)
    arrived: list[Attempt] = []
    world.ledger.watch = arrived.append
    try:
        told = world.run()
    finally:
        world.close()
    if not told.ok:
        raise RuntimeError(f"fair: {told.as_json()}")
    return world, arrived


def _tenant(number: int, streams: Sequence[Stream], weight: int = 1) -> Party:
    return Party(_id(number), f"tenant{number}", tuple(streams), weight)


def _until_done(arrived: Sequence[Attempt], due_us: int) -> int:
    """INVITEs after a tenant's calls were accepted, until the last of them has arrived."""
    slots = [one.slot for one in arrived]
    mine = [place for place, one in enumerate(arrived) if one.due == BEGIN_US + due_us]
    return mine[-1] + 1 - sum(slot <= BEGIN_US + due_us for slot in slots)


def behind_a_flood(server: RehearsalRedis, *, fifo: bool) -> int:
    """INVITEs until a tenant's ten calls have left, the worst of ten tenants that come one after the other.

    ``fifo``: all in one lane of one tenant, as a plain queue would have it.
    """
    few = [Stream(Lane("normal", _id(100 if fifo else 101 + n), "all"), Demand(FEW, at)) for n, at in enumerate(COMING)]
    flood = Stream(Lane("normal", _id(100), "all"), Demand(FLOOD, 0))
    if fifo:
        parties = [_tenant(100, [flood, *few])]
    else:
        parties = [_tenant(100, [flood]), *(_tenant(101 + n, [stream]) for n, stream in enumerate(few))]
    _, arrived = _run(server, parties)
    return max(_until_done(arrived, at) for at in COMING)


def urgent(server: RehearsalRedis) -> list[float]:
    """ms from acceptance to its slot of each urgent call, under a flood of normal and one of bulk calls."""
    floods = [
        _tenant(100, [Stream(Lane("normal", _id(100), "all"), Demand(2_000, 0))]),
        _tenant(101, [Stream(Lane("bulk", _id(101), "all"), Demand(500, 0))]),
    ]
    codes = [Stream(Lane("urgent", _id(102), "all"), Demand(1, at)) for at in URGENT]
    _, arrived = _run(server, [*floods, _tenant(102, codes)])
    return [(one.slot - one.due) / 1000 for one in arrived if one.line.spec.priority == "urgent"]


def _share(arrived: Sequence[Attempt], name: Callable[[Attempt], Hashable], weights: dict[Hashable, int]) -> float:
    """Jain's index of calls per weight, up to the moment at which the first of them has no more."""
    had: Counter[Hashable] = Counter()
    for one in arrived:
        had[name(one)] += 1
        if had[name(one)] == EACH:
            break
    return jain([had[key] / weight for key, weight in weights.items()])


def campaigns(server: RehearsalRedis, weights: Sequence[int], carriers: int) -> float:
    """Ten campaigns of one tenant."""
    lanes = [Lane("normal", _id(100), "all", campaign=f"list{n}") for n in range(len(weights))]
    streams = [Stream(lane, Demand(EACH), share=float(weight)) for lane, weight in zip(lanes, weights, strict=True)]
    _, arrived = _run(server, [_tenant(100, streams)], carriers=carriers)
    named: dict[Hashable, int] = {lane.name: weight for lane, weight in zip(lanes, weights, strict=True)}
    return _share(arrived, lambda one: one.line.spec.name, named)


def tenants(server: RehearsalRedis, weights: Sequence[int], carriers: int) -> float:
    """Ten tenants with one list each."""
    parties = [
        _tenant(100 + n, [Stream(Lane("normal", _id(100 + n), "all"), Demand(EACH))], weight)
        for n, weight in enumerate(weights)
    ]
    _, arrived = _run(server, parties, carriers=carriers)
    named: dict[Hashable, int] = {party.id: party.weight for party in parties}
    return _share(arrived, lambda one: one.line.spec.tenant_id, named)


def run() -> Report:
    server = RehearsalRedis()
    try:
        ours, fifo = behind_a_flood(server, fifo=False), behind_a_flood(server, fifo=True)
        waits = urgent(server)
        equal = (1,) * len(MIXED)
        found = {
            "campaigns": min(campaigns(server, equal, n) for n in (1, 2)),
            "campaigns_mixed": min(campaigns(server, MIXED, n) for n in (1, 2)),
            "tenants": min(tenants(server, equal, n) for n in (1, 2)),
            "tenants_mixed": min(tenants(server, MIXED, n) for n in (1, 2)),
        }
    finally:
        server.close()
    slot_ms = (1000 + Settings().jitter_for(None)) / CPS
    return Report(
        [
            Ratio("behind_flood", ours, 2 * FEW, "INVITEs until ten calls have left", "its share of half"),
            Ratio("urgent", max(waits), slot_ms + 50, "ms to its slot, the worst of 100", "one slot + 50 ms"),
            *(Ratio(name, value, 1.0, "Jain's index", "an exact share") for name, value in found.items()),
        ],
        {
            "behind a flood, first in first out": f"{fifo:,} INVITEs, {fifo / (2 * FEW):.0f}x",
            "urgent, half of them (ms)": round(sorted(waits)[len(waits) // 2], 1),
        },
    )
