"""Addresses of our own that prove themselves: who has one may fetch that one recording until it expires. Pure.

The signature is HMAC-SHA256 over what is fetched and until when. Nothing else of the address counts.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

_DOMAIN = b"trunkline recording v1\n"


def sign(secret: str, reference: str, expires: int) -> str:
    """The signature of ``reference`` until ``expires`` (s since 1970), in hex."""
    return hmac.new(secret.encode(), _DOMAIN + f"{reference}\n{expires}".encode(), hashlib.sha256).hexdigest()


def is_good(secret: str, reference: str, expires: str, signature: str, now: datetime) -> bool:
    """Whether the signature is right and its time not over. Without a secret nothing is."""
    if not secret or not (expires.isascii() and expires.isdecimal() and len(expires) <= 11) or not signature.isascii():
        return False
    right = hmac.compare_digest(sign(secret, reference, int(expires)), signature)
    return right and now.timestamp() < int(expires)
