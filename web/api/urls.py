"""Addresses a customer gives us, as far as they can be judged without asking the network.

Whoever connects judges again: then the name is resolved and the address it leads to is checked.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from calls.addresses import WEBHOOK_PORTS, is_number_in_disguise, is_public
from web.api.fields import Text, fault, require_clean
from web.runtime import bounds

URL_MAX = 2048
#: What webhooks are delivered to: the setting webhook_allow_private adds the second.
WEBHOOK_SCHEMES = ("https", "http")
_VISIBLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"(?=.{1,253}\Z)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)+\Z")


class Url(Text):
    """An absolute URL of one of ``schemes``.

    The first is always allowed; the others, and private addresses, only where the setting named ``private`` is on.
    """

    def __init__(self, schemes: tuple[str, ...], private: str, **more: Any):
        super().__init__(maximum=URL_MAX, metadata={"format": "uri", **more.pop("metadata", {})}, **more)
        self._schemes, self._private = schemes, private
        self.expected = f"a {schemes[0]}:// URL"

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        text = super()._deserialize(value)
        check_url(text, self._schemes, private=bool(getattr(bounds(), self._private)))
        return text


def check_url(text: str, schemes: tuple[str, ...], *, private: bool) -> None:
    """Raise ``ValidationError`` (its message a ``Fault``) unless ``text`` is an absolute URL that we may connect to.

    Of ``schemes`` the first; with ``private`` all of them, and private addresses too. Webhooks have ports of their own.
    """
    expected = f"a {schemes[0]}:// URL"
    require_clean(text)
    if not 1 <= len(text) <= URL_MAX:
        raise fault("bad_length", f"must have 1 to {URL_MAX} characters, not {len(text)}")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise fault("bad_format", f"must be {expected}") from None
    if _VISIBLE.fullmatch(text) is None or "\\" in text or not host or parts.fragment:
        raise fault("bad_format", f"must be {expected} of visible ASCII characters, with a host and no fragment")
    if parts.scheme not in (schemes if private else schemes[:1]):
        raise fault("bad_scheme", f"must be {expected}")
    if parts.username is not None or parts.password is not None:
        raise fault("user_info", "must not hold a user name or password")
    if port == 0:
        raise fault("bad_format", "port 0 leads nowhere")
    if not private and schemes == WEBHOOK_SCHEMES and port not in (None, *WEBHOOK_PORTS):
        raise fault("bad_port", f"must lead to port {' or '.join(map(str, sorted(WEBHOOK_PORTS)))}")
    _require_public(host, private)


def _require_public(host: str, private: bool) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if _HOST.fullmatch(host) is None or is_number_in_disguise(host):
            raise fault("bad_format", "the host is no valid name") from None
        if not private and (host.rstrip(".").lower() == "localhost" or host.rstrip(".").lower().endswith(".localhost")):
            raise fault("private_address", "must lead to a public address") from None
        return
    if not private and not is_public(address):
        raise fault("private_address", "must lead to a public address")
