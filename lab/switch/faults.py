"""Faults from a seed, switched on by `api lab fault ...` or at the start."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, fields

SHUFFLE_S = 0.03  # so much later, a shuffled event comes after those that follow it


@dataclass(slots=True)
class FaultRates:
    """Probabilities 0..1 per reply, event or CDR; times in seconds."""

    swallow_replies: float = 0.0
    drop_events: float = 0.0
    duplicate_events: float = 0.0
    delay_events: float = 0.0
    shuffle_events: float = 0.0
    drop_cdrs: float = 0.0
    max_delay_s: float = 0.5
    slow_originate_s: float = 0.0


@dataclass(slots=True)
class Faults:
    """`ignored`: commands answered `+OK` and not done."""

    rng: random.Random
    rates: FaultRates = field(default_factory=FaultRates)
    ignored: set[str] = field(default_factory=set)
    swallow_next: int = 0

    def set(self, name: str, value: float) -> None:
        """Raises ValueError naming what exists."""
        known = [f.name for f in fields(FaultRates)]
        if name not in known:
            raise ValueError(f"unknown fault {name!r}; known: {', '.join(known)}")
        setattr(self.rates, name, value)

    def clear(self) -> None:
        self.rates = FaultRates()
        self.ignored.clear()
        self.swallow_next = 0

    def _hit(self, rate: float) -> bool:
        return rate > 0 and self.rng.random() < rate

    def swallow_reply(self) -> bool:
        if self.swallow_next > 0:
            self.swallow_next -= 1
            return True
        return self._hit(self.rates.swallow_replies)

    def ignore_command(self, name: str) -> bool:
        return name.lower() in self.ignored

    def originate_delay(self) -> float:
        return self.rates.slow_originate_s

    def lose_cdr(self) -> bool:
        """Neither posted nor left on disk."""
        return self._hit(self.rates.drop_cdrs)

    def events(self, frame: bytes) -> list[tuple[float, bytes]]:
        """What really goes to the client, with the delay of each."""
        rates = self.rates
        if not (rates.drop_events or rates.duplicate_events or rates.delay_events or rates.shuffle_events):
            return [(0.0, frame)]
        if self._hit(rates.drop_events):
            return []
        delay = self.rng.uniform(0, rates.max_delay_s) if self._hit(rates.delay_events) else 0.0
        if self._hit(rates.shuffle_events):
            delay += SHUFFLE_S
        out = [(delay, frame)]
        if self._hit(rates.duplicate_events):
            out.append((delay, frame))
        return out
