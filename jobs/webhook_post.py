"""One delivery over HTTP: to a pinned address, within one deadline, following nothing, reading little."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import gevent
import urllib3

from jobs.webhook_address import AddressRefused, Lookup, Target, resolve, system_lookup

#: bytes of an answer that are read; a longer one costs its connection.
MAX_ANSWER_BYTES = 4096
#: bytes of an answer that are kept for the delivery log.
KEPT_BYTES = 1024
#: s; at most, for the connection alone, so that a dead address is seen before the whole deadline is gone.
CONNECT_S = 3.0
#: Receivers whose connections are kept.
KEPT_RECEIVERS = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one try. ``code`` is the HTTP status, None when there was none; ``error`` says why it failed.

    ``reply``: the beginning of what the receiver said, as text that nobody interprets. ``retry_after_s``: as it asked.
    """

    code: int | None
    error: str | None
    reply: str | None = None
    retry_after_s: float | None = None

    @property
    def delivered(self) -> bool:
        return self.code is not None and 200 <= self.code < 300


class Poster:
    """Keeps connections alive per receiver. Proxies in the environment are ignored: they would undo the pinning."""

    def __init__(self, *, timeout_s: float, per_url: int, allow_private: bool, lookup: Lookup = system_lookup) -> None:
        self._timeout_s = timeout_s
        self._allow_private = allow_private
        self._lookup = lookup
        self._pools = urllib3.PoolManager(
            KEPT_RECEIVERS,
            maxsize=per_url,
            retries=False,
            timeout=urllib3.Timeout(connect=min(CONNECT_S, timeout_s), read=timeout_s),
            ssl_context=ssl.create_default_context(),
        )

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST ``body``; never raises for what the receiver, its name or its network does, and returns by ``timeout_s``."""
        deadline = gevent.Timeout(self._timeout_s)
        try:
            with deadline:
                target = resolve(url, allow_private=self._allow_private, lookup=self._lookup)
                return self._post(target, headers, body)
        except gevent.Timeout as passed:
            if passed is not deadline:
                raise
            return Answer(None, f"no complete answer within {self._timeout_s:g} s")
        except AddressRefused as error:
            return Answer(None, f"refused: {error}")
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return Answer(None, _reason(error))

    def close(self) -> None:
        self._pools.clear()

    def _post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Answer:
        # TLS speaks to the name, TCP to the address that was checked.
        tls = {"server_hostname": target.host} if target.scheme == "https" else {}
        pool = self._pools.connection_from_host(target.address, target.port, target.scheme, pool_kwargs=tls)
        response = pool.urlopen(
            "POST",
            target.path,
            body=body,
            headers={**headers, "host": target.host_header},
            redirect=False,
            retries=False,
            preload_content=False,
        )
        finished = False
        try:
            read = response.read(MAX_ANSWER_BYTES + 1, decode_content=False)
            finished = len(read) <= MAX_ANSWER_BYTES
        finally:
            if finished:
                response.release_conn()
            else:
                response.close()
        code = response.status
        reply = read[:KEPT_BYTES].decode("utf-8", "replace")
        if 200 <= code < 300:
            return Answer(code, None, reply)
        return Answer(code, f"answered {code}", reply, _seconds(response.headers.get("retry-after"), time.time()))


def _seconds(retry_after: str | None, now: float) -> float | None:
    """``Retry-After`` in s from ``now`` (unix), whichever of its two forms it has; None: there is none, or nonsense."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def _reason(error: Exception) -> str:
    """A short word for the operator; nothing of the receiver's text, which is the customer's."""
    seen: BaseException | None = error
    while isinstance(seen, urllib3.exceptions.HTTPError) and (seen.__cause__ or seen.__context__) is not None:
        seen = seen.__cause__ or seen.__context__
    inner = type(seen).__name__ if seen is not None else ""
    outer = type(error).__name__
    return outer if inner in ("", outer) else f"{outer} ({inner})"
