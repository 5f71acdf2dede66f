"""What a stack is put together from: accounts, ports, settings, the carriers' rows."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from settings import Settings
from store import carriers
from store.pool import Database
from trunkline.lab_parts import LabCarrier, Route
from trunkline.private import free_port
from trunkline.servers import GivenServer, PostgresServer, RedisServer


@dataclass(frozen=True)
class Account:
    """A tenant with a key in the clear."""

    id: UUID
    name: str
    key: str


def port_or_free(wanted: int) -> int:
    """`wanted` when nobody listens there on 127.0.0.1, else a free port."""
    with socket.socket() as probe:
        # As the servers themselves: a port somebody has just left counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return free_port()
    return wanted


def put_carriers(
    db: Database, lab_carriers: Sequence[LabCarrier], routes: Sequence[Route], ways: Mapping[str, tuple[str, str]]
) -> None:
    """Carriers, endpoints and routes in Postgres. ``ways``: by carrier, its gateway's name at the switch and its address."""
    ids: dict[str, UUID] = {}
    for lab in lab_carriers:
        gateway, address = ways[lab.name]
        cost = lab.invite_cost
        put = carriers.put_carrier(db, name=lab.name, max_channels=lab.channels, cps=lab.cps, invite_cost=cost)
        ids[lab.name] = put.id
        carriers.put_endpoint(db, carrier_id=ids[lab.name], gateway=gateway, address=address)
    for route in routes:
        order = [carriers.RouteCarrier(ids[name], tier=tier) for tier, name in enumerate(route.carriers, 1)]
        carriers.put_route(db, name=route.name, prefixes=route.prefixes, carriers=order)


def settings_from(environ: Mapping[str, str]) -> Settings:
    """The settings a process with this environment would have."""
    values = {
        name: environ[variable]
        for name in Settings.model_fields
        if (variable := {"database_url": "DATABASE_URL", "redis_url": "REDIS_URL"}.get(name, f"TRUNKLINE_{name.upper()}"))
        in environ
    }
    return Settings.model_validate(values)


def whose(server: PostgresServer | RedisServer | GivenServer) -> str:
    """For a person: is the server ours?"""
    return "given" if isinstance(server, GivenServer) else f"private, pid {server.pid}"
