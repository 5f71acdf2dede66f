"""The environment's own names: one that is written wrongly sets nothing, and nobody would hear of it."""

from __future__ import annotations

from collections.abc import Iterable

from settings import Settings, environment_name
from trunkline.doctor.finding import Finding, warn

#: Read by one program of ours each, and no settings of the house.
_OTHERS = frozenset(
    f"TRUNKLINE_{name}" for name in ["AGENT_LISTEN", "AGENT_SECRET", "API", "API_KEY", "CRASH_AT", "LAB_CARRIER", "LAB_SIP"]
)
#: Passwords of carriers, named by their rows; switches for tests and benches.
_BEGIN = ("TRUNKLINE_SECRET_", "TRUNKLINE_BENCH_", "TRUNKLINE_CONFORM_", "TRUNKLINE_CHAOS")


def judge_names(names: Iterable[str]) -> list[Finding]:
    """``names``: of the environment's variables."""
    known = _OTHERS | {environment_name(name) for name in Settings.model_fields}
    odd = sorted(
        name for name in names if name.startswith("TRUNKLINE_") and name not in known and not name.startswith(_BEGIN)
    )
    if not odd:
        return []
    what = f"sets {', '.join(odd)}, which nothing reads"
    return [warn("environment", what, "write it as 'trunkline settings' does, or take it out")]
