"""``trunkline listen``: webhooks on a machine that nobody can reach. It asks the API for them and POSTs them locally.

The API signs each for this listener alone, so the local server verifies as it will in earnest. What endpoints are told is
not touched by it. An event is given to the local server once; what it answered is in the delivery log. A slow local server
makes no silence: what came of its events is told after :data:`TOLD_S`, and what was not given to it yet comes again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import urllib3

#: s; how long the API may keep us waiting, and how much longer until that is a fault.
WAIT_S, GRACE_S = 20, 15.0
#: s; how long the local server may take; first and longest rest between two tries to reach the API.
LOCAL_S, REST_S, REST_MAX_S = 10.0, 0.5, 10.0
#: s; after so long with the local server the API hears what came of it. It forgets who is silent for two minutes.
TOLD_S = 30.0


def _trouble(error: Exception) -> str:
    """For whoever sits at the terminal."""
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "no connection: does it run, and there?"
    return "no answer in time" if isinstance(error, urllib3.exceptions.TimeoutError) else type(error).__name__


class ListenRefused(ValueError):
    """The API does not let us listen; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """The API's base address, a key, where to POST on this machine, and of which types (none: all)."""

    api: str
    key: str
    forward: str
    events: Sequence[str] = ()


class Listener:
    """``say`` gets a line for each thing that happens; ``going_on`` False ends it, within ``wait_s``."""

    def __init__(
        self,
        place: Place,
        say: Callable[[str], None],
        going_on: Callable[[], bool] = lambda: True,
        *,
        wait_s: int = WAIT_S,
        told_s: float = TOLD_S,
    ) -> None:
        self._place, self._say, self._going_on, self._wait_s, self._told_s = place, say, going_on, wait_s, told_s
        self._http = urllib3.PoolManager(retries=False)
        self._id: str | None = None

    def run(self) -> None:
        """Until it is ended. Raises :class:`ListenRefused`."""
        heard: list[dict[str, Any]] = []
        rest = REST_S
        try:
            while self._going_on():
                try:
                    fetched = self._poll(heard)
                except (urllib3.exceptions.HTTPError, OSError) as error:
                    self._say(f"the API is away ({_trouble(error)}), again in {rest:g} s")
                    time.sleep(rest)
                    rest = min(REST_MAX_S, rest * 2)
                    continue
                heard, rest, began = [], REST_S, time.monotonic()
                for one in fetched:
                    heard.append(self._forward(one))
                    if time.monotonic() - began >= self._told_s or not self._going_on():
                        break  # the others are fetched again
        finally:
            self._leave(heard)

    def _poll(self, heard: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        if self._id is None:
            self._begin()
        body = {"wait_s": 0 if heard else self._wait_s, **({"heard": heard} if heard else {})}
        status, found = self._ask("POST", f"/v1/webhook_listeners/{self._id}/poll", body)
        if status == 404:
            self._say("silent for too long: what happened meanwhile was not kept for this terminal")
            self._id = None
            return []
        events: list[dict[str, Any]] = found["data"]
        return events

    def _begin(self) -> None:
        _, found = self._ask(
            "POST", "/v1/webhook_listeners", {"events": list(self._place.events)} if self._place.events else {}
        )
        self._id = found["id"]
        self._say(f"listening for {', '.join(found['events'])}; to {self._place.forward}")
        self._say(f"signing secret of this terminal: {found['secret']}")

    def _forward(self, one: Mapping[str, Any]) -> dict[str, Any]:
        event = json.loads(one["body"])
        data = event["data"]
        what = f"{event['type']:<24} {data.get('id', data.get('endpoint_id', ''))} {data.get('sequence', '')}".rstrip()
        began = time.monotonic()
        try:
            answer = self._http.request(
                "POST",
                self._place.forward,
                body=one["body"].encode(),
                headers=one["headers"],
                timeout=LOCAL_S,
                redirect=False,
                retries=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._say(f"{what}  -> {_trouble(error)}")
            return {"delivery_id": one["delivery_id"], "error": type(error).__name__}
        self._say(f"{what}  -> {answer.status} in {(time.monotonic() - began) * 1000:.0f} ms")
        return {"delivery_id": one["delivery_id"], "code": answer.status}

    def _leave(self, heard: Sequence[Mapping[str, Any]]) -> None:
        if self._id is None:
            return
        try:
            if heard:
                self._ask("POST", f"/v1/webhook_listeners/{self._id}/poll", {"heard": heard})
            self._ask("DELETE", f"/v1/webhook_listeners/{self._id}", None)
        except (urllib3.exceptions.HTTPError, OSError, ListenRefused):
            pass  # it is gone by itself after two minutes

    def _ask(self, method: str, path: str, body: object) -> tuple[int, Any]:
        """404 and 2xx are answers; what passes is a connection error; anything else is :class:`ListenRefused`."""
        answer = self._http.request(
            method,
            self._place.api.rstrip("/") + path,
            body=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._place.key}", "Content-Type": "application/json"},
            timeout=urllib3.Timeout(connect=5.0, read=self._wait_s + GRACE_S),
            redirect=False,
        )
        if answer.status in (429, 502, 503, 504):
            raise urllib3.exceptions.HTTPError(f"status {answer.status}")
        try:
            found = json.loads(answer.data)
        except ValueError:
            raise ListenRefused(f"{self._place.api}: not the API: it answered {answer.status} without JSON") from None
        if answer.status >= 400 and not (answer.status == 404 and self._id is not None):
            raise ListenRefused(f"the API says: {found.get('detail', answer.status)}")
        return answer.status, found
