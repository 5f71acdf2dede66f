"""How long the parts of a dial took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from calls.timings import NONE, Timings, timings

T0 = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


@dataclass(frozen=True)
class Dial:
    inbound: bool = False
    due_at: datetime = T0
    claimed_at: datetime | None = None
    early_at: datetime | None = None
    ringing_at: datetime | None = None
    answered_at: datetime | None = None
    agent_heard_at: datetime | None = None
    ended_at: datetime | None = None


@pytest.mark.parametrize(
    ("dial", "took"),
    [
        (Dial(), NONE),
        (Dial(claimed_at=at(1.5)), Timings(queue_ms=1500)),
        (Dial(claimed_at=at(1), ringing_at=at(3)), Timings(queue_ms=1000, pdd_ms=2000)),
        (
            Dial(
                claimed_at=at(0),
                early_at=at(1),
                ringing_at=at(2),
                answered_at=at(7),
                agent_heard_at=at(7.25),
                ended_at=at(9),
            ),
            Timings(queue_ms=0, pdd_ms=1000, ring_ms=5000, talk_ms=2000, agent_connect_ms=250),
        ),
        # Only a 183, never answered; no sign but the answer; busy at once.
        (Dial(claimed_at=at(0), early_at=at(1), ended_at=at(4)), Timings(queue_ms=0, pdd_ms=1000, ring_ms=3000)),
        (Dial(claimed_at=at(0), answered_at=at(2)), Timings(queue_ms=0, pdd_ms=2000)),
        (Dial(claimed_at=at(0), ended_at=at(0.5)), Timings(queue_ms=0)),
        # Canceled while it waited.
        (Dial(ended_at=at(5)), NONE),
        # A caller's: nothing was dialed.
        (
            Dial(inbound=True, claimed_at=at(0), ringing_at=at(0), answered_at=at(1), ended_at=at(3)),
            Timings(ring_ms=1000, talk_ms=2000),
        ),
        # Two hosts whose clocks differ measure nothing.
        (Dial(claimed_at=at(2), ringing_at=at(1), answered_at=at(0.5)), Timings(queue_ms=2000)),
    ],
)
def test_what_is_known_is_measured_and_nothing_else(dial: Dial, took: Timings) -> None:
    assert timings(dial) == took
