"""Tripled and shuffled evidence gives the rows of the same evidence in order; lost evidence never gives a wrong end.

The same as ``python -m bench shuffle``, which does it with 10,000 calls.
"""

from __future__ import annotations

from bench.shuffle import measure
from trunkline.servers import Server

CALLS = 160


def test_shuffled_evidence_gives_the_same_rows_and_lost_evidence_no_wrong_one(postgres: Server) -> None:
    report = measure(postgres.url, CALLS, seed=11)
    assert {ratio.name: ratio.value for ratio in report.ratios} == {"equal": 1.0, "wrong": 1.0, "webhooks": 1.0}, (
        report.facts
    )
    # The stories were of use: some calls were tried again, and some ends were lost for good.
    assert int(report.facts["attempts"]) > CALLS
    assert "by watchdog" in str(report.facts["both_lost"])
    assert "by cdr" in str(report.facts["events_lost"])
