"""What the API answers, typed. ``raw`` holds all of it, also what this version of the client has no name for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

T = TypeVar("T", bound="Model")

#: Statuses in which nothing happens to a call any more.
FINAL = frozenset({"completed", "failed", "no_answer", "busy", "canceled", "expired", "blocked"})


@dataclass(frozen=True, kw_only=True)
class Model:
    """Made of an answer by :meth:`of`; a member the answer lacks is None."""

    raw: Mapping[str, Any]

    @classmethod
    def of(cls: type[T], told: Mapping[str, Any]) -> T:
        """The typed form of ``told``."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            if field.name != "raw":
                value = told.get(field.name.rstrip("_"))
                values[field.name] = _moment(value) if "datetime" in str(field.type) else value
        return cls(raw=told, **values)


def _moment(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None


@dataclass(frozen=True, kw_only=True)
class Call(Model):
    """A call and what is known of it. Times are aware, in UTC."""

    id: str
    status: str
    status_at: datetime
    direction: str
    to: str
    from_: str
    agent_id: str
    priority: str
    end_reason: str | None
    hangup_by: str | None
    answered_by: str | None
    sip_code: int | None
    q850_cause: int | None
    attempt_count: int
    max_attempts: int
    created_at: datetime
    due_at: datetime
    expires_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    client_reference: str | None
    metadata: Mapping[str, Any]
    sequence: int

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return self.status in FINAL


@dataclass(frozen=True, kw_only=True)
class PlacedBatch(Model):
    """What became of every row of a batch, in order: each of ``calls`` has a ``call_id``, or ``errors``."""

    id: str
    accepted: int
    refused: int
    created_at: datetime
    calls: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Batch(Model):
    """A batch and where its calls are: so many by status, and of those that ended by end_reason."""

    id: str
    accepted: int
    refused: int
    created_at: datetime
    canceled_at: datetime | None
    statuses: Mapping[str, int]
    end_reasons: Mapping[str, int]
    ended: int


@dataclass(frozen=True, kw_only=True)
class Attempt(Model):
    """One dial of a call; ``id`` is the channel on the switch and the SIP Call-ID at the carrier."""

    id: str
    number: int
    state: str
    outcome: str | None
    end_reason: str | None
    cause: str | None
    q850_cause: int | None
    sip_code: int | None
    sip_phrase: str | None
    hangup_by: str | None
    dialed_at: datetime | None
    ringing_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Event(Model):
    """One thing that was seen or decided."""

    id: str
    type: str
    source: str
    at: datetime
    recorded_at: datetime
    attempt_id: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Action(Model):
    """Something that was asked of a call, and what came of it."""

    id: str
    type: str
    requested_by: str
    status: str
    result: str | None
    leg_call_id: str | None
    created_at: datetime
    done_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Agent(Model):
    """Who talks to whoever answers."""

    id: str
    name: str
    kind: str
    url: str | None
    audio: str | None
    runtime: Mapping[str, Any] | None
    paused: bool
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Place(Model):
    """A queued call's place: ``position`` 1 is next, "1000+" beyond that, None not in line."""

    position: int | str | None
    eta_s: Mapping[str, float] | None
    blocked_by: Mapping[str, Any] | None
    due_at: datetime
    as_of: datetime


@dataclass(frozen=True, kw_only=True)
class Limit(Model):
    """One limit of the account; ``current`` None: not known."""

    scope: str
    name: str
    unit: str
    max: float | None
    current: float | None


@dataclass(frozen=True, kw_only=True)
class Recording(Model):
    """One recording; ``url`` is where the WAV file is to be had until ``url_expires_at``, without a key."""

    id: str
    attempt_id: str
    state: str
    failure: str | None
    duration_ms: int | None
    sha256: str | None
    url: str | None
    url_expires_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Result(Model):
    """What the agent of an attempt handed in. What was said is None where it was erased, or is not shown to this key."""

    attempt_id: str
    agent_id: str
    outcome: str
    summary: str | None
    data: Mapping[str, Any] | None
    transcript: Sequence[Mapping[str, Any]] | None
    latencies: Sequence[Mapping[str, Any]] | None
    tool_calls: Sequence[Mapping[str, Any]] | None
    recording_parts: Sequence[Mapping[str, Any]] | None
    turn_count: int
    tool_call_count: int
    received_at: datetime
    retention_until: datetime
    erased_at: datetime | None


@dataclass(frozen=True)
class Record:
    """A call with all that belongs to it. ``events``: type, source, count, first_at, last_at of each type. ``said``: whether
    this key is shown what was said.
    """

    call: Call
    attempts: Sequence[Attempt]
    events: Sequence[Mapping[str, Any]]
    recordings: Sequence[Recording]
    results: Sequence[Result]
    said: bool

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Record:
        """The typed form of ``told``."""
        return cls(
            Call.of(told["call"]),
            [Attempt.of(one) for one in told["attempts"]],
            told["events"],
            [Recording.of(one) for one in told["recordings"]],
            [Result.of(one) for one in told["results"]],
            told["said"],
        )
