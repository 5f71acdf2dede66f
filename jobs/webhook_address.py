"""Where a webhook may go: a customer names the address, so it must not lead into our own network (SSRF).

The name is resolved once, every address it has must be public, and the connection is made to the very address that was
checked; so a name server that answers differently the second time gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from gevent.monkey import get_original

from calls.addresses import WEBHOOK_PORTS, is_public

#: The system's own, whether or not gevent has put another in its place.
_getaddrinfo = get_original("socket", "getaddrinfo")

#: (host, port) -> addresses as text. Raises OSError when the name does not resolve.
Lookup = Callable[[str, int], Sequence[str]]


class AddressRefused(Exception):
    """This URL is not delivered to; the message says why. Trying again later may help only if the name changes."""


@dataclass(frozen=True, slots=True)
class Target:
    """A checked destination: connect to ``address``, speak to ``host``."""

    scheme: str
    host: str
    port: int
    address: str
    path: str  # with the query

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"


def origin(url: str) -> str:
    """``scheme://host:port`` of ``url`` in lower case; the whole text when it is no URL. Groups deliveries by receiver."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{(parts.hostname or '').lower()}:{parts.port or ''}"
    except ValueError:
        return url


def system_lookup(host: str, port: int) -> list[str]:
    """Every address of ``host``, by the system's resolver, which blocks the thread: jobs/webhook_names.py has some for it.
    One that is an address is its own.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    found = _getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def resolve(url: str, *, allow_private: bool, lookup: Lookup = system_lookup) -> Target:
    """The one address to connect to for ``url``.

    Raises :class:`AddressRefused`: not https, user-info, a port that is none of WEBHOOK_PORTS, a name that does not resolve,
    or one of whose addresses is not public. ``allow_private`` (laboratory) lifts all of these but the last two's form.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("not a URL") from None
    host = parts.hostname
    if parts.scheme not in ("https", "http") or not host or parts.username is not None or parts.password is not None:
        raise AddressRefused("not an https URL with a host and without user-info")
    port = port if port is not None else (443 if parts.scheme == "https" else 80)
    if not allow_private and (parts.scheme != "https" or port not in WEBHOOK_PORTS):
        raise AddressRefused("only https on port 443 or 8443 is delivered to")
    try:
        addresses = lookup(host, port)
        parsed = [ipaddress.ip_address(address.partition("%")[0]) for address in addresses]
    except (OSError, UnicodeError, ValueError):
        raise AddressRefused("the name does not resolve") from None
    if not parsed:
        raise AddressRefused("the name does not resolve")
    if not allow_private and not all(is_public(address) for address in parsed):
        raise AddressRefused("the name leads to an address that is not public")
    path = parts.path or "/"
    return Target(parts.scheme, host, port, str(parsed[0]), f"{path}?{parts.query}" if parts.query else path)
