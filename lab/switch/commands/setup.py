"""How the switch is set up: modules, network lists, the clock, a SIP profile's values (mod_commands, mod_sofia)."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.switch.core import Switch


def module_exists(switch: Switch, arguments: str) -> str:
    return "true" if arguments.strip() in switch.config.modules else "false"


def acl(switch: Switch, arguments: str) -> str:
    """An address, a list: a list that is missing allows nothing."""
    words = arguments.split()
    if len(words) < 2:
        return "-ERR Invalid input!\n"
    networks = switch.config.acl.get(words[1], ())
    try:
        address = ipaddress.ip_address(words[0])
    except ValueError:
        return "false"
    return "true" if any(address in ipaddress.ip_network(network) for network in networks) else "false"


def strepoch(_switch: Switch, _arguments: str) -> str:
    return str(int(time.time()))


def profile_xml(switch: Switch) -> str:
    """``sofia xmlstatus profile NAME``."""
    profile = switch.sofia
    values = {
        "name": profile.name,
        "domain-name": "N/A",
        "auto-nat": "false",
        "dialplan": "XML",
        "context": "inbound",
        "rtp-ip": profile.host,
        "sip-ip": profile.host,
        "url": f"sip:mod_sofia@{profile.host}:{profile.port}",
        "bind-url": f"sip:mod_sofia@{profile.host}:{profile.port};transport=udp,tcp",
        "inbound-codecs": "PCMU,PCMA",
        "outbound-codecs": "PCMU,PCMA",
        "tel-event": "101",
        "dtmf-mode": "rfc2833",
        "calls-in": str(sum(one.calls_in for one in profile.gateways.values())),
        "calls-out": str(sum(one.calls_out for one in profile.gateways.values())),
    }
    lines = "".join(f"    <{name}>{value}</{name}>\n" for name, value in values.items())
    return (
        f'<?xml version="1.0" encoding="ISO-8859-1"?>\n<profile>\n  <profile-info>\n{lines}  </profile-info>\n</profile>\n'
    )


HANDLERS: dict[str, Callable[[Switch, str], str | Awaitable[str]]] = {
    "module_exists": module_exists,
    "acl": acl,
    "strepoch": strepoch,
}
