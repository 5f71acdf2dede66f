"""The tenants' side of the demo: posts the planned calls by HTTP and asks how they went."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from calls.ids import agent_ref
from trunkline.client import Client, TrunklineError
from trunkline.demo_plan import QUIET, PlannedCall
from trunkline.stack import Account


@dataclass(frozen=True)
class Posted:
    """An accepted call. `held_ns`: CLOCK_REALTIME when the caller had the 202 in hand. `quiet`: nothing held it up."""

    id: str
    call: PlannedCall
    account: Account
    held_ns: int
    quiet: bool


@dataclass
class Desk:
    """Posts the planned calls by HTTP, as the tenants' own programs would."""

    api: str
    accounts: Sequence[Account]
    agents: Sequence[tuple[UUID, UUID]]  # by account: the reference agent, the announcement
    posted: list[Posted] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _clients: dict[str, Client] = field(default_factory=dict)

    def client(self, account: Account) -> Client:
        """The tenant's own; one for all its threads, so that connections are kept."""
        with self._lock:
            return self._clients.setdefault(account.key, Client(self.api, account.key, timeout_s=10.0))

    def post(self, number: int, call: PlannedCall) -> None:
        """One call; whatever is not accepted is kept as refused, to be reported."""
        account = self.accounts[call.account]
        agent = agent_ref(self.agents[call.account][1 if call.announcement else 0])
        reference = f"demo-{number:04d}"
        body = call.body(agent, reference)
        try:
            placed = self.client(account).request("POST", "/v1/calls", body=body, idempotency_key=reference)
        except TrunklineError as error:
            with self._lock:
                self.refused.append(f"{reference} to {call.to}: {error}")
            return
        held_ns = time.time_ns()
        with self._lock:
            self.posted.append(Posted(placed.body["id"], call, account, held_ns, quiet=number < QUIET))

    def calls(self) -> dict[str, dict[str, Any]]:
        """Every call of every tenant as the API tells it, by id."""
        return {call.id: dict(call.raw) for account in self.accounts for call in self.client(account).calls()}
