"""What really became of each call, from the carriers' raw arrival logs alone, and whether the API tells the same.

Nothing here asks Trunkline: a leg is what the carrier's socket received and sent under one Call-ID.
"""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lab.judge import Record, judge, read_log

#: Ends that admit that nobody saw the end.
UNKNOWN = frozenset({"lost", "carrier_silence", "end_not_seen"})
#: Ends that say that nothing left the switch: such an attempt may have no INVITE.
UNSENT = frozenset({"not_sent", "switch_local", "expired", "blocked"})
#: Ends that say that the platform hung up because of its agent or its audio.
OURS = frozenset({"agent_unavailable", "agent_lost", "media_lost"})
#: (outcome, end_reason) by the carrier's final refusal.
REFUSED = {
    404: ("failed", "bad_number"),
    480: ("no_answer", "unavailable"),
    486: ("busy", "busy"),
    503: ("failed", "carrier_fault"),
    603: ("failed", "declined"),
}
#: What the carrier's own words make of it.
WORDED = {"CPS limit exceeded": ("failed", "carrier_capacity"), "Channel limit exceeded": ("failed", "carrier_capacity")}


@dataclass
class Leg:
    """One Call-ID at a carrier. Times are the log's, nanoseconds since 1970."""

    call_id: str
    carrier: str
    number: str
    invited_at: int
    invites: int = 0  # transactions; retransmissions are none
    rang_at: int | None = None
    answered_at: int | None = None
    refused: int | None = None  # the final answer that was no 200
    phrase: str = ""  # its reason phrase
    canceled: bool = False  # our CANCEL arrived
    bye: bool = False  # our BYE arrived
    ended_at: int | None = None
    why: str = ""  # "bye sent": the callee hung up; "bye received": we did
    peer: str = ""  # HOST:PORT of the switch that sent the INVITE

    @property
    def rings(self) -> bool:
        """At the end of the log it rang and nothing more."""
        return self.rang_at is not None and self.answered_at is None and self.ended_at is None

    @property
    def talks(self) -> bool:
        """At the end of the log it was answered and goes on."""
        return self.answered_at is not None and self.ended_at is None

    def __str__(self) -> str:
        def after(at: int | None) -> str:
            return "-" if at is None else f"+{(at - self.invited_at) / 1e9:.2f}"

        return (
            f"{self.number}: {self.invites} INVITE, rang {after(self.rang_at)}, answered {after(self.answered_at)}, "
            f"refused {self.refused}, our CANCEL {self.canceled}, our BYE {self.bye}, "
            f"ended {after(self.ended_at)} {self.why}"
        )


@dataclass(frozen=True)
class Allowed:
    """What may differ from the carrier's truth, because of what was killed."""

    unseen: bool = False  # events may have been lost for good: an end may be one of UNKNOWN
    ours: bool = False  # agent or relay died: the platform may have hung up


def legs(*logs: pathlib.Path) -> dict[str, Leg]:
    """Every leg of these arrival logs by Call-ID."""
    found: dict[str, Leg] = {}
    for path in logs:
        for record in read_log(path):
            if "call_id" in record:
                _take(found, record, path.stem)
    return found


def _take(found: dict[str, Leg], record: Record, carrier: str) -> None:
    call_id, at = str(record["call_id"]), int(record["t"])
    leg = found.setdefault(call_id, Leg(call_id, carrier, record["number"], at))
    match record["k"]:
        case "invite":
            leg.invites += 1
            leg.peer = record.get("peer", "")
        case "progress":
            leg.rang_at = leg.rang_at or at
        case "answer":
            leg.answered_at = at
        case "final":
            leg.refused, leg.phrase = record["status"], record.get("reason", "")
        case "cancel":
            leg.canceled = True
        case "bye":
            leg.bye = True
        case "end":
            leg.ended_at, leg.why = at, record["why"]


def differences(calls: Iterable[Mapping[str, Any]], seen: Mapping[str, Leg], allowed: Allowed) -> list[str]:
    """Where the API (`calls`: bodies with their ``attempts``) and the carriers (`seen`) do not tell the same."""
    wrong: list[str] = []
    invites: Counter[str] = Counter()
    for leg in seen.values():
        invites[leg.number] += leg.invites
    for call in calls:
        attempts = call["attempts"]
        for attempt in attempts:
            dialed = seen.get(attempt["id"])
            complaint = _complaint(call, attempt, dialed, allowed)
            if complaint:
                told = (attempt["state"], attempt["outcome"], attempt["end_reason"], attempt["hangup_by"])
                wrong.append(f"{call['id']} attempt {attempt['id']} {told}: {complaint}; carrier: {dialed}")
        if (call["status"], call["end_reason"]) != (attempts[-1]["outcome"], attempts[-1]["end_reason"]):
            wrong.append(f"{call['id']} is {call['status']} {call['end_reason']}, its last attempt {attempts[-1]}")
        wrong += _count(call, invites[call["to"]])
    return wrong


def _count(call: Mapping[str, Any], invites: int) -> list[str]:
    """By number, which is this call's alone: as many INVITEs as attempts, those without an INVITE proven or unknown."""
    sent = [a for a in call["attempts"] if not _unsent(a)]
    certain = [a for a in sent if a["end_reason"] not in UNKNOWN]
    if len(certain) <= invites <= len(sent):
        return []
    return [f"{call['id']}: {invites} INVITEs to {call['to']} for {len(sent)} attempts, {len(certain)} of them certain"]


def _unsent(attempt: Mapping[str, Any]) -> bool:
    return attempt["end_reason"] in UNSENT or attempt["dialed_at"] is None


def _complaint(call: Mapping[str, Any], attempt: Mapping[str, Any], leg: Leg | None, allowed: Allowed) -> str:
    """What is wrong with one attempt, or nothing."""
    outcome, reason = attempt["outcome"], attempt["end_reason"]
    unseen = allowed.unseen and reason in UNKNOWN
    if attempt["state"] != "ended":
        return "has not ended"
    if leg is None:
        if outcome == "completed":
            return "completed without an INVITE"
        return "" if _unsent(attempt) or unseen else "no INVITE, and not said to be unsent"
    if _unsent(attempt):
        return "said to be unsent, and there was an INVITE"
    if leg.invites != 1:
        return f"{leg.invites} INVITEs under one Call-ID"
    if leg.number != call["to"]:
        return "another call's number"
    crossed = leg.canceled and attempt["uncertain"]  # our CANCEL and the carrier's last word met on the way
    if leg.answered_at is not None:
        if outcome != "completed":
            return "" if unseen or crossed else "was answered"
        return _who(attempt, leg)
    if outcome == "completed":
        return "was never answered"
    if unseen or crossed:
        return ""
    meant = WORDED.get(leg.phrase) or REFUSED.get(leg.refused or 0)
    if meant is not None:
        return "" if (outcome, reason) == meant else f"the carrier said {leg.refused}"
    if leg.refused == 487 and leg.canceled:
        return (
            ""
            if reason in ("canceled", "no_answer") or (allowed.ours and reason in OURS)
            else "we hung up, for no such reason"
        )
    return "the carrier still has it" if leg.ended_at is None else f"the carrier said {leg.refused}"


def _who(attempt: Mapping[str, Any], leg: Leg) -> str:
    """Who hung up an answered call; both may have done so at once."""
    by, both = attempt["hangup_by"], leg.bye and leg.why == "bye sent"
    if attempt["end_reason"] in UNKNOWN or both or leg.ended_at is None:
        return ""
    if leg.why == "bye sent" and by != "callee":
        return "the callee hung up"
    return "we hung up" if leg.why == "bye received" and by not in ("agent", "customer", "operator", "platform") else ""


def broken_limits(log: pathlib.Path, *, cps: int, channels: int, since_ns: int = 0) -> list[str]:
    """Every way in which the arrivals since then break what the carrier allows, each with the arrivals around it."""
    verdict = judge((r for r in read_log(log) if r["t"] >= since_ns), cps=cps, channels=channels)
    wrong = list(verdict.violations)
    if set(verdict.verdicts) - {"admitted"}:
        wrong.append(f"the carrier refused: {verdict.verdicts}")
    if wrong:
        at = int((verdict.peak_invites_at if verdict.peak_invites > cps else verdict.peak_channels_at) * 1e9)
        around = [r for r in read_log(log) if r["k"] == "invite" and abs(r["t"] - at) < 2_000_000_000]
        wrong.append(" ".join(f"{clock(r['t'])}/{r['call_id'][-6:]}" for r in around))
    return wrong


def clock(at_ns: int) -> str:
    """A log's time as the processes' logs write it."""
    return f"{datetime.fromtimestamp(at_ns / 1e9, UTC):%M:%S.%f}"


def strangers(seen: Mapping[str, Leg], calls: Iterable[Mapping[str, Any]]) -> list[str]:
    """Legs whose Call-ID is no attempt of these calls, and Call-IDs or numbers with more than their share."""
    ours = {attempt["id"]: call["to"] for call in calls for attempt in call["attempts"]}
    sent = Counter(ours.values())
    wrong = [f"no attempt of ours: {leg.call_id} {leg}" for leg in seen.values() if ours.get(leg.call_id) != leg.number]
    got: Counter[str] = Counter()
    for leg in seen.values():
        got[leg.number] += leg.invites
    return wrong + [f"{to}: {n} INVITEs for {sent[to]} attempts" for to, n in got.items() if n > sent[to]]
