"""What an enterprise may hear of: the closed list of event types, and which of them are ends."""

from __future__ import annotations

from collections.abc import Sequence

#: Ends, and better knowledge of one: they have a lane of their own, which nothing else delays.
ENDS = (
    "call.completed", "call.failed", "call.no_answer", "call.busy", "call.canceled", "call.expired", "call.blocked",
    "call.corrected",
)  # fmt: skip
#: Every type that exists; what is not here is refused by name.
EVENT_TYPES = (
    "call.queued", "call.received", "call.dialing", "call.early", "call.ringing", "call.answered", "call.agent_connected",
    "call.retry_scheduled",
    *ENDS, "call.result",
    "recording.started", "recording.completed", "recording.failed", "recording.deleted",
    "suppression.created", "webhook_endpoint.disabled",
)  # fmt: skip
#: All of them, those that are added later too.
EVERY = "*"
#: What ``POST /v1/webhook_endpoints/{id}/test`` sends, whatever the endpoint's own list says.
TEST = "webhook_endpoint.test"


def lane(kind: str) -> int:
    """0 for an end, 1 for all else; lower goes first."""
    return 0 if kind in ENDS else 1


def named(events: Sequence[str]) -> list[str]:
    """The list without repetitions; ``["*"]`` where everything is in it."""
    return [EVERY] if EVERY in events else list(dict.fromkeys(events))
