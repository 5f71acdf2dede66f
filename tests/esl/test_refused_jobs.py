"""What the job of an originate says where no channel does: refused, by whom, and whether that is certain."""

from __future__ import annotations

from uuid import UUID

import pytest

from calls.evidence import Source
from controller.evidence import LocalRefusal, from_event
from controller.frames import Event
from tests.esl import traces

A = UUID("f3280cf2-59b3-4d51-b8d1-b6d6f408f532")


def refused(name: str) -> list[LocalRefusal]:
    return [e for e in map(from_event, traces.events(name)) if isinstance(e, LocalRefusal)]


@pytest.mark.parametrize(
    ("name", "cause", "certain", "local"),
    [
        ("gateway_refuses_connection", "GATEWAY_DOWN", True, True),
        ("unknown_gateway", "INVALID_GATEWAY", True, True),
        ("busy", "USER_BUSY", False, False),
        ("no_answer_timeout", "NO_ANSWER", False, False),
    ],
)
def test_refused_originates(name: str, cause: str, certain: bool, local: bool) -> None:
    (refusal,) = refused(name)
    assert (refusal.cause, refusal.certain) == (cause, certain)
    end = refusal.evidence.end
    assert end is not None
    assert (end.local, end.cause) == (local, cause)
    # Below what the channel itself says, if there was one.
    assert refusal.evidence.source is Source.RECONCILE


def test_refused_duplicate() -> None:
    """The recorded job had an id that is no UUID, so it is nobody's; ours carries the attempt's."""
    assert refused("duplicate_uuid_and_queries") == []
    event = next(e for e in traces.events("duplicate_uuid_and_queries") if str(e.get("Job-UUID", "")).startswith("dup-"))
    refusal = from_event({**event, "Job-UUID": str(A)})
    assert isinstance(refusal, LocalRefusal)
    assert (refusal.cause, refusal.certain) == ("DESTINATION_OUT_OF_ORDER", False)
    assert refusal.evidence.end is not None
    assert refusal.evidence.end.local


def job_event(body: str, **changes: str) -> Event:
    return {
        "Event-Name": "BACKGROUND_JOB",
        "Core-UUID": "1142e8e8-df76-4288-91f5-9c9ddd72d6f0",
        "Event-Sequence": "5",
        "Event-Date-Timestamp": "1795217444654400",
        "Job-UUID": str(A),
        "Job-Command": "originate",
        "_body": body,
        **changes,
    }


@pytest.mark.parametrize(
    ("body", "cause", "certain"),
    [
        ("-ERR GATEWAY_DOWN\n", "GATEWAY_DOWN", True),
        ("-USAGE: <call url> <exten>\n", "usage", True),
        ("-ERR originate Command not found!\n", "usage", True),
        ("-ERR bad'word\n", "usage", True),
        ("-ERR SOMETHING_NEW\n", "SOMETHING_NEW", False),
    ],
)
def test_job_texts(body: str, cause: str, certain: bool) -> None:
    refusal = from_event(job_event(body))
    assert isinstance(refusal, LocalRefusal)
    assert (refusal.cause, refusal.certain) == (cause, certain)


def test_jobs_that_say_nothing() -> None:
    assert from_event(job_event(f"+OK {A}\n")) is None
    assert from_event(job_event("-ERR NO_ANSWER\n", **{"Job-Command": "uuid_broadcast"})) is None
    assert from_event(job_event("-ERR NO_ANSWER\n", **{"Job-UUID": "x"})) is None
