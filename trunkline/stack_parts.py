"""What a stack is put together from: accounts, ports, settings, the carriers' rows."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from settings import Settings
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
