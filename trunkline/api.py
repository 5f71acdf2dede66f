"""The HTTP API as a caller sees it: small, blocking, for the demo and the tests."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; `body` is the JSON, or the text where it is none."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Api:
    """`base` is http://host:port, `key` an API key or empty. One connection a request; thread-safe."""

    base: str
    key: str = ""
    timeout_s: float = 30.0

    def request(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        """Any status is an answer. Errors: OSError, http.client.HTTPException when there is none."""
        address = urlsplit(self.base)
        sent = {"Accept": "application/json", **(headers or {})}
        if self.key:
            sent.setdefault("Authorization", f"Bearer {self.key}")
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=self.timeout_s)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            reply = connection.getresponse()
            raw = reply.read()
            got = {name.lower(): value for name, value in reply.getheaders()}
        finally:
            connection.close()
        is_json = "json" in got.get("content-type", "")
        return Answer(reply.status, got, json.loads(raw) if is_json else raw.decode(errors="replace"))

    def get(self, path: str) -> Answer:
        """GET."""
        return self.request("GET", path)

    def post(self, path: str, body: object, headers: dict[str, str] | None = None) -> Answer:
        """POST with a JSON body."""
        return self.request("POST", path, body, headers)
