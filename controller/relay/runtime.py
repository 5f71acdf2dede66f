"""What an agent is given to ask us by: a call token, and where (docs/runtime.md)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from calls.call_token import ID_BYTES, for_attempt, longest_life, sign
from calls.ids import call_ref
from settings import Settings
from store.relay import RelayCall

#: The header of the WebSocket upgrade that holds the token.
HEADER = "X-Trunkline-Call-Token"


@dataclass(frozen=True, slots=True)
class RuntimeAccess:
    """``facts`` go into ``start``, ``headers`` into the upgrade. Both hold the token: they are for the agent alone."""

    facts: dict[str, Any] | None = field(repr=False)
    headers: dict[str, str] = field(repr=False)


def runtime_access(call: RelayCall, settings: Settings, now: datetime) -> RuntimeAccess:
    """A new token of the attempt for its agent; nothing where its tenant has no key to sign it with."""
    if not call.token_key:
        return RuntimeAccess(None, {})
    lasts = longest_life(call.max_duration_s, settings.runtime_grace_s)
    whose = (call.call_id, call.attempt_id, call.agent_id)
    token = for_attempt(*whose, now=now, lasts=lasts, random=os.urandom(ID_BYTES))
    text, name = sign(token, call.token_key), call_ref(call.call_id)
    base = f"{settings.runtime_url_base}/internal/calls/{name}" if settings.runtime_url_base else None
    facts = {
        "token": text,
        "expires_at": token.expires_at.isoformat(),
        "config_url": base and f"{base}/runtime-config",
        "result_url": base and f"{base}/result",
    }
    return RuntimeAccess(facts, {HEADER: text})
