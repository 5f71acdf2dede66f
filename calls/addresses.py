"""Which addresses lie in the open Internet: the one rule for every place where a customer names an address (SSRF).

Pure: it judges numbers, never names. Whoever connects resolves the name once, judges every address it has, and connects
to the very address that was judged. What is not known to be public is refused. Source: the IANA special-purpose address
registries (RFC 6890 and its updates), and what clouds serve their instances under a public number.
"""

from __future__ import annotations

import ipaddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Not in the open Internet, although some libraries (or some of their versions) say so.
_V4_REFUSED = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared behind carrier-grade NAT; a cloud's metadata lies here
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # a cloud's wire server: public by number, internal by meaning
            "169.254.0.0/16",  # link-local; metadata of most clouds
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments; a cloud's metadata lies here
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays, withdrawn
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and the broadcast address
        ),
    )
)
#: All that is given out for use on the Internet; everything else (::/96, fc00::/7, fe80::/10, fec0::/10, ff00::/8,
#: 64:ff9b:1::/48, 100::/64, 5f00::/16 ...) has a meaning of its own or none.
_V6_GLOBAL = ipaddress.IPv6Network("2000::/3")
_V6_REFUSED = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo carries any IPv4 address inside, ORCHIDs are no addresses
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: carries any IPv4 address inside
            "3fff::/20",  # documentation
        ),
    )
)
#: Where a public IPv4 address is written as an IPv6 one, its last 32 bits are judged.
_V4_INSIDE = (ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96"))


#: TLS ports at which a receiver of webhooks may be; others are the doors of databases and of our own services.
WEBHOOK_PORTS = frozenset({443, 8443})


def is_public(address: str | IPAddress) -> bool:
    """Whether ``address`` lies in the open Internet: not private, local, shared, multicast, reserved, or one in disguise.

    A scope (``%eth0``) does not hide an address. Errors: ``ValueError`` when the text is no IP address.
    """
    if isinstance(address, str):
        address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in network for network in _V4_REFUSED)
    if any(address in network for network in _V4_INSIDE):
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _V6_GLOBAL and address.is_global and not any(address in network for network in _V6_REFUSED)


def is_number_in_disguise(host: str) -> bool:
    """Whether a host that is no plain IP address would still be read as one: ``2130706433``, ``0x7f.1``, ``127.1``.

    No name of the Internet has a last label of digits (RFC 1123, 2.1), so nothing is lost by refusing it.
    """
    last = host.rstrip(".").rpartition(".")[2].lower()
    return last.isdigit() or (last.startswith("0x") and all(digit in "0123456789abcdef" for digit in last[2:]))
