"""One spooled record over HTTP to /internal/cdr, and what its answer means for the file."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

import urllib3

from settings import Settings

#: Answers that are about the record itself: no later try can end otherwise.
REFUSED = frozenset({400, 413, 415, 422})
#: Answers that are about who takes records, or from where: the others would be answered the same just now. A wrong password
#: or address is somebody's to put right, and no fault of the records'.
AWAY = frozenset({401, 403, 404, 405, 429, 502, 503, 504})
#: bytes of an answer that are read.
MAX_ANSWER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Fate:
    """``taken``: remove the file. ``refused``: put it aside. ``later``: try this one again. ``away``: try all again."""

    kind: Literal["taken", "refused", "later", "away"]
    why: str = ""

    @classmethod
    def refused(cls, why: str) -> Fate:
        return cls("refused", why)


def fate_of(status: int, body: bytes = b"") -> Fate:
    """What an answer means. A redirect is followed nowhere: the record has a password with it."""
    if 200 <= status < 300:
        return Fate("taken")
    why = f"answered {status}{_detail(body)}"
    if status in REFUSED:
        return Fate.refused(why)
    return Fate("away" if status in AWAY else "later", why)


def encoding_of(data: bytes) -> tuple[str, bytes]:
    """Content type and body for a file as mod_json_cdr leaves it: JSON, or what its ``encode`` made of it."""
    data = data.strip()
    if data[:3].upper() == b"%7B":
        return "application/x-www-form-urlencoded", b"cdr=" + data
    if data[:1].isalnum():
        return "application/x-www-form-base64-encoded", b"cdr=" + data
    return "application/json", data


class Poster:
    """Keeps its connection. Proxies in the environment are ignored: the receiver is beside us, or named."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.cdr_url
        self._headers = urllib3.make_headers(basic_auth=f"{settings.cdr_user}:{settings.cdr_password}")
        self._pool = urllib3.PoolManager(
            maxsize=1,
            retries=False,
            timeout=urllib3.Timeout(total=settings.cdr_timeout_s),
            ssl_context=ssl.create_default_context(),
        )

    def post(self, uuid: str, kind: str, body: bytes) -> Fate:
        """Raises nothing for what the receiver or the network does."""
        url = f"{self._url}?uuid={quote(uuid, safe='')}"
        headers = {**self._headers, "Content-Type": kind}
        try:
            answer = self._pool.request("POST", url, body=body, headers=headers, redirect=False, preload_content=False)
            said = b""
            try:
                said = answer.read(MAX_ANSWER_BYTES + 1, decode_content=False)
            finally:
                # A connection is kept only if nothing more can come out of it.
                answer.release_conn() if 0 < len(said) <= MAX_ANSWER_BYTES else answer.close()
            return fate_of(answer.status, said)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Fate("away", f"{self._url}: {type(error).__name__}")


def _detail(body: bytes) -> str:
    """The sentence of our own problem answers, which names the field."""
    try:
        said = json.loads(body)
        return f": {said['detail'][:200]}"
    except (ValueError, KeyError, TypeError):
        return ""
