"""Scopes: everything that has a limit. A count (channels), a rate (one slot each ``interval``), or both.

``carrier:<uuid>``, ``account:<name>`` and ``ip:<address>`` are the carrier's side; ``switch:<name>`` and ``global`` ours;
``tenant:<uuid>``, ``campaign:<tenant hex>:<name>``, ``caller:<tenant hex>:<pool>`` and ``agents:<pool>`` the lane's, as
``seats:<pool>`` and ``seats:<pool>:at_answer``, whose count is that of the seats there are (budget/seats.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from redis import Redis

from budget.scripts import PREFIX, run, run_all

#: us; as GAP_US in lua/scope.lua, for pumps that ask every second.
GAP_US = 1_500_000
#: Scopes in one script.
CHUNK = 50


def carrier_scope(carrier_id: UUID) -> str:
    """The scope of a carrier's trunk."""
    return f"carrier:{carrier_id}"


def interval_us(cps: float, window_ms: int, jitter_ms: float, invite_cost: int = 1) -> int:
    """Microseconds between two slots: (W + J) / floor(N / cost). 0 means: never (a limit of 0).

    With burst 1 this is the one pacing that never exceeds N in any window W whatever happens to an INVITE within J.
    """
    if cps <= 0:
        return 0
    # Calls are whole: 2.5 CPS in one second's window means 2, and 5 INVITEs at 2 a call mean 2 calls. Below one call per
    # window the window itself is stretched to hold exactly one.
    calls = cps * window_ms / 1000 / invite_cost
    count = math.floor(calls)
    window = float(window_ms) if count >= 1 else window_ms / calls
    return math.ceil((window + jitter_ms) * 1000 / max(count, 1))


@dataclass(frozen=True, slots=True)
class ScopeLimits:
    """One scope's numbers. None: no such limit. ``interval_us``: between two slots, 0: never. ``linger_us``: an ended call
    goes on counting (carrier's side). ``gap_us``: longer than its pumps ever wait between two requests; more time than
    that, at once, is a step of the clock. ``rest_us``: how long nothing leaves after the rate was lowered or there was none
    (W + J). ``reserved``: channels that calls of ours never take (carrier's side; of a pool, its seats); they are for calls
    that come in. ``per_seat``: of a pool, how many calls are dialed for each free seat where one is taken at the answer.
    """

    scope: str
    max_channels: int | None
    interval_us: int | None
    linger_us: int = 0
    paused: bool = False
    gap_us: int = GAP_US
    rest_us: int = 0
    reserved: int = 0
    per_seat: float = 1.0

    def fields(self) -> list[str]:
        """As Redis keeps them."""
        numbers = {"max": self.max_channels, "interval": self.interval_us}
        pairs = {name: "" if value is None else str(value) for name, value in numbers.items()}
        pairs |= {
            "linger": str(self.linger_us),
            "paused": str(int(self.paused)),
            "gap": str(self.gap_us),
            "rest": str(self.rest_us),
            "reserved": str(self.reserved) if self.reserved else "",
            "per_seat": f"{self.per_seat:g}" if self.per_seat != 1.0 else "",
        }
        return [word for pair in pairs.items() for word in pair]


@dataclass(frozen=True, slots=True)
class CarrierSpec:
    """A carrier's trunk: its own numbers, what it shares (``more``: account and source IP scopes), how much of it one
    tenant's urgent calls may have while others wait, and what bulk calls have at the least. Both are shares, 0 to 1; an
    ``urgent_share`` of 1 is no cap, a ``bulk_floor`` of 0 no floor.
    """

    limits: ScopeLimits
    more: tuple[str, ...] = ()
    urgent_share: float = 1.0
    bulk_floor: float = 0.0

    def fields(self) -> list[str]:
        """As Redis keeps them."""
        own = ["more", ",".join(self.more), "urgent_share", f"{self.urgent_share:g}", "bulk_floor", f"{self.bulk_floor:g}"]
        return self.limits.fields() + own


def held_command(scope: str) -> tuple[str, ...]:
    """The Redis command that says how many calls count in the scope (None: none)."""
    return ("ZCARD", f"{PREFIX}held:{scope}") if scope.startswith("carrier:") else ("HGET", f"{PREFIX}held", scope)


def set_scopes(redis: Redis, limits: Iterable[ScopeLimits]) -> int:
    """Writes the numbers of scopes that are no carriers; returns how many changed."""
    return _write(redis, [(one.scope, one.fields()) for one in limits])


def set_carriers(redis: Redis, specs: Iterable[CarrierSpec]) -> int:
    """Writes the numbers of carriers; returns how many changed."""
    return _write(redis, [(one.limits.scope, one.fields()) for one in specs])


def _write(redis: Redis, entries: Sequence[tuple[str, list[str]]]) -> int:
    flat: list[list[str | int | bytes]] = [[scope, len(fields) // 2, *fields] for scope, fields in entries]
    chunks = [[word for one in flat[i : i + CHUNK] for word in one] for i in range(0, len(flat), CHUNK)]
    return sum(int(changed) for changed in run_all(redis, "scopes", chunks))


def forget_scopes(redis: Redis, scopes: Sequence[str]) -> None:
    """They limit nothing any more."""
    if scopes:
        run(redis, "forget_scopes", *scopes)


def sweep(redis: Redis) -> int:
    """Wakes whoever waits for a scope that has room; returns how many such scopes there were (0 in a healthy house)."""
    return int(run(redis, "sweep"))
