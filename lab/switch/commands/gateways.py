"""sofia and reloadacl: the profile's gateways and who may call it (mod_sofia, mod_commands)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from lab.switch.commands.setup import profile_xml

if TYPE_CHECKING:
    from lab.switch.core import Switch
    from lab.switch.sofia import Gateway

_RULE = "=" * 97 + "\n"


def sofia(switch: Switch, arguments: str) -> str:
    words = arguments.split()
    verb = words[0].lower() if words else ""
    if verb == "status":
        if len(words) >= 3 and words[1] == "gateway":
            gateway = switch.sofia.gateways.get(words[2])
            return "Invalid Gateway!\n" if gateway is None else _gateway_text(gateway)
        return _status(switch)
    if verb == "xmlstatus":
        if len(words) >= 3 and words[1] == "gateway":
            gateway = switch.sofia.gateways.get(words[2])
            return (
                "Invalid Gateway!\n"
                if gateway is None
                else ('<?xml version="1.0" encoding="ISO-8859-1"?>\n' + _gateway_xml(gateway))
            )
        if len(words) == 2 and words[1] == "gateway":
            body = "".join(_gateway_xml(g) for g in switch.sofia.gateways.values())
            return f'<?xml version="1.0" encoding="ISO-8859-1"?>\n<gateways>\n{body}</gateways>\n'
        if len(words) >= 3 and words[1] == "profile":
            return profile_xml(switch) if words[2] == switch.sofia.name else "Invalid Profile!\n"
        return _xmlstatus(switch)
    if verb == "profile" and len(words) >= 3:
        return _profile(switch, words)
    return "-USAGE: sofia status|xmlstatus [gateway <name>] | profile <name> rescan|killgw\n"


def _profile(switch: Switch, words: list[str]) -> str:
    if words[1] != switch.sofia.name:
        return f"Invalid Profile [{words[1]}]"
    if words[2] == "rescan":
        switch.sofia.rescan()
        prefix = "Reload XML [Success]\n" if "reloadxml" in words else ""
        return f"{prefix}+OK scan complete\n"
    if words[2] == "killgw" and len(words) > 3:
        return "+OK gateway marked for deletion.\n" if switch.sofia.kill_gateway(words[3]) else ("-ERR no such gateway.\n")
    return "-ERR Unknown command!\n"


def _status(switch: Switch) -> str:
    profile = switch.sofia
    lines = [f"{'Name':>25}\t   Type\t{'Data':>42}\tState\n", _RULE]
    url = f"sip:mod_sofia@{profile.host}:{profile.port}"
    lines.append(f"{profile.name:>25}\tprofile\t{url:>42}\tRUNNING ({len(switch.channels)})\n")
    for gateway in profile.gateways.values():
        name = f"{profile.name}::{gateway.config.name}"
        lines.append(f"{name:>25}\tgateway\t{_to(gateway):>42}\tNOREG\n")
    return "".join([*lines, _RULE, "1 profile 0 aliases\n"])


def _xmlstatus(switch: Switch) -> str:
    profile = switch.sofia
    out = [
        (
            f'<?xml version="1.0" encoding="ISO-8859-1"?>\n<profiles>\n<profile>\n<name>{profile.name}</name>\n'
            f"<type>profile</type>\n<data>sip:mod_sofia@{profile.host}:{profile.port}</data>\n"
            f"<state>RUNNING ({len(switch.channels)})</state>\n</profile>\n"
        )
    ]
    for gateway in profile.gateways.values():
        out.append(
            f"<gateway>\n<name>{gateway.config.name}</name>\n<type>gateway</type>\n"
            f"<data>{_to(gateway)}</data>\n<state>NOREG</state>\n</gateway>\n\n"
        )
    return "".join([*out, "</profiles>\n"])


def _to(gateway: Gateway) -> str:
    return f"sip:{gateway.config.user}@{gateway.config.host}:{gateway.config.port}"


def _facts(gateway: Gateway) -> list[tuple[str, str, str]]:
    """(xml tag, label of the text form, value)."""
    config = gateway.config
    address = f"{config.host}:{config.port}"
    uptime = int((time.monotonic() - gateway.since) * 1_000_000) if gateway.up else 0
    count = "1" if gateway.up else "0"
    return [
        ("name", "Name    ", config.name),
        ("profile", "Profile ", gateway.profile.name),
        ("scheme", "Scheme  ", "Digest"),
        ("realm", "Realm   ", config.realm or f"{config.host}:{config.port}"),
        ("username", "Username", config.user),
        ("password", "Password", "yes" if config.password else "no"),
        ("from", "From    ", f"<sip:{config.from_user or config.user}@{config.from_domain or address}>"),
        ("contact", "Contact ", gateway.contact),
        ("exten", "Exten   ", config.user),
        ("to", "To      ", _to(gateway)),
        ("proxy", "Proxy   ", f"sip:{address}"),
        ("context", "Context ", "inbound"),
        ("expires", "Expires ", "3600"),
        ("freq", "Freq    ", "3600"),
        ("ping", "Ping    ", str(int(time.time()))),
        ("pingfreq", "PingFreq", f"{config.ping_s:g}"),
        ("pingmin", "", "1"),
        ("pingcount", "", count),
        ("pingmax", "", "1"),
        ("pingtime", "PingTime", f"{gateway.ping_ms:.2f}"),
        ("pinging", "", "0"),
        ("", "PingState", f"1/{count}/1"),
        ("state", "State   ", "NOREG"),
        ("status", "Status  ", "UP" if gateway.up else "DOWN"),
        ("uptime-usec", "", str(uptime)),
        ("", "Uptime  ", f"{uptime // 1_000_000}s"),
        ("calls-in", "CallsIN ", str(gateway.calls_in)),
        ("calls-out", "CallsOUT", str(gateway.calls_out)),
        ("failed-calls-in", "FailedCallsIN", str(gateway.failed_in)),
        ("failed-calls-out", "FailedCallsOUT", str(gateway.failed_out)),
    ]


def _gateway_text(gateway: Gateway) -> str:
    lines = [f"{label}\t{value}\n" for _, label, value in _facts(gateway) if label]
    return "".join([_RULE, *lines, _RULE])


def _gateway_xml(gateway: Gateway) -> str:
    lines = [f"    <{tag}>{escape(value)}</{tag}>\n" for tag, _, value in _facts(gateway) if tag]
    return "".join(["  <gateway>\n", *lines, "  </gateway>\n"])


def reloadacl(switch: Switch, _arguments: str) -> str:
    switch.sofia.reload_acl()
    return "+OK acl reloaded\n"


HANDLERS: dict[str, Callable[[Switch, str], str | Awaitable[str]]] = {"sofia": sofia, "reloadacl": reloadacl}
