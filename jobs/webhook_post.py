"""One delivery over HTTP: to a pinned address, within one deadline, following nothing, reading little."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import gevent

from jobs.webhook_address import AddressRefused, Lookup, resolve
from jobs.webhook_http import BadAnswer, Connections, Reply
from jobs.webhook_names import Names

#: bytes of an answer that are kept for the delivery log.
KEPT_BYTES = 1024


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

    def __init__(self, *, timeout_s: float, per_url: int, allow_private: bool, lookup: Lookup | None = None) -> None:
        self._timeout_s = timeout_s
        self._allow_private = allow_private
        self._lookup = lookup or Names().lookup
        self._connections = Connections(timeout_s=timeout_s, kept=per_url, tls=ssl.create_default_context())

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST ``body``; never raises for what the receiver, its name or its network does, and returns by ``timeout_s``."""
        deadline = gevent.Timeout(self._timeout_s)
        try:
            with deadline:
                target = resolve(url, allow_private=self._allow_private, lookup=self._lookup)
                return _answer(self._connections.post(target, headers, body))
        except gevent.Timeout as passed:
            if passed is not deadline:
                raise
            return Answer(None, f"no complete answer within {self._timeout_s:g} s")
        except AddressRefused as error:
            return Answer(None, f"refused: {error}")
        except BadAnswer as error:
            return Answer(None, str(error))
        except (OSError, ValueError) as error:
            # A short word; nothing of the receiver's text.
            return Answer(None, type(error).__name__)

    def close(self) -> None:
        self._connections.close()


def _answer(reply: Reply) -> Answer:
    text = reply.body[:KEPT_BYTES].decode("utf-8", "replace")
    if 200 <= reply.code < 300:
        return Answer(reply.code, None, text)
    return Answer(reply.code, f"answered {reply.code}", text, _seconds(reply.headers.get("retry-after"), time.time()))


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
