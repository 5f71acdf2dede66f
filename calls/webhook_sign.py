"""Standard Webhooks 1.0 signatures (standardwebhooks.com): who receives can tell that it came from here, unchanged."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

USER_AGENT = "Trunkline-Webhooks/1.0"


def signature(secret: bytes, webhook_id: str, timestamp: int, body: bytes) -> str:
    """``v1,<base64 HMAC-SHA256>`` over ``id.timestamp.body``; ``secret``: the raw bytes behind ``whsec_<base64>``."""
    signed = b"%s.%d.%s" % (webhook_id.encode("ascii"), timestamp, body)
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode("ascii")


def signed_headers(secrets: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of one delivery. ``timestamp``: unix seconds of this try. Two secrets while one is being replaced."""
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, webhook_id, timestamp, body) for secret in secrets),
    }
