"""Whether calls of test keys have a laboratory to go to."""

from __future__ import annotations

from store.test_lab import Laboratory
from trunkline.doctor.finding import Finding, ok, warn


def judge_laboratory(seen: Laboratory) -> list[Finding]:
    """Nothing is said of a house without test keys and without a laboratory."""
    about = "test keys"
    if not seen.keys and not seen.routed:
        return []
    if not seen.routed:
        return [warn(about, f"{seen.keys} in force, and no laboratory: their calls are refused", "trunkline lab setup")]
    if seen.keys and not seen.switches:
        what = f"{seen.keys} in force, and no laboratory switch was heard of lately: their calls wait and expire"
        return [warn(about, what, "start the processes of Procfile.lab; docs/test-keys.md")]
    return [ok(about, f"{seen.keys} in force; laboratory switches in service: {seen.switches}")]
