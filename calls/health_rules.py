"""The numbers by which a carrier's health is judged (calls/health.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Numbers(Protocol):
    """What the rules need of the platform; :class:`settings.Settings` is one. Seconds, shares 0 to 1."""

    @property
    def health_window_s(self) -> float: ...
    @property
    def health_quiet_s(self) -> float: ...
    @property
    def health_stop_share(self) -> float: ...
    @property
    def health_slow_share(self) -> float: ...
    @property
    def health_pause_s(self) -> float: ...
    @property
    def health_pause_max_s(self) -> float: ...
    @property
    def health_probes(self) -> int: ...
    @property
    def health_forget_s(self) -> float: ...
    @property
    def slow_recover_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """When a carrier is slowed, stopped and tried again. Shares are of its calls, 0 to 1; ``*_s`` are seconds."""

    window_s: float = 300.0  # older calls tell nothing
    least: int = 6  # fewer calls are no reason for anything
    recent: int = 20  # the latest calls, which may stop it
    wide: int = 100  # those that may slow it
    quiet_s: float = 15.0  # nothing heard of any call for so long, or 2.5 times its own PDD: those that wait count as faults
    stop_share: float = 0.5  # this many faults are certain: stopped
    slow_share: float = 0.2  # this many faults are certain: slowed, until they are half of it
    sure: float = 2.33  # standard deviations: how certain
    surer: float = 3.3  # the same where only the very latest of them tell so: eleven in a row, not six
    pdd_factor: float = 2.5  # p90 beyond so many times its own, and beyond pdd_more_s: slowed
    pdd_more_s: float = 2.0
    pdd_least: int = 10  # calls for a p90
    pdd_memory_s: float = 3600.0  # how slowly its own PDD follows
    refused_s: float = 60.0  # a refusal for its own limit is spoken of so long
    pause_s: float = 5.0  # stopped: the first pause; doubles
    pause_max_s: float = 300.0
    probes: int = 5  # counted calls; one of them may fail
    return_share: float = 0.2  # of its rate, when it is back; the rest comes by and by
    forget_s: float = 600.0  # well for so long: the next pause is the first again

    @classmethod
    def of(cls, numbers: Numbers) -> Rules:
        """The rules with a platform's numbers."""
        return cls(
            window_s=numbers.health_window_s,
            quiet_s=numbers.health_quiet_s,
            stop_share=numbers.health_stop_share,
            slow_share=numbers.health_slow_share,
            pause_s=numbers.health_pause_s,
            pause_max_s=numbers.health_pause_max_s,
            probes=numbers.health_probes,
            forget_s=numbers.health_forget_s,
            refused_s=numbers.slow_recover_s,
        )
