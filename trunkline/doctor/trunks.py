"""Gateways, who may call us, and whether the far end can send its audio to where we say we are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from calls.addresses import is_public
from store.carriers import Endpoint
from store.checkup import Deaf
from trunkline.doctor.finding import Finding, fail, ok, warn

#: An address that no carrier has (RFC 5737): a list that lets it in lets anybody in.
STRANGER = "192.0.2.1"
#: Of a carrier's answered calls: from which part on the ends for want of audio are no accident; and the fewest such ends.
DEAF_SHARE, DEAF_LEAST = 0.02, 3

_STATUS = re.compile(r"<status>\s*(UP|DOWN)\b")
_PROXY = re.compile(r"<proxy>\s*sip:([^;<\s]+)")
_VALUE = r"<{}>\s*([^<]*?)\s*</{}>"


def host(address: str) -> str:
    """The IP address of ``ip:port`` or ``[ip]:port``."""
    return address.rsplit(":", 1)[0].strip("[]")


def judge_gateways(about: str, endpoints: Sequence[Endpoint], said: Mapping[str, str]) -> list[Finding]:
    """``endpoints``: the enabled ones. ``said``: gateway -> the reply to ``sofia xmlstatus gateway``."""
    if not endpoints:
        return [fail("carriers", "no carrier has an enabled endpoint: nothing can be dialed", "trunkline create-carrier")]
    found: list[Finding] = []
    up = 0
    for endpoint in endpoints:
        reply = said[endpoint.gateway]
        status, proxy = _STATUS.search(reply), _PROXY.search(reply)
        if status is None:
            what = f"gateway {endpoint.gateway} is not configured: each dial over it fails"
            found.append(fail(about, what, "give the switch that gateway, then: sofia profile carriers rescan"))
        elif proxy is not None and proxy[1] != endpoint.address:
            what = f"gateway {endpoint.gateway} leads to {proxy[1]}, the endpoint is {endpoint.address}"
            found.append(fail(about, what, "the endpoint's address counts: mend the gateway, or the endpoint"))
        elif status[1] == "DOWN":
            what = f"gateway {endpoint.gateway} ({endpoint.address}) is DOWN: no answer to OPTIONS"
            found.append(warn(about, what, "is the address right, does their firewall know ours? sngrep port 5060"))
        else:
            up += 1
    if not up:
        found.append(fail(about, "no gateway is UP: nothing can be dialed here", "mend one of the above"))
    return found or [ok(about, f"{up} gateways UP")]


def judge_acl(about: str, allowed: Mapping[str, bool], *, stranger: bool) -> list[Finding]:
    """``allowed``: an endpoint's IP address -> whether list ``carriers`` has it. ``stranger``: whether it has anybody."""
    if stranger:
        remedy = 'default="deny" in autoload_configs/acl.conf.xml, and networks as narrow as the carrier states them'
        return [fail(about, f"ACL carriers lets in {STRANGER}, and so whoever calls", remedy)]
    missing = sorted(address for address, inside in allowed.items() if not inside)
    if missing:
        what = f"ACL carriers does not have {', '.join(missing)}: calls from there get 403"
        return [
            warn(
                about,
                what,
                "a node for it in acl/ beside the gateways, then: reloadacl (unless that carrier never calls us)",
            )
        ]
    return [ok(about, f"ACL carriers lets in {len(allowed)} carrier addresses, and no stranger")]


def judge_profile(about: str, said: str, endpoints: Iterable[str]) -> list[Finding]:
    """``said``: the reply to ``sofia xmlstatus profile carriers``. ``endpoints``: IP addresses of the carriers."""
    values = {name: _value(name, said) for name in ("context", "sip-ip", "ext-sip-ip", "rtp-ip", "ext-rtp-ip")}
    if not values["sip-ip"]:
        remedy = "sip_profiles/carriers.xml, FREESWITCH_SIP_IP; the log says why it did not start"
        return [fail(about, "SIP profile carriers does not run", remedy)]
    found: list[Finding] = []
    if values["context"] != "inbound":
        what = f"calls from carriers go to context {values['context']!r}"
        found.append(fail(about, what, "context inbound in sip_profiles/carriers.xml"))
    outside = any(is_public(address) for address in endpoints)
    for kind, what, variable in (
        ("sip", "their BYE does not reach us, and calls never end", "FREESWITCH_EXT_SIP_IP"),
        ("rtp", "audio goes one way only", "FREESWITCH_EXT_RTP_IP"),
    ):
        shown = values[f"ext-{kind}-ip"] or values[f"{kind}-ip"]
        if outside and not _reachable(shown):
            what = f"we tell carriers in the Internet to send {kind.upper()} to {shown}: {what}"
            found.append(fail(about, what, f"{variable}: the public address, as a literal"))
    return found or [
        ok(about, f"SIP at {values['ext-sip-ip'] or values['sip-ip']}, RTP at {values['ext-rtp-ip'] or values['rtp-ip']}")
    ]


def judge_audio(rows: Iterable[Deaf]) -> list[Finding]:
    """Ends for want of audio, per carrier, of the last day."""
    return [
        warn(
            f"carrier {row.name}",
            f"{row.deaf} of {row.answered} answered calls of the last day ended because no audio came in",
            "one-way audio: FREESWITCH_EXT_RTP_IP, and the firewall for UDP FREESWITCH_RTP_FIRST_PORT to _LAST_PORT",
        )
        for row in rows
        if row.deaf >= DEAF_LEAST and row.deaf >= DEAF_SHARE * row.answered
    ]


def _value(name: str, said: str) -> str:
    found = re.search(_VALUE.format(name, name), said)
    return found[1] if found else ""


def _reachable(address: str) -> bool:
    try:
        return is_public(address)
    except ValueError:
        return True  # a name; the switch looked it up
