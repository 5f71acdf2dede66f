"""What was seen of an attempt: the vocabulary in which the outside speaks to the rules.

An :class:`Evidence` is one thing one witness saw. Ends carry everything the witness knows of the whole attempt
(:class:`End`), its own ring and answer times included, so that an end never depends on which states were seen before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from uuid import UUID


class Source(StrEnum):
    """Who saw it. The end is computed from the best single source: see :data:`SOURCE_RANK`."""

    EVENT = "event"  # the switch's own event, live
    CDR = "cdr"  # the switch's call detail record
    RECONCILE = "reconcile"  # the switch's answer to a question
    WATCHDOG = "watchdog"  # nobody answered by the deadline
    OPERATOR = "operator"  # a human or the platform ended it without asking the switch


#: Higher is better.
SOURCE_RANK: dict[Source, int] = {
    Source.EVENT: 50,
    Source.CDR: 40,
    Source.RECONCILE: 30,
    Source.WATCHDOG: 20,
    Source.OPERATOR: 10,
}


class State(StrEnum):
    """Where an attempt is. Only ever moves up: see :class:`Rank`."""

    QUEUED = "queued"
    DIALING = "dialing"
    EARLY = "early"
    RINGING = "ringing"
    IN_PROGRESS = "in_progress"
    ENDED = "ended"


class Rank(IntEnum):
    """The order of :class:`State`. Early media may be an announcement before any phone rings, so a ring goes beyond it."""

    QUEUED = 0
    DIALING = 20
    EARLY = 25
    RINGING = 30
    IN_PROGRESS = 50
    ENDED = 100

    @classmethod
    def of(cls, state: State) -> Rank:
        return cls[state.name]


class Outcome(StrEnum):
    """How an attempt ended; the values are the call's end statuses."""

    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    BLOCKED = "blocked"


class RetryClass(StrEnum):
    """What the retry policy needs to know of an end; one table (causes.py) fills it."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    DECLINED = "declined"
    BAD_NUMBER = "bad_number"
    CARRIER_CAPACITY = "carrier_capacity"  # proven full trunk, nobody rang: uses up no attempt
    CARRIER_FAULT = "carrier_fault"  # proven fault, nobody rang
    CARRIER_BLOCK = "carrier_block"
    CONFIGURATION = (
        "configuration"  # the trunk is set up wrongly, nobody rang: uses up no attempt, and somebody must mend it
    )
    SWITCH_LOCAL = "switch_local"  # refused inside our own switch: no INVITE left it
    NOT_SENT = "not_sent"  # proven: the originate never reached the switch
    CANCELED = "canceled"
    POLICY = "policy"
    INBOUND = "inbound"  # the caller rang us: there is nothing to repeat
    UNKNOWN = "unknown"  # somebody may have rung; never redialed by default


@dataclass(frozen=True, slots=True)
class End:
    """All that one witness knows about a finished attempt.

    ``cause`` is FreeSWITCH's name (``USER_BUSY``), or a name of ours in lower case where no channel existed
    (``never_sent``, ``carrier_silence``, ``ring_silence``, ``lost``, ``customer_cancel``, ``expired``, ``blocked``).
    ``sip_code`` and ``sip_phrase`` are the carrier's final answer, never the 487 the switch notes for its own CANCEL.
    Give them only from a witness that followed the leg to its end (hangup event, CDR), with the ring times it saw: a code
    without a ring time proves that nobody rang.
    """

    cause: str
    at: datetime
    q850_cause: int | None = None
    sip_code: int | None = None
    sip_phrase: str | None = None
    disposition: str | None = None  # sip_hangup_disposition: recv_bye, send_bye, recv_refuse, send_cancel ...
    ringing_at: datetime | None = None
    early_at: datetime | None = None
    answered_at: datetime | None = None
    local: bool = False  # refused inside the switch, no INVITE was sent
    requested_by: str | None = None  # customer, agent, operator, platform: who asked for the hangup, if anybody did
    note: str | None = None  # why the platform ended it (agent_lost ...), as the relay put it down on the channel
    said: str | None = None  # what its carrier's own list makes of the phrase: a calls.rejects.Means
    inbound: bool = False  # the carrier called us; sip_code is then what the caller was answered


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observation. ``key`` is unique for the observation (core id + event sequence), so duplicates are harmless."""

    attempt_id: UUID
    key: str
    source: Source
    state: State  # DIALING: the channel exists; RINGING 18x; EARLY 183 with media; IN_PROGRESS answered; ENDED
    at: datetime
    end: End | None = None  # exactly with ENDED

    def __post_init__(self) -> None:
        if (self.state is State.ENDED) != (self.end is not None):
            raise ValueError("Evidence.end: give it exactly when state is ENDED")
