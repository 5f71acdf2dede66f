"""Headers of answers, as the description tells of them."""

from __future__ import annotations

LOCATION_HEADER = {"Location": {"description": "where it can be read", "schema": {"type": "string"}}}
REPLAYED_HEADER = {
    "Idempotent-Replayed": {
        "description": "true: this is the first answer again, nothing was done",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
RATE_HEADERS = {
    "RateLimit-Limit": {"description": "requests you may send in one window", "schema": {"type": "integer"}},
    "RateLimit-Remaining": {"description": "requests left of them", "schema": {"type": "integer"}},
    "RateLimit-Reset": {"description": "s; until there are more again", "schema": {"type": "integer"}},
}
RETRY_HEADER = {"Retry-After": {"description": "s; not before", "schema": {"type": "integer"}}}
