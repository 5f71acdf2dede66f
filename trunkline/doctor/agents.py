"""Voice agents: can each be reached from here? Nothing is said to them beyond the TLS handshake."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from store.checkup import AgentAddress
from trunkline.doctor.finding import Finding, fail, ok, warn

#: Agents that are tried, the newest first; so many at once.
MOST, AT_ONCE = 50, 8
#: s; for the name, the connection and the handshake each.
_PATIENCE_S = 3.0


def judge_agents(tried: Sequence[tuple[AgentAddress, str]]) -> list[Finding]:
    """``tried``: each with what went wrong, "" for nothing."""
    found = [
        fail(
            f"agent {agent.tenant}/{agent.name}",
            f"{agent.url}: {wrong}",
            "its calls would end as agent_unavailable: start it, or mend its URL",
        )
        for agent, wrong in tried
        if wrong
    ]
    if not tried:
        return [warn("agents", "no agent is reached over the network", "trunkline create-agent, if calls are to have one")]
    return found or [ok("agents", f"{len(tried)} can be reached")]


def agents(addresses: Sequence[AgentAddress]) -> list[Finding]:
    """Tries each."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return judge_agents(list(zip(addresses, threads.map(_wrong, [one.url for one in addresses]), strict=True)))


def _wrong(url: str) -> str:
    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    port = parts.port or (443 if secure else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=_PATIENCE_S) as plain:
            if secure:
                with ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname):
                    pass
    except OSError as error:  # ssl.SSLError and a failed name are one too
        return f"not reached: {error}"
    return ""
