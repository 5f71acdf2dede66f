"""What the reference agent asks of Trunkline and hands in, by its call token (docs/runtime.md). By the standard library
alone.

Only the address that it was started with is asked: whoever connects to it could name any.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

log = logging.getLogger(__name__)

_CALL = re.compile(r"call_[0-9a-f]{32}")
#: s; for one answer. The callee may be waiting for the greeting.
_ANSWER_S = 2.0
#: s; before each further try to hand in a result.
_AGAIN_S = (0.5, 2.0, 5.0)
_MOST = 1 << 20  # bytes of an answer


class Refused(Exception):
    """It was answered, and not by 2xx."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Runtime:
    """``base``: http(s)://host[:port] of Trunkline's runtime plane."""

    base: str
    call: str
    token: str = field(repr=False)

    async def config(self) -> Mapping[str, Any]:
        """What the call's agent is to work with; empty where that cannot be had in time: a call goes on without it."""
        try:
            return await asyncio.to_thread(self._send, "runtime-config", None)
        except (Refused, OSError, HTTPException, ValueError) as error:
            log.warning("no configuration: %s", error)
            return {}

    async def hand_in(self, result: Mapping[str, Any]) -> bool:
        """Whether it is kept. Tried again where nobody answered: the same result is taken once."""
        for wait_s in (*_AGAIN_S, None):
            try:
                await asyncio.to_thread(self._send, "result", result)
            except Refused as error:
                if error.status < 500:
                    log.warning("the result is not taken: %s", error)
                    return False
                log.info("the result was not handed in: %s", error)
            except (OSError, HTTPException, ValueError) as error:
                log.info("the result was not handed in: %s", error)
            else:
                return True
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        log.warning("the result was not handed in")
        return False

    def _send(self, what: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        parts = urlsplit(self.base)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=_ANSWER_S)
        try:
            # No redirect is followed: the token goes to one address alone.
            connection.request(
                "GET" if body is None else "POST",
                f"/internal/calls/{self.call}/{what}",
                None if body is None else json.dumps(body).encode(),
                {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            told = answer.read(_MOST)
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise Refused(answer.status)
        found = json.loads(told)
        if not isinstance(found, dict):
            raise ValueError("the answer is no object")
        return found


def runtime_of(base: str | None, start: Mapping[str, Any]) -> Runtime | None:
    """By what ``start`` gives; None: no address is known, or it gives none."""
    call, given = start.get("call"), start.get("runtime")
    id_ = call.get("id") if isinstance(call, dict) else None
    token = given.get("token") if isinstance(given, dict) else None
    if not base or not isinstance(token, str) or not isinstance(id_, str) or _CALL.fullmatch(id_) is None:
        return None
    return Runtime(base, id_, token)
