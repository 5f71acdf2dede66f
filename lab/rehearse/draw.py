"""A plan from a seed: floods, trickles, on and off, one-time codes; carriers of every kind; what goes wrong.

Everything scales with the number of calls, so that a rehearsal of any size is a busy half hour of a house that size.
"""

from __future__ import annotations

from random import Random
from uuid import UUID

from budget.lanes import Serving
from calls.lanes import Lane, Priority
from lab.rehearse.clock import SECOND
from lab.rehearse.plan import Behaviour, Cap, Demand, Fault, Party, Plan, Stream, Trunk

#: Shares of tenants by what they are, and of all calls that such tenants have together.
KINDS = {
    "flood": (0.3, 0.72),
    "campaigns": (0.15, 0.12),
    "on_off": (0.2, 0.1),
    "trickle": (0.2, 0.04),
    "codes": (0.15, 0.02),
}


def draw(
    seed: int,
    *,
    calls: int = 8_000,
    tenants: int = 40,
    carriers: int = 6,
    switches: int = 3,
    crashes: int = 3,
    wipes: int = 1,
) -> Plan:
    """The plan of ``seed``. ValueError where there is less than one of anything, or a call for each tenant is not there."""
    for name, value in (("tenants", tenants), ("carriers", carriers), ("switches", switches)):
        if value < 1:
            raise ValueError(f"{name}: at least 1, not {value}")
    if calls < tenants:
        raise ValueError(f"calls: at least one for each of the {tenants} tenants, not {calls}")
    random = Random(f"plan {seed}")
    lasts_s = 150 * (calls / 20_000) ** 0.45
    rate = calls / lasts_s
    accounts = {"shared": [0, 1]} if carriers >= 4 else {}
    trunks = tuple(_trunk(random, n, rate / carriers, "shared" if accounts and n < 2 else None) for n in range(carriers))
    routes = _routes(random, trunks)
    names = tuple(f"fs{n + 1}" for n in range(switches))
    parties = _parties(random, calls, tenants, sorted(routes), int(lasts_s * SECOND))
    return Plan(
        seed=seed,
        trunks=trunks,
        parties=parties,
        routes=routes,
        switches=names,
        caps=tuple(_caps(random, trunks, parties, names, rate)),
        faults=tuple(_faults(random, trunks, names, int(lasts_s * SECOND), crashes, wipes)),
    )


def _trunk(random: Random, number: int, share: float, account: str | None) -> Trunk:
    cps = max(2.0, round(share * random.choice((0.5, 0.8, 1.2, 1.6))))
    behaviour = Behaviour(
        answered=random.uniform(0.3, 0.6),
        busy=random.uniform(0.05, 0.15),
        refused=random.uniform(0.0, 0.02),
        pdd_s=random.uniform(0.6, 2.0),
        talk_s=random.uniform(6.0, 30.0),
        ring_out_s=random.uniform(10.0, 25.0),
    )
    # Half of them run out of channels first, half of CPS.
    channels = max(4, round(cps * behaviour.mean_s * random.choice((0.6, 0.8, 1.3, 1.6))))
    return Trunk(
        UUID(int=random.getrandbits(128)),
        f"carrier{number + 1}",
        cps if number % 5 != 3 else cps + 0.5,
        channels,
        window_ms=2000 if number % 6 == 4 else 1000,
        linger_ms=random.choice((250, 250, 1000)),
        invite_cost=2 if number % 6 == 5 else 1,
        account=account,
        urgent_share=0.3,
        bulk_floor=0.1,
        behaviour=behaviour,
    )


def _routes(random: Random, trunks: tuple[Trunk, ...]) -> dict[str, tuple[Serving, ...]]:
    routes = {}
    for number in range(max(1, (len(trunks) + 1) // 2)):
        first = {trunks[(2 * number + k) % len(trunks)].id: k for k in range(random.choice((2, 2, 3)))}
        serving = [Serving(id_, 1, random.choice((1, 1, 2))) for id_ in first]
        spare = random.choice(trunks).id
        if spare not in first and random.random() < 0.5:
            serving.append(Serving(spare, 2, 1))
        routes[f"r{number}"] = tuple(serving)
    return routes


def _parties(random: Random, calls: int, tenants: int, routes: list[str], lasts_us: int) -> tuple[Party, ...]:
    kinds = [kind for kind, (share, _) in KINDS.items() for _ in range(max(1, round(share * tenants)))][:tenants]
    kinds += ["flood"] * (tenants - len(kinds))
    sizes = [random.uniform(0.6, 1.4) * KINDS[kind][1] / kinds.count(kind) for kind in kinds]
    counts = [1 + int((calls - tenants) * size / sum(sizes)) for size in sizes]
    counts[0] += calls - sum(counts)
    found = []
    for number, (kind, count) in enumerate(zip(kinds, counts, strict=True)):
        id_ = UUID(int=random.getrandbits(128))
        route = routes[number % len(routes)]
        weight = random.choice((1, 1, 1, 2, 4)) if kind in ("flood", "campaigns") else 1
        streams = _streams(random, kind, id_, route, count, lasts_us)
        found.append(Party(id_, f"{kind}{number + 1}", tuple(streams), weight))
    return tuple(found)


def _streams(random: Random, kind: str, tenant: UUID, route: str, count: int, lasts_us: int) -> list[Stream]:
    begin = int(random.uniform(0, 0.15) * lasts_us)
    if kind == "campaigns":
        parts = random.choice((2, 3, 4))
        some = [count // parts + (n < count % parts) for n in range(parts)]
        lanes = [Lane("bulk", tenant, route, campaign=f"list{n}") for n in range(parts)]
        return [
            Stream(lane, Demand(n, begin), share=float(random.choice((1, 1, 3))))
            for lane, n in zip(lanes, some, strict=True) if n
        ]  # fmt: skip
    if kind == "flood":
        pool = "desk" if random.random() < 0.1 else None
        priority: Priority = "bulk" if random.random() < 0.3 else "normal"
        return [Stream(Lane(priority, tenant, route, agents=pool), Demand(count, begin))]
    if kind == "codes":
        return [Stream(Lane("urgent", tenant, route), Demand(count, begin, "trickle", int(lasts_us * 0.8)))]
    demand = Demand(
        count, begin, "on_off" if kind == "on_off" else "trickle", int(lasts_us * 0.8), random.randint(3, 15) * SECOND
    )
    return [Stream(Lane("normal", tenant, route), demand)]


def _caps(
    random: Random, trunks: tuple[Trunk, ...], parties: tuple[Party, ...], switches: tuple[str, ...], rate: float
) -> list[Cap]:
    together = [trunk for trunk in trunks if trunk.account]
    caps = []
    if together:
        channels = int(sum(trunk.channels for trunk in together) * 0.9)
        caps.append(Cap("account:shared", channels, max(2.0, sum(trunk.cps for trunk in together) * 0.9)))
    for party in parties:
        if random.random() < 0.06:
            caps.append(Cap(f"tenant:{party.id}", max(2, int(rate * random.uniform(0.2, 0.6))), None))
        elif random.random() < 0.06:
            caps.append(Cap(f"tenant:{party.id}", None, max(1.0, round(rate * 0.02))))
    if any(stream.lane.agents for party in parties for stream in party.streams):
        caps.append(Cap("agents:desk", max(3, int(rate)), None))
    most = sum(trunk.cps for trunk in trunks)
    caps += [Cap(f"switch:{name}", sum(t.channels for t in trunks), max(8.0, 4 * most / len(switches))) for name in switches]
    caps.append(Cap("global", sum(trunk.channels for trunk in trunks), None))
    return caps


def _faults(
    random: Random, trunks: tuple[Trunk, ...], switches: tuple[str, ...], lasts_us: int, crashes: int, wipes: int
) -> list[Fault]:
    def some_time() -> int:
        return int(random.uniform(0.1, 0.9) * lasts_us)

    crash = range(crashes)
    faults = [Fault("crash", some_time(), random.randint(500_000, 2_000_000), random.choice(switches)) for _ in crash]
    faults += [Fault("wipe", some_time(), random.randint(200_000, 1_200_000)) for _ in range(wipes)]
    faults.append(Fault("outage", some_time(), 15 * SECOND, random.choice(trunks).name))
    faults += [
        Fault("limits", some_time(), 20 * SECOND, random.choice(trunks).name, factor)
        for factor in (random.choice((0.5, 0.7)), 1.3)
    ]
    return sorted(faults, key=lambda fault: (fault.at_us, fault.kind, fault.subject))
