"""A small client of the API: typed, synchronous, and safe to interrupt.

    with Client("https://calls.example.com", "tl_...") as api:
        call = api.place_call(to="+4930123456", from_="+442079460000", agent_id="agent_...")
        print(api.wait_for_end(call.id).end_reason)

A request whose answer was lost is sent again under the same Idempotency-Key, so it is carried out once.
"""

from trunkline.client.calls import Client
from trunkline.client.errors import (
    ApiError,
    Conflict,
    DeadlineExceeded,
    FieldFault,
    Forbidden,
    IdempotencyMismatch,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    QueueFull,
    ServerFault,
    TooMany,
    TrunklineError,
    Unauthenticated,
    Unreachable,
)
from trunkline.client.models import (
    Action,
    Agent,
    Attempt,
    Batch,
    Call,
    Event,
    Limit,
    Place,
    PlacedBatch,
    Record,
    Recording,
    Result,
)
from trunkline.client.runtime import CallRuntime, RuntimeConfig
from trunkline.client.transport import Answer
from trunkline.client.webhooks import WebhookRefused, verify

__all__ = [
    "Action",
    "Agent",
    "Answer",
    "ApiError",
    "Attempt",
    "Batch",
    "Call",
    "CallRuntime",
    "Client",
    "Conflict",
    "DeadlineExceeded",
    "Event",
    "FieldFault",
    "Forbidden",
    "IdempotencyMismatch",
    "InvalidRequest",
    "Limit",
    "NotFound",
    "OutcomeUnknown",
    "Place",
    "PlacedBatch",
    "QueueFull",
    "Record",
    "Recording",
    "Result",
    "RuntimeConfig",
    "ServerFault",
    "TooMany",
    "TrunklineError",
    "Unauthenticated",
    "Unreachable",
    "WebhookRefused",
    "verify",
]
