"""What of a keeper's environment its workers have: all that is the agent's own, and nothing that opens the platform.

A worker runs the agent's code. With the password for the call records it could forge them, and seats.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Of the platform's names, what an agent reads: where the runtime plane is (docs/runtime.md). No secret is among them.
ALLOWED = frozenset({"TRUNKLINE_RUNTIME_URL_BASE"})
#: The platform's other names; settings.py reads them in capitals or not.
_PLATFORM = frozenset({"DATABASE_URL", "WEB_DATABASE_URL", "REDIS_URL"})
_PREFIXES = ("TRUNKLINE_", "FREESWITCH_")


def for_workers(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a nursery, or of a worker that is started afresh."""
    return {name: value for name, value in environment.items() if name in ALLOWED or not _platforms(name.upper())}


def _platforms(name: str) -> bool:
    return name in _PLATFORM or name.startswith(_PREFIXES)
