"""Is this webhook from Trunkline, unchanged, and of now? Standard Webhooks 1.0, for whoever receives.

Give the body's bytes as they came: whoever parses and prints them again has another body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from trunkline.client.errors import TrunklineError

#: s; an older or later webhook is refused: it may be one that was recorded and is sent again.
TOLERANCE_S = 300
_PREFIX = "whsec_"
#: A header holds a signature for each secret while secrets are exchanged; nobody needs more than a few.
_SIGNATURES_MAX = 16


class WebhookRefused(TrunklineError):
    """Not to be trusted: answer 400 and do nothing."""


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secrets: str | Sequence[str],
    *,
    tolerance_s: float = TOLERANCE_S,
    now: float | None = None,
) -> dict[str, Any]:
    """The webhook's JSON, if it is genuine. Raises :class:`WebhookRefused`.

    ``secrets``: the endpoint's secret (``whsec_...``), or the old and the new one while they are exchanged. ``headers``: of
    the request, in any case. ``now``: Unix time, for tests. The id that is the same in each repetition is in ``webhook-id``.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        webhook_id, sent, signatures = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as missing:
        raise WebhookRefused(f"the header {missing.args[0]} is missing") from None
    if not sent.isascii() or not sent.isdigit() or len(sent) > 15:
        raise WebhookRefused("webhook-timestamp is no Unix time")
    if abs((time.time() if now is None else now) - int(sent)) > tolerance_s:
        raise WebhookRefused(f"webhook-timestamp is more than {tolerance_s:g} s away: an old one, or a wrong clock")
    signed = b".".join((webhook_id.encode("utf-8", "replace"), sent.encode(), body))
    wanted = [_signature(_raw(secret), signed) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    found = [one for one in signatures.split(" ")[:_SIGNATURES_MAX] if one.startswith("v1,")]
    # Each with each, whatever matched before: the time tells nothing.
    matches = [hmac.compare_digest(mine.encode(), theirs.encode("utf-8", "replace")) for mine in wanted for theirs in found]
    if not any(matches):
        raise WebhookRefused("no signature is right: another secret, or a changed body")
    told = json.loads(body)
    if not isinstance(told, dict):
        raise WebhookRefused("the body is no JSON object")
    return told


def _signature(secret: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def _raw(secret: str) -> bytes:
    try:
        raw = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the secret is whsec_ and base64, exactly as it was shown") from None
    if len(raw) < 16:
        raise ValueError("the secret is too short: is it complete?")
    return raw
