"""SIP messages as text: parsing and building (RFC 3261 section 7)."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field

_COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
    "c": "content-type",
    "k": "supported",
    "x": "session-expires",
}
_URI_USER = re.compile(r"sips?:([^@;>]*)@")
_URI = re.compile(r"<([^>]*)>")
_BRANCH = re.compile(r";branch=([^;,\s]+)")
_TAG = re.compile(r";tag=([^;,\s]+)")


class SipError(ValueError):
    """The datagram is not a SIP message."""


@dataclass(slots=True)
class SipMessage:
    """One request (`method` set) or response (`status` set). Header names are kept in lower case."""

    method: str = ""
    uri: str = ""
    status: int = 0
    reason: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""

    def get(self, name: str, default: str = "") -> str:
        """The first header of that (lower-case) name."""
        for key, value in self.headers:
            if key == name:
                return value
        return default

    def all(self, name: str) -> list[str]:
        """Every header of that name, in order."""
        return [value for key, value in self.headers if key == name]

    @property
    def call_id(self) -> str:
        return self.get("call-id")

    @property
    def branch(self) -> str:
        found = _BRANCH.search(self.get("via"))
        return found.group(1) if found else ""

    @property
    def cseq(self) -> tuple[int, str]:
        number, _, method = self.get("cseq").partition(" ")
        return (int(number) if number.isdigit() else 0), method.strip()


def parse(data: bytes) -> SipMessage:
    """Parse one datagram. Raises SipError for what is not SIP (keep-alives included)."""
    text = data.decode("utf-8", "replace")
    head, _, body = text.partition("\r\n\r\n")
    first, _, rest = head.partition("\r\n")
    parts = first.split(" ", 2)
    if len(parts) < 3:
        raise SipError(f"no SIP start line: {first[:60]!r}")
    message = SipMessage(body=body)
    if parts[0] == "SIP/2.0":
        message.status, message.reason = int(parts[1]), parts[2]
    elif parts[2] == "SIP/2.0":
        message.method, message.uri = parts[0], parts[1]
    else:
        raise SipError(f"no SIP start line: {first[:60]!r}")
    if "\r\n " in rest or "\r\n\t" in rest:
        rest = re.sub(r"\r\n[ \t]+", " ", rest)
    for line in rest.split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            key = name.strip().lower()
            message.headers.append((_COMPACT.get(key, key), value.strip()))
    return message


def build(start: str, headers: list[tuple[str, str]], body: str = "", content_type: str = "application/sdp") -> bytes:
    """Serialise; Content-Type and Content-Length are added here."""
    lines = [start]
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append(f"Content-Type: {content_type}")
    lines.append(f"Content-Length: {len(body.encode())}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def respond(
    request: SipMessage,
    status: int,
    reason: str,
    *,
    to_tag: str = "",
    contact: str = "",
    body: str = "",
    extra: list[tuple[str, str]] | None = None,
) -> bytes:
    """A response that copies Via, From, To, Call-ID and CSeq as RFC 3261 8.2.6 asks."""
    to = request.get("to")
    if to_tag and ";tag=" not in to:
        to = f"{to};tag={to_tag}"
    headers = [("Via", via) for via in request.all("via")]
    headers += [("Record-Route", route) for route in request.all("record-route")]
    headers += [("From", request.get("from")), ("To", to), ("Call-ID", request.call_id), ("CSeq", request.get("cseq"))]
    if contact:
        headers.append(("Contact", contact))
    headers += extra or []
    return build(f"SIP/2.0 {status} {reason}", headers, body)


def user_of(header_or_uri: str) -> str:
    """`<sip:+1415@host>` -> `+1415`; empty when there is no user part."""
    found = _URI_USER.search(header_or_uri)
    return found.group(1) if found else ""


def uri_of(header: str) -> str:
    """The URI between angle brackets, else the bare header without parameters."""
    found = _URI.search(header)
    return found.group(1) if found else header.split(";", 1)[0].strip()


def tag_of(header: str) -> str:
    found = _TAG.search(header)
    return found.group(1) if found else ""


def new_branch() -> str:
    return "z9hG4bK" + secrets.token_hex(7)


def new_tag() -> str:
    return secrets.token_hex(6)
