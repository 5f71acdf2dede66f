"""The tenants' side of the demo: posts the planned calls by HTTP and asks how they went."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from calls.ids import agent_ref
from trunkline.api import Answer, Api
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

    def post(self, number: int, call: PlannedCall) -> None:
        """One call; whatever is not a 202 is kept as refused, to be reported."""
        account = self.accounts[call.account]
        agent = agent_ref(self.agents[call.account][1 if call.announcement else 0])
        reference = f"demo-{number:04d}"
        try:
            answer = Api(self.api, account.key).post(
                "/v1/calls", call.body(agent, reference), {"Idempotency-Key": reference}
            )
            held_ns = time.time_ns()
        except OSError as error:
            answer, held_ns = Answer(0, {}, str(error)), 0
        with self._lock:
            if answer.status == 202:
                self.posted.append(Posted(answer.body["id"], call, account, held_ns, quiet=number < QUIET))
            else:
                self.refused.append(f"{reference} to {call.to}: {answer.status} {answer.body}")

    def calls(self) -> dict[str, dict[str, Any]]:
        """Every call of every tenant as the API tells it, by id."""
        found: dict[str, dict[str, Any]] = {}
        for account in self.accounts:
            api, cursor = Api(self.api, account.key), ""
            while True:
                page = api.get(f"/v1/calls?limit=200{cursor}").body
                found.update({call["id"]: call for call in page["data"]})
                if not page["has_more"]:
                    break
                cursor = f"&starting_after={page['next_cursor']}"
        return found
