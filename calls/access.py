"""What a key may do and from where. Pure: addresses, networks and scopes come in as values."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Literal, TypeAlias, get_args

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What a tenant's key may be good for; every route of the API names the one that it needs.
Scope = Literal[
    "calls:read",
    "calls:write",
    "agents:read",
    "agents:write",
    "recordings:read",
    "recordings:write",
    "limits:read",
    "webhooks:manage",
    "suppressions:manage",
    "keys:manage",
]
SCOPES: tuple[Scope, ...] = get_args(Scope)
#: Of these what a test key may be good for.
TEST_SCOPES: tuple[Scope, ...] = ("calls:read", "calls:write", "agents:read", "limits:read")
#: Where calls of a key go: to people, or to the laboratory.
Mode = Literal["live", "test"]

NETWORKS_MAX = 50
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


def address(text: str | None) -> Address | None:
    """A literal IP address, also as ``1.2.3.4:5060`` or ``[2001:db8::1]:443``; an IPv4 one inside IPv6 as IPv4. None: it is
    none."""
    if text is None:
        return None
    stripped = text.strip()
    found = _WITH_PORT.fullmatch(stripped)
    try:
        one = ipaddress.ip_address((found[1] or found[2]) if found is not None else stripped)
    except ValueError:
        return None
    if isinstance(one, ipaddress.IPv6Address):
        if one.scope_id is not None:
            return None
        return one.ipv4_mapped or one
    return one


def network(text: str) -> Network:
    """``203.0.113.0/24``, ``2001:db8::/32`` or one address. Errors: ``ValueError`` that says what would be right."""
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(
            f"{text[:60]!r} is no network: give a CIDR whose host bits are 0, such as 203.0.113.0/24 or 2001:db8::/32, or an"
            " address"
        ) from None
    if isinstance(found, ipaddress.IPv6Network) and found.network_address.ipv4_mapped is not None:
        raise ValueError(f"{text[:60]!r} is IPv4 inside IPv6: give it as IPv4")
    if found.prefixlen == 0:
        raise ValueError(f"{text[:60]!r} is every address: give none at all for that")
    return found


def networks(texts: Iterable[str]) -> list[Network]:
    """The same for several, each once, in order. Errors: ``ValueError`` of the first that is none."""
    return list(dict.fromkeys(network(text) for text in texts))


def is_in(one: Address | None, allowed: Collection[Network] | None) -> bool:
    """Whether a request from there is let in; ``allowed`` None: from anywhere. An address that is not known is nowhere."""
    if allowed is None:
        return True
    return one is not None and any(one in net for net in allowed)


def within(inner: Collection[Network] | None, outer: Collection[Network] | None) -> bool:
    """Whether every address of ``inner`` is one of ``outer``; None is all there are."""
    if outer is None:
        return True
    if inner is None:
        return False
    return all(any(_covers(big, small) for big in outer) for small in inner)


def _covers(big: Network, small: Network) -> bool:
    if isinstance(big, ipaddress.IPv4Network):
        return isinstance(small, ipaddress.IPv4Network) and small.subnet_of(big)
    return isinstance(small, ipaddress.IPv6Network) and small.subnet_of(big)


def client(peer: str | None, forwarded: Sequence[str], trusted: Collection[Network]) -> Address | None:
    """Who asks: the peer of the connection; where that is a proxy of ours, whom it says it speaks for, and so on.

    ``forwarded``: X-Forwarded-For from left to right, each proxy adding its peer at the right. What stands left of the first
    address that is no proxy of ours is its own invention and is not read. None: it cannot be told.
    """
    one = address(peer)
    for text in reversed(forwarded):
        if one is None or not is_in(one, trusted):
            break
        one = address(text)
    return one
