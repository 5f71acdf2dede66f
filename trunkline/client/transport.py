"""One request of the API, sent until it is answered: over kept connections, with one deadline over all tries.

What may be sent again: whatever changes nothing, whatever bears an Idempotency-Key, and whatever was provably not carried
out (429, 503 ``database_unavailable``, no connection). Anything else is sent once.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError
from urllib3.response import BaseHTTPResponse

from trunkline.client.errors import ApiError, DeadlineExceeded, Unreachable, api_error

KEY_HEADER = "Idempotency-Key"
#: s; to connect, and at most between two pieces of one answer.
CONNECT_S, READ_S = 3.0, 15.0
#: s; the pauses between tries: at random up to the first, twice it, ... never above the last.
PAUSE_FIRST_S, PAUSE_MOST_S = 0.2, 5.0
#: bytes; no answer of the API is longer.
ANSWER_MAX = 32 * 1024 * 1024
_READS = frozenset({"GET", "HEAD", "DELETE"})
_PASSING = frozenset({502, 503, 504})
_LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered: 2xx. ``headers``: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def replayed(self) -> bool:
        """Whether this is the first answer to the key again."""
        return self.headers.get("idempotent-replayed") == "true"


class Transport:
    """Thread-safe; keeps up to ``connections`` connections open."""

    def __init__(
        self,
        base: str,
        key: str,
        *,
        timeout_s: float,
        connections: int = 10,
        insecure: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
            raise ValueError("base must be http(s)://host[:port][/path], without user, query and fragment")
        if parts.scheme == "http" and parts.hostname not in _LOCAL and not insecure:
            raise ValueError("an API key over plain http can be read on the way: use https://, or say insecure=True")
        self._base = base.rstrip("/")
        self._key = key
        self._timeout_s = timeout_s
        self._sleep, self._clock = sleep, clock
        self._pool = urllib3.PoolManager(maxsize=connections, retries=False)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
        repeat: bool = False,
    ) -> Answer:
        """The answer, 2xx. ``repeat``: it does the same however often it is carried out.

        Raises :class:`ApiError`, :class:`DeadlineExceeded`, :class:`Unreachable`.
        """
        until = self._clock() + (self._timeout_s if timeout_s is None else timeout_s)
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json", "User-Agent": "trunkline-client/1"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            # Made once: a repetition has to be the same to the byte.
            data = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        if idempotency_key is not None:
            headers[KEY_HEADER] = idempotency_key
        url = self._base + path + (f"?{urlencode(query)}" if query else "")
        again = repeat or method in _READS or idempotency_key is not None
        last: ApiError | None = None
        why: object = "the answer did not arrive"
        tries = 0
        while True:
            left_s = until - self._clock()
            if left_s <= 0:
                text = f"no answer to {method} {path} in time: {why}"
                raise DeadlineExceeded(text, idempotency_key=idempotency_key, last=last)
            pause_s = random.uniform(0, min(PAUSE_MOST_S, PAUSE_FIRST_S * 2.0**tries))
            tries += 1
            try:
                answer = self._once(method, url, data, headers, until)
            except TimeoutError:
                continue
            except HTTPError as error:
                if isinstance(error, SSLError):
                    raise Unreachable(f"{method} {path}: {error}") from error
                if not again and not isinstance(error, (NewConnectionError, ConnectTimeoutError)):
                    raise Unreachable(f"{method} {path} may have been carried out: {error}") from error
                nobody = isinstance(error, NewConnectionError)
                why = f"nobody answers at {self._base}: is the API up there? {error}" if nobody else error
            else:
                if isinstance(answer, Answer):
                    return answer
                last = why = answer
                if not _may_repeat(answer, again=again):
                    raise answer
                pause_s = max(pause_s, answer.retry_after_s or 0.0)
                if self._clock() + pause_s >= until:
                    raise answer
            self._sleep(min(pause_s, max(0.0, until - self._clock())))

    def _once(
        self, method: str, url: str, data: bytes | None, headers: Mapping[str, str], until: float
    ) -> Answer | ApiError:
        left_s = max(0.001, until - self._clock())
        response = self._pool.request(
            method,
            url,
            body=data,
            headers=dict(headers),
            timeout=urllib3.Timeout(connect=min(CONNECT_S, left_s), read=min(READ_S, left_s)),
            preload_content=False,
            redirect=False,
        )
        try:
            raw = self._read(response, until)
        except BaseException:
            response.close()
            raise
        response.release_conn()
        got = {name.lower(): value for name, value in response.headers.items()}
        said = _json(raw, got)
        if 200 <= response.status < 300:
            return Answer(response.status, got, said)
        return api_error(response.status, said if isinstance(said, dict) else {}, got)

    def _read(self, response: BaseHTTPResponse, until: float) -> bytes:
        """The whole body; a server that only drips does not outlive the deadline."""
        pieces, size = [], 0
        # read1 gives what has arrived; read would wait for a whole piece, as long as single bytes come.
        while piece := response.read1(65_536):
            size += len(piece)
            if size > ANSWER_MAX:
                raise Unreachable(f"the answer has more than {ANSWER_MAX} bytes")
            if self._clock() > until:
                raise TimeoutError
            pieces.append(piece)
        return b"".join(pieces)


def _may_repeat(error: ApiError, *, again: bool) -> bool:
    if error.status == 429 or error.code == "database_unavailable":
        return True  # nothing was done
    if not again:
        return False
    return error.status in _PASSING or error.code == "idempotency_in_flight"


def _json(raw: bytes, headers: Mapping[str, str]) -> Any:
    """None for an answer that is no JSON, as a proxy's own may be."""
    if "json" not in headers.get("content-type", ""):
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return None
