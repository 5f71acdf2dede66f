"""The lab's stories are those that a real switch told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from uuid import UUID

import pytest

from calls.evidence import End, Evidence, State
from calls.lifecycle import AttemptFacts, fold
from controller.evidence import LocalRefusal, from_event
from lab.stories import SHAPES, Shape, draw
from tests.esl.traces import events

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
ATTEMPT = UUID(int=7)


def told(trace: str) -> tuple[End, list[State]]:
    """The end that a recording gives, and which states were seen before it."""
    seen = [one for event in events(trace) if (one := from_event(event)) is not None]
    live = [one for one in seen if isinstance(one, Evidence)]
    ends = [one.end for one in live if one.end is not None]
    if not ends:
        (refusal,) = [one for one in seen if isinstance(one, LocalRefusal)]
        assert refusal.evidence.end is not None
        return refusal.evidence.end, []
    return ends[-1], [one.state for one in live if one.end is None]


def timeless(end: End) -> End:
    return replace(end, at=BEGAN, ringing_at=None, early_at=None, answered_at=None)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.trace}{' crossed' if shape.crossed else ''}")
def test_a_shape_is_what_the_recording_says(shape: Shape) -> None:
    end, states = told(shape.trace)
    random = Random(1)
    story = next(s for s in iter(lambda: draw(random, ring_timeout_s=30, pdd_s=25), None) if s.shape == shape)
    ours = story.end(BEGAN)
    assert timeless(ours) == timeless(end)
    for name in ("ringing_at", "early_at", "answered_at"):
        assert (getattr(ours, name) is None) is (getattr(end, name) is None), name
    assert [state for state, _ in story.states()] == states


def test_times_are_in_order_and_the_same_for_a_seed() -> None:
    stories = [draw(Random(seed), ring_timeout_s=30, pdd_s=25) for seed in range(500)]
    assert stories == [draw(Random(seed), ring_timeout_s=30, pdd_s=25) for seed in range(500)]
    for story in stories:
        times = [us for _, us in story.states()] + [story.end_us]
        assert times == sorted(times)
    assert {story.shape for story in stories} == set(SHAPES)


def test_the_last_event_alone_says_all_of_it() -> None:
    for seed in range(100):
        seen = draw(Random(seed), ring_timeout_s=30, pdd_s=25).seen(ATTEMPT, BEGAN, str)
        assert fold(AttemptFacts(), seen) == fold(AttemptFacts(), seen[-1:])
