"""Where the relay may connect to: the guard against server-side request forgery.

An agent's address is the customer's text. It is resolved once, every answer is judged, and the connection goes to the
judged address, so that a second look-up cannot change the target in between.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from calls.addresses import is_public

__all__ = ["AddressRefused", "Target", "is_public", "judge"]


class AddressRefused(ValueError):
    """The agent's address may not be connected to; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """``url`` as the agent's server knows it, and the one address to connect to."""

    url: str
    host: str  # the judged IP address
    port: int
    secure: bool


async def judge(url: str, *, allow_private: bool, timeout_s: float) -> Target:
    """Resolve ``url`` and return where to connect, or raise :class:`AddressRefused` (or ``TimeoutError``)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused(f"agent url: {error}") from error
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise AddressRefused("agent url: give ws://host/path or wss://host/path")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("agent url: no user name or password in the address")
    secure = parts.scheme == "wss"
    if not secure and not allow_private:
        raise AddressRefused("agent url: only wss:// leaves this network; or set TRUNKLINE_AGENT_ALLOW_PRIVATE on your own")
    if port == 0:
        raise AddressRefused("agent url: port 0 leads nowhere")
    port = port or (443 if secure else 80)
    try:
        async with asyncio.timeout(timeout_s):
            found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise  # nobody said anything about the address
    except (OSError, UnicodeError) as error:
        raise AddressRefused(f"agent url: cannot resolve {parts.hostname}: {error}") from error
    addresses = [str(info[4][0]) for info in found]
    if not addresses:
        raise AddressRefused(f"agent url: {parts.hostname} has no address")
    if not allow_private:
        for address in addresses:
            if not is_public(address):
                raise AddressRefused(
                    f"agent url: {parts.hostname} is {address}, which is not a public address; "
                    "use a public one, or set TRUNKLINE_AGENT_ALLOW_PRIVATE on your own network"
                )
    return Target(url=url, host=addresses[0], port=port, secure=secure)
