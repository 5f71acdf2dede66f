"""What a carrier's behaviour does to its limits. What it means is decided in jobs/health.py; here it only acts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast
from uuid import UUID

from redis import Redis

from budget.replies import text
from budget.scopes import carrier_scope
from budget.scripts import PREFIX, run
from settings import Settings

State = Literal["ok", "stopped", "probing"]
#: What one refusal leaves of a rate or of a count.
FACTOR = 0.7
#: No number of refusals makes it less.
LEAST = 0.05


@dataclass(frozen=True, slots=True)
class Standing:
    """What Redis holds of a carrier's health. ``probes``: counted calls left."""

    state: State = "ok"
    why: str = ""
    probes: int = 0


def slow(
    redis: Redis, settings: Settings, carrier_id: UUID, kind: Literal["cps", "channels"], rest_us: int | None = None
) -> bool:
    """The carrier refused a call for its own limit: fewer at once, slowly back (``slow_recover_s``). False: counted already.

    For a rate, nothing leaves for the carrier's rest (None: its window and jitter) either. Refusals within one rest count
    once.
    To be called before the refused call's lease is released.
    """
    recover = int(settings.slow_recover_s * 1_000_000)
    rest = "" if rest_us is None else str(rest_us)
    return bool(run(redis, "slow", str(carrier_id), kind, str(FACTOR), str(LEAST), recover, rest))


def set_health(
    redis: Redis,
    carrier_id: UUID,
    state: State,
    why: str,
    *,
    probes: int | None = None,
    probe_interval_us: int = 1_000_000,
    factor: float = 1.0,
    recover_us: int = 60_000_000,
) -> bool:
    """``ok``, ``stopped``, or ``probing``: ``probes`` more calls, one each ``probe_interval_us`` (None: what is left).

    ``factor`` below 1: at most this share of its rate now, and all of it ``recover_us`` after the last such word. True
    when the state changed. An operator's pause is not touched and stays above it.
    """
    left = "" if probes is None else str(max(0, probes))
    return bool(run(redis, "health", str(carrier_id), state, why, left, probe_interval_us, f"{factor:g}", recover_us))


def standings(redis: Redis, carrier_ids: Iterable[UUID]) -> dict[UUID, Standing]:
    """What Redis holds of each of them; after a wipe that all are ok."""
    ids = list(carrier_ids)
    pipe = redis.pipeline(transaction=False)
    for carrier_id in ids:
        pipe.hmget(f"{PREFIX}s:{carrier_scope(carrier_id)}", "state", "why", "probes")
    found = {}
    for carrier_id, (state, why, probes) in zip(ids, pipe.execute() if ids else [], strict=True):
        known = cast(State, text(state) if state else "ok")
        found[carrier_id] = Standing(known, text(why) if why else "", int(probes or 0))
    return found
