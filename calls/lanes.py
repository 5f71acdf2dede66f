"""Lane names. A lane is an RQ queue whose name says every limit its attempts must obey: a permit never opens a job."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args
from uuid import UUID

Priority = Literal["urgent", "normal", "bulk"]

PRIORITIES: tuple[Priority, ...] = get_args(Priority)

_ROUTE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_LANE = re.compile(r"dial\.(urgent|normal|bulk)\.([0-9a-f]{32})\.([a-z0-9][a-z0-9-]{0,31})")


@dataclass(frozen=True, slots=True)
class Lane:
    """What a lane's name says."""

    priority: Priority
    tenant_id: UUID
    route: str

    @property
    def name(self) -> str:
        return lane_name(self.priority, self.tenant_id, self.route)


def lane_name(priority: str, tenant_id: UUID, route: str) -> str:
    """``dial.<priority>.<tenant hex>.<route>``; ValueError for an unknown priority or a route with other characters."""
    if priority not in PRIORITIES:
        raise ValueError(f"priority: expected one of {', '.join(PRIORITIES)}, not {priority!r}")
    if _ROUTE.fullmatch(route) is None:
        raise ValueError("route: expected 1 to 32 of a-z, 0-9 and -, not starting with -")
    return f"dial.{priority}.{tenant_id.hex}.{route}"


def parse_lane(name: str) -> Lane:
    """The inverse of :func:`lane_name`; ValueError for anything else."""
    match = _LANE.fullmatch(name)
    if match is None:
        raise ValueError("lane: expected dial.<urgent|normal|bulk>.<tenant, 32 hex digits>.<route>")
    return Lane(cast(Priority, match[1]), UUID(hex=match[2]), match[3])
