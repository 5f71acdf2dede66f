"""What a switch says of its gateways, and how that differs from what they should be. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from store.gateways import Version

_GATEWAY = re.compile(r"<gateway>(.*?)</gateway>", re.DOTALL)
_FIELD = re.compile(r"<([a-z-]+)>([^<]*)</\1>")
#: Of the switch's own address there, which is a literal one of its profile's family.
_CONTACT = re.compile(r"@(\[[0-9A-Fa-f:.]+\]|[0-9.]+)(?=[:;>])")
_TRANSPORT = re.compile(r";transport=([a-z]+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. ``what``: missing, differs, family, unknown, acl or failed; ``detail``: with the remedy, if that is
    not apply.
    """

    gateway: str
    what: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        return {"gateway": self.gateway, "what": self.what, "detail": self.detail}


def read_gateways(reply: str) -> dict[str, dict[str, str]]:
    """``sofia xmlstatus gateway``: name -> its fields as text. Errors: ``ValueError`` when it is no such list."""
    if "<gateways>" not in reply:
        raise ValueError(f"sofia xmlstatus gateway answers a list of gateways, not {reply[:80]!r}")
    found = {}
    for block in _GATEWAY.findall(reply):
        fields = {name: html.unescape(text.strip()) for name, text in _FIELD.findall(block)}
        if name := fields.get("name"):
            found[name] = fields
    return found


def expected(version: Version) -> dict[str, str]:
    """The fields of that list which follow from the gateway's parameters, as the switch words them."""
    params = version.params
    sender = params.get("from-user", params["username"])
    fields = {
        "proxy": f"sip:{params['proxy']}",
        "username": params["username"],
        "from": f"<sip:{sender}@{params.get('from-domain', params['proxy'])}>",
        "pingfreq": params.get("ping", "0"),
        "transport": params["register-transport"],
    }
    if "realm" in params:
        fields["realm"] = params["realm"]
    if version.secret_env is not None:
        fields["password"] = "yes"  # noqa: S105
    return fields


def differences(version: Version, seen: Mapping[str, str]) -> str:
    """What the loaded gateway has else than it should; empty: nothing that can be seen."""
    transport = _TRANSPORT.search(seen.get("contact", ""))
    has = {**seen, "transport": transport[1] if transport else ""}
    unlike = [
        f"{name} is {has.get(name, '')!r} and should be {value!r}"
        for name, value in expected(version).items()
        if has.get(name, "") != value
    ]
    return ", ".join(unlike)


def other_family(version: Version, seen: Mapping[str, str]) -> str:
    """Why the switch sends nothing to where the loaded gateway leads, however often it is loaded; empty: it can."""
    if (ours := _CONTACT.search(seen.get("contact", ""))) is None:
        return ""
    spoken, wanted = (_family(host) for host in (ours[1], version.params["proxy"]))
    if spoken == wanted:
        return ""
    return (
        f"the endpoint's address is {wanted}, and the switch's profile speaks {spoken} alone: nothing would be sent;"
        f" give the endpoint an address of {spoken}, or dial it from a switch whose FREESWITCH_SIP_IP is of {wanted}"
    )


def _family(host: str) -> str:
    return "IPv6" if host.startswith("[") else "IPv4"


def compare(wanted: Sequence[Version], seen: Mapping[str, Mapping[str, str]], by_hand: Iterable[str]) -> list[Finding]:
    """Missing, different, unreachable and unknown gateways, by name. ``by_hand``: known ones that are not ours to render."""
    findings = []
    known = {version.gateway for version in wanted} | set(by_hand)
    for version in wanted:
        if version.gateway not in seen:
            # What is retired and gone is as it should be.
            if version.retired_at is None:
                findings.append(Finding(version.gateway, "missing", "the switch has no such gateway"))
        elif different := differences(version, seen[version.gateway]):
            findings.append(Finding(version.gateway, "differs", different))
        elif unspoken := other_family(version, seen[version.gateway]):
            findings.append(Finding(version.gateway, "family", unspoken))
    for name in sorted(set(seen) - known):
        remedy = f"sofia profile carriers killgw {name}, and remove its file"
        findings.append(Finding(name, "unknown", f"nothing here knows it; if nobody needs it: {remedy}"))
    return findings
