"""Identifiers: UUID version 7 inside, a reference that names its kind outside.

A call is shown as ``call_<32 hex>``, and so with the other kinds (webhook endpoints, deliveries and listeners as
``endpoint_``, ``delivery_`` and ``listener_``). An attempt is shown as a plain UUID, because that is what the switch's
console and the carrier's support desk see.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

RefKind = Literal["call", "batch", "agent", "recording", "key", "tenant", "suppression", "endpoint", "delivery", "listener"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEX = re.compile(r"[0-9a-f]{32}")


def uuid7(now: datetime, random: bytes) -> UUID:
    """A UUID version 7 (RFC 9562, 5.7): ``now`` to the microsecond in front, then randomness.

    ``now`` must carry a time zone and ``random`` be exactly 10 bytes, else ValueError. The 12 bits after the
    milliseconds hold the microseconds (RFC 9562, 6.2, method 3), so ids made in one millisecond still sort by time;
    62 bits are random.
    """
    if now.tzinfo is None:
        raise ValueError("now: give a datetime with a time zone")
    if len(random) != 10:
        raise ValueError(f"random: give exactly 10 bytes, not {len(random)}")
    microseconds = (now - _EPOCH) // timedelta(microseconds=1)
    milliseconds, rest = divmod(microseconds, 1000)
    if not 0 <= milliseconds < 1 << 48:
        raise ValueError("now: outside the years that fit into a UUID version 7")
    fraction = rest * 4096 // 1000
    tail = int.from_bytes(random, "big") & ((1 << 62) - 1)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | tail)


def new_uuid7() -> UUID:
    """A fresh UUID version 7 from the system's clock and randomness."""
    return uuid7(datetime.now(UTC), os.urandom(10))


def call_ref(call_id: UUID) -> str:
    """``call_<32 hex>``."""
    return f"call_{call_id.hex}"


def batch_ref(batch_id: UUID) -> str:
    """``batch_<32 hex>``."""
    return f"batch_{batch_id.hex}"


def agent_ref(agent_id: UUID) -> str:
    """``agent_<32 hex>``."""
    return f"agent_{agent_id.hex}"


def recording_ref(recording_id: UUID) -> str:
    """``recording_<32 hex>``."""
    return f"recording_{recording_id.hex}"


def key_ref(key_id: UUID) -> str:
    """``key_<32 hex>``."""
    return f"key_{key_id.hex}"


def tenant_ref(tenant_id: UUID) -> str:
    """``tenant_<32 hex>``."""
    return f"tenant_{tenant_id.hex}"


def endpoint_ref(endpoint_id: UUID) -> str:
    """``endpoint_<32 hex>``: where webhooks go."""
    return f"endpoint_{endpoint_id.hex}"


def delivery_ref(delivery_id: UUID) -> str:
    """``delivery_<32 hex>``: one webhook to one endpoint."""
    return f"delivery_{delivery_id.hex}"


def listener_ref(listener_id: UUID) -> str:
    """``listener_<32 hex>``: a terminal that fetches webhooks."""
    return f"listener_{listener_id.hex}"


def suppression_ref(suppression_id: UUID) -> str:
    """``suppression_<32 hex>``."""
    return f"suppression_{suppression_id.hex}"


def parse_ref(kind: RefKind, text: str) -> UUID:
    """The UUID behind ``<kind>_<32 lower-case hex>``; ValueError says what was expected."""
    prefix = f"{kind}_"
    digits = text.removeprefix(prefix)
    if digits == text or _HEX.fullmatch(digits) is None:
        raise ValueError(f"{kind} id: expected {prefix} followed by 32 lower-case hexadecimal digits")
    return UUID(hex=digits)
