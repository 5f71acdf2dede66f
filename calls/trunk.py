"""How a carrier wants to be spoken to in SIP, and the parameters of the gateway that follow from it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

#: What may be offered to a carrier, by the switch's names: those in its core, for no module is loaded for others.
CODECS = frozenset({"PCMU", "PCMA"})
#: Of the environment variable that holds a digest password: so that no row can name another secret of a process.
SECRET_PREFIX = "TRUNKLINE_SECRET_"  # noqa: S105
#: What our Contact and OPTIONS are called where a carrier gave us no username.
PLAIN_USER = "trunkline"

#: A gateway's parameters, in the order in which they are written.
GATEWAY_PARAMS = (
    "proxy", "register", "register-transport", "username", "realm", "from-user", "from-domain", "caller-id-in-from",
    "ping", "ping-min", "ping-max",
)  # fmt: skip

_V4 = re.compile(r"([0-9.]+):([0-9]{1,5})")
_V6 = re.compile(r"\[([0-9A-Fa-f:.]+)\]:([0-9]{1,5})")


NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Trunk:
    """A carrier's row, its SIP side. ``number_format`` and ``caller_format``: ``plus`` (+49...), ``double_zero``
    (``international_prefix`` before the digits), ``digits``, ``national`` (``national_prefix`` instead of ``country_code``;
    other countries as ``double_zero``). ``tech_prefix`` goes before the dialed number. ``caller_header``: what carries the
    caller id beside From (``pai``, ``ppi``, ``rpid``, ``none``). ``privacy``: ``off`` no Privacy header, ``none`` says
    "Privacy: none", ``id`` withholds the caller from the callee. ``ping_s`` None: no OPTIONS. ``ring_s``: longest ring time
    there, None: each call's own. ``reject_texts``: as calls.reject_texts wants them.
    """

    id: UUID = NOBODY
    name: str = "plain"
    auth: str = "ip"
    username: str | None = None
    realm: str | None = None
    secret_env: str | None = None
    from_user: str | None = None
    from_domain: str | None = None
    caller_in_from: bool = True
    caller_header: str = "pai"
    privacy: str = "none"
    number_format: str = "plus"
    caller_format: str = "plus"
    country_code: str | None = None
    national_prefix: str = "0"
    international_prefix: str = "00"
    tech_prefix: str = ""
    codecs: tuple[str, ...] | list[str] = ("PCMU", "PCMA")
    transport: str = "udp"
    ping_s: int | None = 10
    ring_s: int | None = None
    media_timeout_s: int = 60
    invite_cost: int = 1
    reject_texts: list[dict[str, Any]] = field(default_factory=list)


#: A carrier that asks for nothing in particular.
PLAIN = Trunk()


def literal_address(text: object) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    """``192.0.2.1:5060`` or ``[2001:db8::1]:5060``. Errors: ``ValueError`` that says what is wrong.

    Names are refused: the SIP stack would walk their SRV records by itself, one INVITE each.
    """
    found = (_V4.fullmatch(text) or _V6.fullmatch(text)) if isinstance(text, str) else None
    try:
        if found is None:
            raise ValueError(text)
        host, port = ipaddress.ip_address(found[1]), int(found[2])
    except ValueError:
        raise ValueError(f"address: {text!r} must be a literal ip:port, 192.0.2.1:5060 or [2001:db8::1]:5060") from None
    if not 1 <= port <= 65_535:
        raise ValueError(f"address: port {port} must be 1 to 65535")
    if host.is_unspecified or host.is_multicast:
        raise ValueError(f"address: nobody can be called at {host}")
    return host, port


def gateway_params(trunk: Trunk, address: str) -> dict[str, str]:
    """The parameters of a gateway to ``address``, by sofia's names (see GATEWAY_PARAMS); no password.

    Two gateways with the same parameters (and secret) are the same gateway.
    """
    literal_address(address)
    params = {
        "proxy": address,
        "register": "false",
        "register-transport": trunk.transport,
        "username": trunk.username or PLAIN_USER,
    }
    if trunk.auth == "digest" and trunk.realm:
        params["realm"] = trunk.realm
    if trunk.from_user:
        params["from-user"] = trunk.from_user
    if trunk.from_domain:
        params["from-domain"] = trunk.from_domain
    params["caller-id-in-from"] = "true" if trunk.caller_in_from else "false"
    if trunk.ping_s is not None:
        params |= {"ping": str(trunk.ping_s), "ping-min": "1", "ping-max": "2"}
    return params


def gateway_prefix(carrier: str, endpoint: str) -> str:
    """What the gateways of an endpoint are called, up to the number of their version."""
    return f"{carrier}-{endpoint}-v"
