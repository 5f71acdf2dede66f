"""The demo's test key: a few calls that end in the laboratory as their numbers say. At the carriers of the house they would
be INVITEs that belong to no call.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from calls.test_numbers import FATES
from trunkline.api import Answer, Api
from trunkline.children import wait_until
from trunkline.demo_view import END_STATUSES

ENDINGS = ("0101", "0105", "0109")
#: s; long after all other calls have ended.
PATIENCE_S = 30.0


@dataclass
class Tester:
    """``key``: a test key; ``agent``: who talks."""

    api: str
    key: str
    agent: str
    posted: dict[str, Answer] = field(default_factory=dict)  # by ending

    def post(self) -> None:
        """One call for each ending."""
        for ending in ENDINGS:
            body = {"to": f"+1202555{ending}", "from": "+12025550100", "agent_id": self.agent, "max_attempts": 1}
            self.posted[ending] = Api(self.api, self.key).post("/v1/calls", body)

    def faults(self) -> list[str]:
        """Sentences; empty: each of them ended as documented."""
        found = []
        for ending, answer in self.posted.items():
            if answer.status != 202:
                found.append(f"test call to ...{ending} was refused: {answer.status} {answer.body}")
                continue
            fate, said = FATES[ending], self._end(str(answer.body["id"]))
            if said != (fate.status, fate.end_reason):
                found.append(f"test call to ...{ending}: {said}, not {(fate.status, fate.end_reason)}")
        return found

    def _end(self, call: str) -> tuple[str, str | None]:
        told = {}

        def over() -> bool:
            told.update(Api(self.api, self.key).get(f"/v1/calls/{call}").body)
            return told["status"] in END_STATUSES

        try:
            wait_until(f"{call} to end", over, timeout_s=PATIENCE_S)
        except TimeoutError:
            return told["status"], "not ended"
        return told["status"], told["end_reason"]
