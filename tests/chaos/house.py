"""The house that is to be upset: three carriers, two switches, every process of the Procfile, two tenants with webhooks."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass

from settings import Settings
from trunkline.stack import LabCarrier, Route, Stack

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: Three digits behind +1 that lead to each carrier.
AREAS = {"large": "415", "middle": "212", "small": "646"}
#: What becomes of a call, by chance of the seed: talks, busy lines, no answer, numbers that do not exist; and at the small
#: carrier what only carriers do.
COMMON = "answered_hangup=9,busy=6,unknown_number=2,no_answer=1,unavailable=1"
ODD = "answered_hangup=8,busy=5,fault=2,cps_limit=1,declined=1"
#: s; so short that calls are tried again while the run lasts. Those the settings do not know are left out.
TIMERS = {
    "retry_busy_s": "1",
    "retry_no_answer_s": "1",
    "retry_carrier_s": "1",
    "retry_capacity_s": "1",
    "ring_timeout_s": "5",
    "ring_grace_s": "2",
    "pdd_s": "5",
    "probe_grace_s": "2",
    "reconcile_interval_s": "2",
    "audit_interval_s": "2",
    "slow_recover_s": "3",
    "webhook_timeout_s": "2",
    "max_duration_s": "60",
    # The switches share two cores with twenty other processes, each of which works a lot while it starts again.
    "switch_jitter_ms": "180",
    "jitter_ms": "200",
}


@dataclass(frozen=True)
class Form:
    """How large a run is. ``cps`` and ``channels`` by carrier; ``settle_s``: rest of the house between two disturbances."""

    calls: int
    cps: Mapping[str, int]
    channels: Mapping[str, int]
    settle_s: float

    @property
    def total_cps(self) -> int:
        return sum(self.cps.values())


def full(calls: int) -> Form:
    """As fast as two switches, their carriers and all the rest go on two cores."""
    return Form(calls, {"large": 14, "middle": 8, "small": 5}, {"large": 30, "middle": 14, "small": 10}, settle_s=3.0)


def short(calls: int = 300) -> Form:
    """Slow carriers, so that a few hundred calls last as long as all the disturbances take."""
    return Form(calls, {"large": 4, "middle": 3, "small": 2}, {"large": 9, "middle": 6, "small": 4}, settle_s=0.5)


def environ(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The timers as the processes' environment."""
    known = {f"TRUNKLINE_{name.upper()}": value for name, value in TIMERS.items() if name in Settings.model_fields}
    return {**known, **(changes or {})}


def build(form: Form, seed: int) -> Stack:
    """Not started yet; what dies is started again by its ``tend()``."""
    lab = [
        LabCarrier(
            name,
            channels=form.channels[name],
            cps=form.cps[name],
            mix=ODD if name == "small" else COMMON,
            ring="0.2:0.9",
            talk="0.4:2.5",
            options=("--no-magic",),
        )
        for name in AREAS
    ]
    routes = [Route(name, (f"1{area}",), (name,)) for name, area in AREAS.items()]
    return Stack(ROOT, lab, routes, environ=environ(), seed=seed, private=True, restart=True, switches=2, standby=True)
