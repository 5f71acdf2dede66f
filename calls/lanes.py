"""Lane names. A lane is an RQ queue whose name says every limit its attempts must obey: a permit never opens a job."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args
from uuid import UUID

Priority = Literal["urgent", "normal", "bulk"]

PRIORITIES: tuple[Priority, ...] = get_args(Priority)

_NAME = r"[a-z0-9][a-z0-9-]{0,31}"
_NAMED = re.compile(_NAME)
_LANE = re.compile(
    rf"dial\.(urgent|normal|bulk)\.([0-9a-f]{{32}})\.({_NAME})(?:\.c-({_NAME}))?(?:\.n-({_NAME}))?(?:\.a-({_NAME}))?(?:\.([fo])-({_NAME}))?"
)
#: How a call comes to a seat of its pool: it has one from the permit on, or gets one when somebody answers.
SeatPolicy = Literal["reserved", "at_answer"]
SEAT_POLICIES: tuple[SeatPolicy, ...] = get_args(SeatPolicy)


@dataclass(frozen=True, slots=True)
class Lane:
    """What a lane's name says. ``campaign`` and ``callers`` (a caller-ID pool) are the tenant's own names, ``agents`` is an
    agent pool of the platform; ``seats`` a pool of the fleet, whose seats its calls take as ``policy`` says.
    """

    priority: Priority
    tenant_id: UUID
    route: str
    campaign: str | None = None
    callers: str | None = None
    agents: str | None = None
    seats: str | None = None
    policy: SeatPolicy = "reserved"

    @property
    def name(self) -> str:
        return lane_name(
            self.priority, self.tenant_id, self.route, campaign=self.campaign, callers=self.callers, agents=self.agents,
            seats=self.seats, policy=self.policy,
        )  # fmt: skip

    @property
    def scopes(self) -> tuple[str, ...]:
        """The limits on the lane's own side, as the budget names them; the tenant's first."""
        found = [f"tenant:{self.tenant_id}"]
        if self.campaign is not None:
            found.append(f"campaign:{self.tenant_id.hex}:{self.campaign}")
        if self.callers is not None:
            found.append(f"caller:{self.tenant_id.hex}:{self.callers}")
        if self.agents is not None:
            found.append(f"agents:{self.agents}")
        if self.seats is not None:
            found.append(seats_scope(self.seats, self.policy))
        return tuple(found)


def seats_scope(pool: str, policy: SeatPolicy = "reserved") -> str:
    """What the calls of a pool of the fleet count in."""
    return f"seats:{pool}" if policy == "reserved" else f"seats:{pool}:{policy}"


def lane_name(
    priority: str,
    tenant_id: UUID,
    route: str,
    *,
    campaign: str | None = None,
    callers: str | None = None,
    agents: str | None = None,
    seats: str | None = None,
    policy: SeatPolicy = "reserved",
) -> str:
    """``dial.<priority>.<tenant hex>.<route>[.c-<campaign>][.n-<caller-ID pool>][.a-<agent pool>]`` and, of a pool of the
    fleet, ``.f-<pool>`` or, where a seat is taken at the answer, ``.o-<pool>``.

    ValueError for an unknown priority or a name with other characters.
    """
    if priority not in PRIORITIES:
        raise ValueError(f"priority: expected one of {', '.join(PRIORITIES)}, not {priority!r}")
    name = f"dial.{priority}.{tenant_id.hex}.{_checked('route', route)}"
    marked = ("seats", "f" if policy == "reserved" else "o", seats)
    for field, mark, value in (("campaign", "c", campaign), ("callers", "n", callers), ("agents", "a", agents), marked):
        if value is not None:
            name += f".{mark}-{_checked(field, value)}"
    return name


def lane_with_seats(priority: str, tenant_id: UUID, route: str, seats: str | None) -> str:
    """:func:`lane_name` where ``seats`` says pool and policy in one: ``desk``, ``desk:at_answer``; None: no seat."""
    pool, _, later = (seats or "").partition(":")
    return lane_name(priority, tenant_id, route, seats=pool or None, policy="at_answer" if later else "reserved")


def inbound_lane(tenant_id: UUID, pool: str | None, seats: str | None = None) -> str:
    """What a call that comes in counts in, named like a lane, though it never waits in one:
    ``dial.inbound.<tenant hex>.inbound[.a-<agent pool>][.f-<pool of the fleet>]``. ValueError for other characters.
    """
    name = f"dial.inbound.{tenant_id.hex}.inbound"
    if pool is not None:
        name += f".a-{_checked('pool', pool)}"
    return name if seats is None else f"{name}.f-{_checked('seats', seats)}"


def lane_with_pool(name: str, pool: str | None) -> str:
    """The name of a lane, or of :func:`inbound_lane`, whose call has come to ``pool`` of the fleet, with a seat there; None:
    to none. Whatever pool was in the name is left out of it. ValueError for other characters.
    """
    # No part has a dot in it, and the fourth is the route, which may be named o-net.
    parts = name.split(".")
    kept = parts[:4] + [part for part in parts[4:] if not part.startswith(("f-", "o-"))]
    return ".".join(kept if pool is None else [*kept, f"f-{_checked('pool', pool)}"])


def _checked(field: str, name: str) -> str:
    if _NAMED.fullmatch(name) is None:
        raise ValueError(f"{field}: expected 1 to 32 of a-z, 0-9 and -, not starting with -")
    return name


def parse_lane(name: str) -> Lane:
    """The inverse of :func:`lane_name`; ValueError for anything else."""
    match = _LANE.fullmatch(name)
    if match is None:
        raise ValueError(
            "lane: expected dial.<urgent|normal|bulk>.<tenant, 32 hex>.<route>[.c-<campaign>][.n-<callers>][.a-<agents>]"
            "[.f-<seats> or .o-<seats>]"
        )
    policy: SeatPolicy = "at_answer" if match[7] == "o" else "reserved"
    return Lane(
        cast(Priority, match[1]), UUID(hex=match[2]), match[3], match[4], match[5], match[6], seats=match[8], policy=policy
    )
