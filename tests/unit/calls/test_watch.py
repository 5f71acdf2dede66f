"""The rules of who watches, one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from calls import watch
from calls.causes import classify
from calls.evidence import End, Outcome, RetryClass, Source, State
from calls.watch import Look, Probed

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ATTEMPT = UUID(int=1)


@pytest.mark.parametrize(
    ("state", "rang", "answered", "outcome", "retry"),
    [
        (State.DIALING, False, False, Outcome.FAILED, RetryClass.UNKNOWN),
        (State.RINGING, True, False, Outcome.NO_ANSWER, RetryClass.NO_ANSWER),
        (State.EARLY, True, False, Outcome.NO_ANSWER, RetryClass.NO_ANSWER),
        (State.IN_PROGRESS, True, True, Outcome.COMPLETED, RetryClass.ANSWERED),
    ],
)
def test_what_silence_means(state: State, rang: bool, answered: bool, outcome: Outcome, retry: RetryClass) -> None:
    at = NOW - timedelta(seconds=40)
    told = watch.silent(
        ATTEMPT, state, NOW, ringing_at=at if rang else None, early_at=None, answered_at=at if answered else None
    )
    assert told.end is not None
    verdict = classify(told.end)
    assert (told.source, verdict.outcome, verdict.retry_class) == (Source.WATCHDOG, outcome, retry)
    assert verdict.uncertain is not answered


def test_the_switch_is_asked_twice_before_silence_is_an_end() -> None:
    assert [watch.may_conclude(probes) for probes in range(4)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("believed", "far", "comes_to"),
    [
        (State.DIALING, None, Probed.ABSENT),
        (State.DIALING, State.RINGING, Probed.ALIVE),
        (State.EARLY, State.RINGING, Probed.ALIVE),
        (State.RINGING, State.EARLY, Probed.KILL),
        (State.RINGING, State.RINGING, Probed.KILL),
        (State.RINGING, State.DIALING, Probed.KILL),
        (State.IN_PROGRESS, State.IN_PROGRESS, Probed.KILL),
    ],
)
def test_what_an_answer_to_a_probe_comes_to(believed: State, far: State | None, comes_to: Probed) -> None:
    assert watch.probed(believed, far) is comes_to


@pytest.mark.parametrize(
    ("age_s", "listed", "missed", "doing"),
    [
        (None, True, False, Look.YOUNG),
        (1.9, False, True, Look.YOUNG),
        (2.0, True, False, Look.PRESENT),
        (2.0, True, True, Look.ASK),
        (2.0, False, False, Look.ASK),
    ],
)
def test_how_a_row_is_looked_at(age_s: float | None, listed: bool, missed: bool, doing: Look) -> None:
    assert watch.look(age_s, listed=listed, missed=missed) is doing


@pytest.mark.parametrize(
    ("waited_s", "waits", "backlog", "ripe"),
    [
        (1.1, False, False, False),
        (1.2, False, False, True),
        (60.0, True, False, False),
        (9.9, False, True, False),
        (10.0, False, True, True),
    ],
)
def test_when_a_missing_channel_is_decided_on(waited_s: float, waits: bool, backlog: bool, ripe: bool) -> None:
    assert watch.ripe(waited_s, waits=waits, backlog=backlog) is ripe


@pytest.mark.parametrize(
    ("waited_s", "tombstone", "core_age_s", "cause"),
    [
        (2.0, False, 60, None),  # a command may still sit in a lost link's socket
        (3.0, False, 60, "never_sent"),
        (2.0, True, 60, "lost"),
        (2.0, False, 5, "lost"),  # its tombstones went with the old switch
        (9.0, False, None, "lost"),
    ],
)
def test_what_a_missing_channel_means(waited_s: float, tombstone: bool, core_age_s: int | None, cause: str | None) -> None:
    since = None if core_age_s is None else NOW - timedelta(seconds=core_age_s)
    claimed = NOW - timedelta(seconds=10)
    found = watch.absent(waited_s, tombstone=tombstone, claimed_at=claimed, core_since=since, grace_s=3.0)
    assert found == cause


@pytest.mark.parametrize(
    ("cause", "outcome"), [("never_sent", (RetryClass.NOT_SENT, True)), ("lost", (RetryClass.UNKNOWN, False))]
)
def test_only_what_was_never_sent_is_dialed_again(cause: str, outcome: tuple[RetryClass, bool]) -> None:
    told = watch.gone(ATTEMPT, cause, NOW, ringing_at=None, answered_at=None, requested_by=None, restarted=False)
    assert told.end is not None
    assert (classify(told.end).retry_class, told.end.local) == outcome


@pytest.mark.parametrize(
    ("row", "far", "ends"),
    [
        ("ended", State.RINGING, True),
        ("ended", State.DIALING, True),
        ("ended", State.IN_PROGRESS, False),
        ("ended", None, False),
        ("ringing", State.RINGING, False),
        (None, State.RINGING, False),
    ],
)
def test_which_stray_channel_is_hung_up(row: str | None, far: State | None, ends: bool) -> None:
    assert watch.must_end(row, far) is ends


def test_a_stray_channel_is_looked_at_twice() -> None:
    assert [watch.stray(s, waits=w) for s, w in ((1.1, False), (1.2, False), (9.0, True))] == [False, True, False]


def test_only_an_ended_attempts_lease_is_a_leak() -> None:
    assert [watch.leaked(row) for row in (None, "ended", "queued", "dialing")] == [True, True, False, False]


@pytest.mark.parametrize(
    ("known", "lasts"),
    [
        ({"cause": "never_sent", "local": True}, 0.0),
        ({"cause": "lost", "note": watch.SWITCH_RESTARTED}, 300.0),
        ({"cause": "NO_ANSWER"}, 6.0),  # no 1xx: the INVITE is still being sent
        ({"cause": "NO_ANSWER", "early_at": NOW}, None),
        ({"cause": "USER_BUSY", "sip_code": 486}, None),
    ],
)
def test_how_long_a_channel_goes_on_counting(known: dict[str, Any], lasts: float | None) -> None:
    assert watch.linger_s(End(at=NOW, **known), sip_death_s=6.0, crash_linger_s=300.0) == lasts
