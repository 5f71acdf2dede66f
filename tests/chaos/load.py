"""Calls posted steadily by several customers' programs that do what the API asks of them: the same key until it says 202."""

from __future__ import annotations

import http.client
import itertools
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench._campaign import numbers
from calls.ids import agent_ref
from trunkline.api import Api
from trunkline.stack import Account, Stack

POSTERS = 4
#: s; how long one call is offered before the run is given up.
PATIENCE_S = 120.0
#: Answers after which the same request is sent again.
AGAIN = frozenset({409, 429, 500, 502, 503})


@dataclass(frozen=True)
class Wanted:
    """One call to be posted."""

    account: Account
    agent: str
    to: str
    max_attempts: int


class Load:
    """``start()``; ``done`` when all are accepted or one was not; then ``accepted`` has the id of each by its number."""

    def __init__(self, stack: Stack, accounts: Sequence[Account], shares: Mapping[str, tuple[str, int]], seed: int) -> None:
        """`shares`: by carrier (area, calls). Whose call is next, and how often it is tried, is the seed's."""
        rng = random.Random(f"load:{seed}")
        agents = {account.name: agent_ref(stack.reference_agent(account)) for account in accounts}
        to = [number for area, calls in shares.values() for number in itertools.islice(numbers(area), calls)]
        rng.shuffle(to)
        self._wanted = [
            Wanted(account := rng.choice(accounts), agents[account.name], number, rng.choice((1, 1, 2, 3))) for number in to
        ]
        self._stack = stack
        self._next = itertools.count()
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
        self.room = threading.Event()  # cleared: nothing new is posted for the moment
        self.room.set()
        self.accepted: dict[str, str] = {}
        self.refused: list[str] = []
        self.repeats = 0  # requests that had to be sent again

    def start(self, per_s: float) -> None:
        """Post them all, so many a second while the API answers."""
        began = time.monotonic()
        self._threads = [threading.Thread(target=self._post_all, args=(began, per_s)) for _ in range(POSTERS)]
        for thread in self._threads:
            thread.start()

    @property
    def done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """No more is posted; returns when what is being posted has been."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _post_all(self, began: float, per_s: float) -> None:
        apis: dict[str, Api] = {}
        for index in self._next:
            due = began + index / per_s
            if index >= len(self._wanted) or self.refused or self._stopped.wait(max(0.0, due - time.monotonic())):
                return
            while not self.room.wait(0.1) and not self._stopped.is_set():
                pass
            wanted = self._wanted[index]
            key = wanted.account.key
            self._post(apis.setdefault(key, Api(self._stack.api, key, timeout_s=10)), wanted)

    def _post(self, api: Api, wanted: Wanted) -> None:
        body = {
            "to": wanted.to,
            "from": "+14155550100",
            "agent_id": wanted.agent,
            "max_attempts": wanted.max_attempts,
            "ring_timeout_s": 5,
        }
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = api.post("/v1/calls", body, {"Idempotency-Key": f"chaos-{wanted.to}"})
                status, said = answer.status, str(answer.body)
            except (OSError, http.client.HTTPException) as error:
                status, said = 0, repr(error)
            if status == 202:
                self.accepted[wanted.to] = str(answer.body["id"])
                return
            if (status and status not in AGAIN) or time.monotonic() > deadline:
                self.refused.append(f"{wanted.to} was not accepted: {status} {said}")
                return
            self.repeats += 1
            time.sleep(0.2)
