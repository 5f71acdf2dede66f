"""The directory that the switch's configuration includes: gateways and addresses that may call, as XML on disk.

Read at the start, by ``sofia profile <p> rescan`` and by ``reloadacl``, as FreeSWITCH does: what is new is added, what is
loaded stays as it is, what is wrong is passed over.
"""

from __future__ import annotations

import ipaddress
import logging
from pathlib import Path
from xml.etree import ElementTree

from lab.runner import parse_address
from lab.switch.config import GatewayConfig

log = logging.getLogger(__name__)


def read_gateways(directory: Path) -> list[GatewayConfig]:
    """Every gateway in the files of the directory that this switch can have: SIP over UDP to an IPv4 address."""
    found = []
    for path in sorted(directory.glob("*.xml")):
        try:
            root = ElementTree.fromstring(path.read_text())
        except (OSError, ElementTree.ParseError) as error:
            log.error("%s is passed over: %s", path, error)
            continue
        for element in root.iter("gateway"):
            params = {p.get("name", ""): p.get("value", "") for p in element.iter("param")}
            config = _gateway(element.get("name", ""), params)
            if config is not None:
                found.append(config)
    return found


def _gateway(name: str, params: dict[str, str]) -> GatewayConfig | None:
    transport = params.get("register-transport", "udp")
    if params.get("register", "true") != "false" or transport != "udp":
        log.error("gateway %s is passed over: register %s, transport %s", name, params.get("register"), transport)
        return None
    try:
        host, port = parse_address(params["proxy"])
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        ping = float(params.get("ping", "0"))
    except (KeyError, ValueError) as error:
        log.error("gateway %s is passed over: %s", name, error)
        return None
    return GatewayConfig(
        name,
        host,
        port,
        user=params.get("username", "FreeSWITCH"),
        password=params.get("password", ""),
        ping_s=ping,
        realm=params.get("realm", ""),
        from_user=params.get("from-user", ""),
        from_domain=params.get("from-domain", ""),
        caller_id_in_from=params.get("caller-id-in-from") == "true",
    )


def read_allowed(directory: Path) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The networks of the list of carriers."""
    found = []
    for path in sorted((directory / "acl").glob("*.xml")):
        for node in ElementTree.fromstring(path.read_text()).iter("node"):
            if node.get("type") == "allow":
                found.append(ipaddress.ip_network(node.get("cidr", "")))
    return found
