"""What the webhook receiver was told, against what the API says: no gap, one end, a repetition under the same id."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Types that tell an end.
ENDS = frozenset(
    {"call.completed", "call.failed", "call.no_answer", "call.busy", "call.canceled", "call.expired", "call.blocked"}
)
CORRECTED = "call.corrected"


@dataclass(frozen=True)
class Told:
    """One delivery as it arrived."""

    id: str  # webhook-id
    call: str
    sequence: int
    type: str
    status: str

    @classmethod
    def of(cls, webhook_id: str, body: Mapping[str, Any]) -> Told:
        data = body["data"]
        return cls(webhook_id, data["id"], data["sequence"], body["type"], data["status"])


@dataclass
class Heard:
    """The verdict on all of them."""

    deliveries: int = 0
    repeated: int = 0
    corrected: int = 0
    wrong: list[str] = field(default_factory=list)


def hear(calls: Iterable[Mapping[str, Any]], told: Iterable[Told]) -> Heard:
    """`calls` as the API tells them at the end; every call has a webhook."""
    heard = Heard()
    by_call: dict[str, dict[str, Told]] = defaultdict(dict)
    for one in told:
        heard.deliveries += 1
        known = by_call[one.call].get(one.id)
        heard.repeated += known is not None
        if known not in (None, one):
            heard.wrong.append(f"{one.call}: {one.id} was {known} and then {one}")
        by_call[one.call][one.id] = one
    for call in calls:
        got = sorted(by_call.pop(call["id"], {}).values(), key=lambda one: one.sequence)
        heard.corrected += sum(one.type == CORRECTED for one in got)
        heard.wrong += [f"{call['id']}: {text}: {_brief(got)}" for text in _faults(call, got)]
    heard.wrong += [f"{call}: told of, but unknown to the API" for call in by_call]
    return heard


def _faults(call: Mapping[str, Any], got: list[Told]) -> list[str]:
    numbers = [one.sequence for one in got]
    ends = Counter(one.type for one in got if one.type in ENDS)
    faults = []
    if numbers != list(range(1, call["sequence"] + 1)):
        faults.append(f"sequences {numbers}, and the API is at {call['sequence']}")
    if ends.total() != 1:
        faults.append(f"{ends.total()} ends")
    elif got[-1].type not in ENDS and got[-1].type != CORRECTED:
        faults.append(f"told {got[-1].type} after its end")
    if got and got[-1].status != call["status"]:
        faults.append(f"the last word was {got[-1].status}, the API says {call['status']}")
    return faults


def _brief(got: list[Told]) -> str:
    return " ".join(f"{one.sequence}:{one.type.removeprefix('call.')}" for one in got) or "nothing was told"
