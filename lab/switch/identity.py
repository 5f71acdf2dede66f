"""Who calls, as mod_sofia words it: From, P-Asserted-Identity or its like, Privacy (sofia_glue_do_invite)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.switch.config import GatewayConfig
from lab.switch.sendmsg import is_true


@dataclass(frozen=True, slots=True)
class Identity:
    """``sender``: From without its tag; ``uri``: the address in it, without ``sip:``."""

    sender: str
    uri: str
    headers: list[tuple[str, str]] = field(default_factory=list)


def identity_of(given: Mapping[str, str], gateway: GatewayConfig, host: str, name: str, number: str) -> Identity:
    """By the channel's variables, then the gateway's parameters, then the profile (caller-id-type pid)."""
    domain = given.get("sip_invite_domain") or gateway.from_domain
    registered = f"{gateway.from_user or gateway.user}@{gateway.from_domain or f'{gateway.host}:{gateway.port}'}"
    if from_uri := given.get("sip_from_uri"):
        uri = from_uri.removeprefix("sip:")
    elif not gateway.caller_id_in_from:
        uri = registered
    else:
        uri = f"{number}@{domain or host}"
    display = given.get("sip_from_display") or name
    sender = f'"{display}" <sip:{uri}>' if display else f"<sip:{uri}>"
    where = domain or (uri if gateway.caller_id_in_from else registered).rpartition("@")[2]
    who = f'"{name}" <sip:{number}@{where}>' if name else f"<sip:{number}@{where}>"
    return Identity(sender, uri, _headers(given, who))


def _headers(given: Mapping[str, str], who: str) -> list[tuple[str, str]]:
    kind = given.get("sip_cid_type", "pid")
    privacy = given.get("origination_privacy", "screen")
    screen, hidden = "screen" in privacy, "hide_number" in privacy
    if kind == "pid":
        headers = [("P-Asserted-Identity" if screen else "P-Preferred-Identity", who)]
        if hidden:
            headers.append(("Privacy", "id"))
        elif not is_true(given.get("sip_cid_suppress_privacy_none", "")):
            headers.append(("Privacy", "none"))
        return headers
    if kind == "rpid":
        level = "full" if hidden else "name" if "hide_name" in privacy else "off"
        return [("Remote-Party-ID", f"{who};party=calling;screen={'yes' if screen else 'no'};privacy={level}")]
    return []
