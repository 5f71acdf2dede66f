"""A number as a carrier wants it written, and where in the INVITE the caller id goes. Pure; numbers come in as E.164."""

from __future__ import annotations

from calls.trunk import Trunk

#: RFC 3323, 4.1.1.3: who calls, for those who may not know.
ANONYMOUS_URI = "sip:anonymous@anonymous.invalid"
ANONYMOUS_NAME = "Anonymous"


def dialed(e164: str, trunk: Trunk) -> str:
    """The user part of the request URI: technical prefix, then the number in the carrier's format."""
    return trunk.tech_prefix + _written(e164, trunk.number_format, trunk)


def shown(e164: str, trunk: Trunk) -> str:
    """The caller id in the carrier's format."""
    return _written(e164, trunk.caller_format, trunk)


def _written(e164: str, form: str, trunk: Trunk) -> str:
    digits = e164.removeprefix("+")
    if form == "plus":
        return "+" + digits
    if form == "digits":
        return digits
    if form == "national" and trunk.country_code and digits.startswith(trunk.country_code):
        return trunk.national_prefix + digits[len(trunk.country_code) :]
    if form in ("national", "double_zero"):
        return trunk.international_prefix + digits
    raise ValueError(f"{form!r} is no format of numbers")


def identity(trunk: Trunk) -> dict[str, str]:
    """The channel variables by which the switch writes the caller id where this carrier wants it.

    Whether From carries it is the gateway's own parameter (caller-id-in-from); a withheld caller is in no From.
    """
    hidden = trunk.privacy == "id"
    # Without "screen" the switch writes P-Preferred-Identity instead of P-Asserted-Identity, and screen=no.
    marks = ["screen"] if trunk.caller_header in ("pai", "rpid") else ["no"]
    variables = {
        "sip_cid_type": {"pai": "pid", "ppi": "pid", "rpid": "rpid", "none": "none"}[trunk.caller_header],
        "origination_privacy": ":".join([*marks, "hide_name", "hide_number"] if hidden else marks),
    }
    if trunk.privacy == "off":
        variables["sip_cid_suppress_privacy_none"] = "true"
    if hidden:
        variables |= {"sip_from_uri": ANONYMOUS_URI, "sip_from_display": ANONYMOUS_NAME}
    return variables


def headers(e164: str, trunk: Trunk, address: str) -> list[str]:
    """From, the identity header and Privacy as the carrier will read them; ``<our address>`` is the switch's own."""
    caller, host = shown(e164, trunk), address
    domain = trunk.from_domain or host
    if trunk.privacy == "id":
        lines = [f'From: "{ANONYMOUS_NAME}" <{ANONYMOUS_URI}>']
    elif trunk.caller_in_from:
        lines = [f'From: "{caller}" <sip:{caller}@{trunk.from_domain or "<our address>"}>']
        domain = trunk.from_domain or "<our address>"
    else:
        lines = [f'From: "{caller}" <sip:{trunk.from_user or trunk.username or "trunkline"}@{domain}>']
    if trunk.caller_header in ("pai", "ppi"):
        name = "P-Asserted-Identity" if trunk.caller_header == "pai" else "P-Preferred-Identity"
        lines.append(f'{name}: "{caller}" <sip:{caller}@{domain}>')
        if trunk.privacy != "off":
            lines.append(f"Privacy: {trunk.privacy}")
    elif trunk.caller_header == "rpid":
        screen, privacy = "yes", "full" if trunk.privacy == "id" else "off"
        lines.append(f'Remote-Party-ID: "{caller}" <sip:{caller}@{domain}>;party=calling;screen={screen};privacy={privacy}')
    return lines
