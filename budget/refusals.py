"""A carrier that refuses a call for its own limit is asked for less in the same moment.

The limit it holds us to may be lower than the one we were told, or others may share it: dialing on at the same rate would
only collect refusals.
"""

from __future__ import annotations

import logging
from typing import Literal, Protocol
from uuid import UUID

from redis import Redis
from redis.exceptions import RedisError

from budget import health
from calls.evidence import Evidence
from settings import Settings

log = logging.getLogger(__name__)


class Applied(Protocol):
    """What became of the attempt; store.attempts.Applied is one."""

    @property
    def carrier_id(self) -> UUID | None: ...
    @property
    def ended_now(self) -> bool: ...
    @property
    def full(self) -> Literal["cps", "channels"] | None: ...


def on_end(redis: Redis, settings: Settings, row: Applied, evidence: Evidence) -> None:
    """To be called by whoever applied an end, event or CDR, before its lease is released. Raises nothing: without Redis
    nothing is dialed anyway. A 503 that does not speak of a limit is an outage and is none of this.
    """
    end = evidence.end
    if end is None or row.carrier_id is None or not row.ended_now or row.full is None:
        return
    kind = row.full
    facts = {"carrier": str(row.carrier_id), "limit": kind, "code": end.sip_code, "phrase": end.sip_phrase}
    try:
        slowed = health.slow(redis, settings, row.carrier_id, kind)
    except (RedisError, OSError):
        log.warning("refused for its own limit; not slowed without Redis", extra=facts)
        return
    if slowed:
        log.warning("refused for its own limit: slowed", extra=facts)
