"""JSON Web Signatures in compact form by HMAC-SHA256 (RFC 7515, HS256): how both kinds of our tokens are written. Pure.

The algorithm is never the sender's to choose: a text with another header is none of ours.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

ALGORITHM = "HS256"
_HEADER = b'{"alg":"HS256","typ":"JWT"}'


def has_our_header(text: str) -> bool:
    """Whether its header is the very one that :func:`write` gives."""
    return text.partition(".")[0] == base64url(_HEADER)


def write(claims: Mapping[str, Any], key: bytes) -> str:
    """The claims as a signed text of three parts."""
    signed = f"{base64url(_HEADER)}.{base64url(json.dumps(claims, separators=(',', ':')).encode())}"
    return f"{signed}.{_signature(signed, key)}"


def is_signed(text: str, key: bytes) -> bool:
    """Whether ``text`` was signed with ``key``; whatever it holds."""
    signed, _, signature = text.rpartition(".")
    return text.isascii() and hmac.compare_digest(_signature(signed, key), signature)


def read(text: str) -> tuple[object, Any]:
    """(algorithm that it names, what it claims); nothing is proven by it. Raises ``ValueError`` or ``TypeError`` when it is
    no such text. The reader refuses whatever is not :data:`ALGORITHM`.
    """
    header, claims, _ = text.split(".")
    head = json.loads(_bytes(header))
    if not isinstance(head, dict):
        raise TypeError("the header is no object")
    return head.get("alg"), json.loads(_bytes(claims))


def _signature(signed: str, key: bytes) -> str:
    return base64url(hmac.digest(key, signed.encode(), hashlib.sha256))


def base64url(data: bytes) -> str:
    """Bytes as such texts hold them: without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
