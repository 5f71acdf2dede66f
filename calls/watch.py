"""The rules of those who watch: what silence means, and what it means that a row and its switch disagree. Pure.

Nobody concludes from what it alone has not heard. The watchdog asks the switch before it ends anything; reconcile looks
twice, and asks for the tombstone, before a row without a channel is ended. jobs/watchdog.py, controller/reconcile.py and the
rehearsal of docs/rehearsal.md run these same functions.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from calls.evidence import End, Evidence, Rank, Source, State

#: Questions to the switch before the watchdog decides without it.
PROBES = 2
#: What it concludes from silence in each state.
SILENCE = {
    State.DIALING: "carrier_silence",
    State.RINGING: "ring_silence",
    State.EARLY: "ring_silence",
    State.IN_PROGRESS: "lost",
}
#: s between reconcile's two rounds; longer than the lag of ``show channels``.
ROUND_S = 1.2
#: s; a row younger than this may not have reached the switch yet.
YOUNG_S = 2.0
#: s; how long events still waiting in the controller may put off a conclusion that does not concern them.
BACKLOG_S = 10.0
#: Noted on the end of an attempt whose switch was restarted under it: no BYE was sent, its carrier may still count it.
SWITCH_RESTARTED = "switch_restarted"


def may_conclude(probes: int) -> bool:
    """Whether silence past the deadline is an end by now; before that the switch is asked."""
    return probes >= PROBES


def silent(
    attempt: UUID,
    state: State,
    now: datetime,
    *,
    ringing_at: datetime | None,
    early_at: datetime | None,
    answered_at: datetime | None,
) -> Evidence:
    """What the watchdog writes of an attempt that nobody has heard of since it came into ``state``."""
    end = End(SILENCE[state], now, ringing_at=ringing_at, early_at=early_at, answered_at=answered_at)
    return Evidence(attempt, f"watchdog:{attempt}", Source.WATCHDOG, State.ENDED, now, end)


def expired(attempt: UUID, now: datetime) -> Evidence:
    """The call's time is over while it waits."""
    return Evidence(attempt, f"expired:{attempt}", Source.OPERATOR, State.ENDED, now, End("expired", now, local=True))


def canceled(attempt: UUID, now: datetime, by: str = "customer") -> Evidence:
    """It was called off while it waited; the same end whoever of several writes it."""
    end = End("customer_cancel", now, requested_by=by)
    return Evidence(attempt, f"cancel:{attempt}", Source.OPERATOR, State.ENDED, now, end)


class Probed(StrEnum):
    """What the switch's answer to the watchdog's question comes to."""

    ABSENT = "absent"  # no channel: reconcile is to look
    ALIVE = "alive"  # further than believed: what it says is recorded
    KILL = "kill"  # truly still there, long after it should have moved on


def probed(believed: State, far: State | None) -> Probed:
    """``far``: how far the channel itself says it is, None: there is none."""
    if far is None:
        return Probed.ABSENT
    return Probed.ALIVE if Rank.of(far) > Rank.of(believed) else Probed.KILL


class Look(StrEnum):
    """What is to be done with a live row while its switch's channels are compared."""

    YOUNG = "young"  # nothing yet
    PRESENT = "present"  # its channel is listed
    ASK = "ask"  # whether it exists is to be asked of the switch


def look(age_s: float | None, *, listed: bool, missed: bool) -> Look:
    """``age_s`` since the claim; ``missed``: events of it may have been missed.

    The list is not believed then: it names a channel up to a second after its end.
    """
    if age_s is None or age_s < YOUNG_S:
        return Look.YOUNG
    return Look.PRESENT if listed and not missed else Look.ASK


def ripe(waited_s: float, *, waits: bool, backlog: bool) -> bool:
    """Whether a row that has been without a channel for so long may be decided on.

    ``waits``: something seen of it is on its way to the row. ``backlog``: other events are, which may concern it.
    """
    return waited_s >= ROUND_S and not waits and not (backlog and waited_s < BACKLOG_S)


def absent(
    waited_s: float, *, tombstone: bool, claimed_at: datetime | None, core_since: datetime | None, grace_s: float
) -> str | None:
    """The cause of a ripe row's end, None while it cannot be told: a command may still sit in a lost link's socket.

    ``core_since``: since when this very process is the switch. A restarted one has lost its tombstones: their absence
    proves nothing then.
    """
    restarted = restarted_under(claimed_at, core_since)
    if not tombstone and not restarted and waited_s < grace_s:
        return None
    return "lost" if tombstone or restarted else "never_sent"


def restarted_under(claimed_at: datetime | None, core_since: datetime | None) -> bool:
    """Whether the switch was another process when the attempt was claimed, or nobody knows."""
    return core_since is None or claimed_at is None or claimed_at < core_since


def gone(
    attempt: UUID,
    cause: str,
    now: datetime,
    *,
    ringing_at: datetime | None,
    answered_at: datetime | None,
    requested_by: str | None,
    restarted: bool,
) -> Evidence:
    """The end of an attempt that has no channel any more. ``requested_by``: whose hangup was under way, if anybody's."""
    end = End(
        cause,
        now,
        local=cause == "never_sent",
        ringing_at=ringing_at,
        answered_at=answered_at,
        requested_by=requested_by,
        note=SWITCH_RESTARTED if restarted else None,
    )
    return Evidence(attempt, f"reconcile:{attempt}", Source.RECONCILE, State.ENDED, now, end)


def stray(waited_s: float, *, waits: bool) -> bool:
    """Whether a channel without a live row has been so for long enough to ask what became of the row."""
    return waited_s >= ROUND_S and not waits


def must_end(row: str | None, far: State | None) -> bool:
    """Whether a stray channel is hung up: its row has ended, so nobody watches it, and it must not ring on.

    A conversation is left alone: the relay carries it, the switch bounds its length, and its hangup will correct the row,
    which ended on weaker evidence than this channel.
    """
    return row == State.ENDED and far is not None and far is not State.IN_PROGRESS


def leaked(row: str | None) -> bool:
    """Whether a lease without a channel is given back: its attempt has ended, or there is none."""
    return row is None or row == State.ENDED


def linger_s(end: End | None, *, sip_death_s: float, crash_linger_s: float) -> float | None:
    """So long after its end the attempt's channel goes on counting at its carrier; None: the carrier's own time.

    After a cancel before any 1xx FreeSWITCH goes on sending that INVITE until timer T1X64.
    """
    if end is None or end.local:
        return 0.0
    if end.note == SWITCH_RESTARTED:
        return crash_linger_s
    heard = end.ringing_at or end.early_at or end.answered_at or end.sip_code
    return None if heard else sip_death_s
