"""Who tells the platform of the seats: POST /internal/seats, with all that the keeper has, one request after the other."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import urllib3

#: s; one request, connect to last byte.
_TIMEOUT_S = 2.0


class Unheard(Exception):
    """The platform did not take it; the text says why. It is to be said again."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a seat stands; ``call``: the attempt it is held for or busy with."""

    state: str
    call: str | None


@dataclass(frozen=True, slots=True)
class Heard:
    """What the platform says: for how many s a word holds, how each seat stands, by name, and the key of each pool that it
    was told of (agents/fleet/gate.py); None: it knows no such pool.
    """

    hold_s: float
    seats: dict[str, Standing]
    keys: dict[str, str | None] = field(repr=False)


class Herald:
    """Speaks for one keeper. Not for several tasks at once."""

    def __init__(self, url: str, user: str, password: str, keeper: str) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"seats: {url!r} is no http:// or https:// address")
        self._url = url
        self._keeper = keeper
        self._said = 0
        self._pool = urllib3.PoolManager(1, maxsize=1, retries=False, timeout=urllib3.Timeout(total=_TIMEOUT_S))
        self._headers = urllib3.make_headers(basic_auth=f"{user}:{password}") | {"Content-Type": "application/json"}

    async def say(self, seats: list[dict[str, Any]]) -> Heard:
        """Raises :class:`Unheard`."""
        self._said += 1  # what we gave up may still be carried out: the platform knows by this that it comes too late
        return await asyncio.to_thread(self._post, {"keeper": self._keeper, "seq": self._said, "seats": seats})

    def _post(self, body: dict[str, Any]) -> Heard:
        try:
            answer = self._pool.request("POST", self._url, body=json.dumps(body).encode(), headers=self._headers)
            told = json.loads(answer.data)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise Unheard(f"{self._url}: {error}") from error
        if answer.status != 200:
            faults = "; ".join(f"{one.get('pointer')}: {one.get('detail')}" for one in told.get("errors", ()))
            raise Unheard(f"{self._url}: HTTP {answer.status}: {faults or told.get('detail')}")
        seats = {one["name"]: Standing(one["state"], one["attempt"]) for one in told["seats"]}
        return Heard(
            told["hold_s"], seats, {name: pool and pool["token_key"] for name, pool in told.get("pools", {}).items()}
        )
