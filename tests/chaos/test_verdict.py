"""The verdict of a run can find fault: webhooks that are missing, told twice, or tell two ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.faults import Fault, Planned
from tests.chaos.webhooks import Told, hear

CALL = {"id": "call_1", "status": "busy", "sequence": 3}


def told(*types: str, status: str = "busy") -> list[Told]:
    """One delivery for each, in sequence; the last one tells `status`."""
    return [
        Told(f"w{n}", "call_1", n, f"call.{kind}", status if n == len(types) else "dialing")
        for n, kind in enumerate(types, 1)
    ]


GOOD = told("queued", "dialing", "busy")


def test_what_is_right_is_no_fault() -> None:
    heard = hear([CALL], [*reversed(GOOD), GOOD[1]])
    assert heard.wrong == []
    assert (heard.deliveries, heard.repeated) == (4, 1)
    corrected = {**CALL, "status": "completed", "sequence": 4}
    assert hear([corrected], told("queued", "dialing", "busy", "corrected", status="completed")).wrong == []


@pytest.mark.parametrize(
    ("call", "got", "complaint"),
    [
        (CALL, GOOD[:2], "sequences [1, 2]"),
        (CALL, GOOD[1:], "sequences [2, 3]"),
        (CALL, [], "nothing was told"),
        (CALL, [*GOOD, replace(GOOD[2], id="w9")], "sequences [1, 2, 3, 3]"),
        (CALL, [*GOOD, replace(GOOD[2], status="failed")], "and then"),
        ({**CALL, "sequence": 4}, told("queued", "busy", "dialing", "failed"), "2 ends"),
        ({**CALL, "sequence": 4}, told("queued", "dialing", "busy", "ringing"), "after its end"),
        (CALL, told("queued", "dialing", "ringing"), "0 ends"),
        ({**CALL, "status": "completed"}, GOOD, "the API says completed"),
        (CALL, [*GOOD, Told("x", "call_2", 1, "call.queued", "queued")], "unknown to the API"),
    ],
)
def test_what_is_wrong_is_named(call: dict[str, Any], got: list[Told], complaint: str) -> None:
    assert complaint in "\n".join(hear([call], got).wrong)


def test_a_disturbance_touches_what_was_up_during_it() -> None:
    fault = Fault(Planned("controller"), 10_000_000_000, 12_000_000_000)
    assert fault.touches(0, 9_500_000_000, 1.0)
    assert fault.touches(12_900_000_000, 20_000_000_000, 1.0)
    assert not fault.touches(0, 8_900_000_000, 1.0)
    assert not fault.touches(13_100_000_000, 20_000_000_000, 1.0)
