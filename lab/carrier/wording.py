"""How an INVITE was worded: what a carrier reads of it, for the raw arrival log."""

from __future__ import annotations

import re

from lab.sip import message as sip

_HEADERS = {
    "from": "from",
    "pai": "p-asserted-identity",
    "ppi": "p-preferred-identity",
    "rpid": "remote-party-id",
    "privacy": "privacy",
    "attempt": "x-trunkline-attempt",
}
_TAG = re.compile(r";tag=[^;>\s]+")
_MAPPED = re.compile(r"^a=rtpmap:(\d+) ([A-Za-z0-9-]+)/", re.MULTILINE)
_STATIC = {"0": "PCMU", "8": "PCMA", "9": "G722"}


def wording(invite: sip.SipMessage) -> dict[str, object]:
    """Request URI, transport, the headers that say who calls (those that are there), and the audio codecs as offered."""
    facts: dict[str, object] = {"uri": invite.uri, "transport": _transport(invite)}
    for name, header in _HEADERS.items():
        if text := invite.get(header):
            facts[name] = _TAG.sub("", text)
    facts["codecs"] = _codecs(invite.body)
    return facts


def _codecs(sdp: str) -> list[str]:
    audio = next((line for line in sdp.splitlines() if line.startswith("m=audio ")), "")
    mapped = {**_STATIC, **dict(_MAPPED.findall(sdp))}
    names = [mapped.get(payload, payload) for payload in audio.split()[3:]]
    return [name for name in names if name.lower() not in ("telephone-event", "cn", "13")]


def _transport(invite: sip.SipMessage) -> str:
    """udp, tcp or tls, by who sent it."""
    return invite.get("via").split(" ", 1)[0].rpartition("/")[2].lower()
