"""Why a call waits, in words for the enterprise it belongs to: its own limits by number, everybody else's by kind only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from budget.explain import Held

SCOPES = ("call", "agent", "tenant", "campaign", "caller", "agents", "seats", "carrier", "route", "platform")

#: Kinds of scope that belong to the caller of the API; the rest is shared with others.
OWN = ("tenant", "campaign", "caller")
_SHOWN_AS = {"account": "carrier", "ip": "carrier", "switch": "platform", "global": "platform"}
_WHOSE = {
    "agent": "its agent",
    "tenant": "your account",
    "campaign": "the campaign",
    "caller": "the caller-ID pool",
    "agents": "the agent pool",
    "seats": "the agent's pool of workers",
    "carrier": "the carriers that serve this number",
    "platform": "the platform",
}

_WORDS = {
    "not_before": "It is not to be dialed before due_at.",
    "retry": "It is dialed again at due_at.",
    "canceled": "It was canceled and is about to end; it will not be dialed.",
    "expired": "Its expires_at has passed; it will not be dialed.",
    "stopped": "Every carrier that serves this number is stopped for failing; each is tried again by itself.",
    "probing": "The carriers that serve this number are being tried again after a failure, with a few calls.",
    "turn": "Other calls are before it at the carriers that serve this number.",
    "no_route": "No carrier serves this number at the moment.",
    "backlog": "It is about to be put in line.",
    "no_controller": "No switch that could dial it is in service.",
    "budget_closed": "The limits are not open: nothing is dialed until they are.",
    "budget_rebuilding": "The limits are being rebuilt: nothing is dialed until they are, a matter of seconds.",
    "budget_unavailable": "The limits cannot be read at the moment, so nothing is dialed; the call is safe.",
    "not_ready": "The platform is preparing to dial it.",
}
NAMES = ("paused", "channels", "cps", *_WORDS)


@dataclass(frozen=True, slots=True)
class Blocked:
    """Which limit holds a call; ``limit`` and ``current`` only of the enterprise's own."""

    scope: str
    name: str
    limit: float | None = None
    current: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "scope": self.scope,
            "name": self.name,
            "limit": self.limit,
            "current": self.current,
            "detail": self._detail(),
        }

    def _detail(self) -> str:
        whose = _WHOSE.get(self.scope, "")
        if self.name == "paused":
            return f"{whose[:1].upper()}{whose[1:]} {'are' if self.scope == 'carrier' else 'is'} paused."
        if self.name == "channels" and self.scope == "seats":
            return "Every worker of the agent's pool has a call, or none is there: it is dialed when one is free."
        if self.name == "channels":
            return f"As many calls are on the line as {whose} may have at the same time."
        if self.name == "cps":
            return f"Calls leave one after the other, at the pace that {whose} may have."
        return _WORDS[self.name]


_BY_NAME = {
    "closed": Blocked("platform", "budget_closed"),
    "rebuilding": Blocked("platform", "budget_rebuilding"),
    "unknown": Blocked("platform", "not_ready"),
    "lost": Blocked("platform", "not_ready"),
    "unasked": Blocked("platform", "no_controller"),
    "stopped": Blocked("carrier", "stopped"),
    "probing": Blocked("carrier", "probing"),
    "order": Blocked("carrier", "turn"),
    "turn": Blocked("carrier", "turn"),
    "no_route": Blocked("route", "no_route"),
    "empty": Blocked("platform", "backlog"),
    "idle": Blocked("platform", "backlog"),
    "backlog": Blocked("platform", "backlog"),
}
UNAVAILABLE = Blocked("platform", "budget_unavailable")


def blocked(held: Held) -> Blocked:
    """What may be told of ``held``."""
    if held.name in _BY_NAME:
        return _BY_NAME[held.name]
    kind = (held.scope or "").partition(":")[0]
    if kind in OWN:
        return Blocked(kind, held.name, held.limit, held.current)
    return Blocked(_SHOWN_AS.get(kind, kind), held.name)
