"""HTTP digest as SIP uses it (RFC 3261 section 22, MD5, qop absent or auth)."""

from __future__ import annotations

import hashlib
import re

_PARAM = re.compile(r'(\w+)=(?:"([^"]*)"|([^,\s]+))')


def parse_params(header: str) -> dict[str, str]:
    """`Digest realm="x", nonce="y"` -> {"realm": "x", "nonce": "y"}."""
    _, _, rest = header.partition(" ")
    return {name.lower(): quoted or bare for name, quoted, bare in _PARAM.findall(rest)}


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def response_of(params: dict[str, str], method: str, uri: str, user: str, password: str) -> str:
    """The `response` value for these challenge or authorization parameters."""
    ha1 = _md5(f"{user}:{params.get('realm', '')}:{password}")
    ha2 = _md5(f"{method}:{uri}")
    if params.get("qop") == "auth":
        middle = f"{params['nonce']}:{params.get('nc', '00000001')}:{params.get('cnonce', '')}:auth"
        return _md5(f"{ha1}:{middle}:{ha2}")
    return _md5(f"{ha1}:{params.get('nonce', '')}:{ha2}")


def authorization(challenge: str, method: str, uri: str, user: str, password: str) -> str:
    """The Proxy-Authorization value that answers a Proxy-Authenticate challenge."""
    params = parse_params(challenge)
    digest = response_of({k: v for k, v in params.items() if k != "qop"}, method, uri, user, password)
    return (
        f'Digest username="{user}", realm="{params.get("realm", "")}", nonce="{params.get("nonce", "")}", '
        f'uri="{uri}", response="{digest}", algorithm=MD5'
    )
