"""The simulated SIP carrier."""

from __future__ import annotations

from lab.carrier.outcomes import BY_NAME, MAGIC, Mix, Outcome
from lab.carrier.server import Carrier, CarrierConfig

__all__ = ["BY_NAME", "MAGIC", "Carrier", "CarrierConfig", "Mix", "Outcome"]
