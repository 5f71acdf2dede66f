"""What the carriers' sockets received: INVITE transactions, limits, CANCEL and BYE."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lab.counting import count_over, max_in_window
from lab.judge import Record, judge, read_log

#: (Call-ID, CSeq, branch, request-URI): one INVITE transaction.
Key = tuple[str, int, str, str]


@dataclass(slots=True)
class Seen:
    """One Call-ID at a carrier. `arrived`: when each transaction first reached the socket (ns), lost or not."""

    number: str = ""
    outcome: str = ""
    verdicts: list[str] = field(default_factory=list)
    arrived: dict[Key, int] = field(default_factory=dict)
    rang: bool = False  # an 18x was sent, and one got through
    progress: int = 0
    progress_lost: int = 0
    answered: bool = False
    final: int | None = None
    cancels: int = 0
    byes: set[int] = field(default_factory=set)  # CSeq of BYEs that came
    hung_up: bool = False  # the callee did
    strays: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Wire:
    """A carrier's log, read. `sent`: first arrivals of its INVITE transactions, lost ones too."""

    name: str
    calls: dict[str, Seen]
    sent: list[int]
    retransmissions: int
    lost: int

    @classmethod
    def read(cls, name: str, log: Path) -> Wire:
        calls: dict[str, Seen] = defaultdict(Seen)
        repeated = lost = 0
        for record in read_log(log):
            repeated += record["k"] == "retransmit"
            lost += record["k"] == "lost"
            if "call_id" in record:
                _take(calls[record["call_id"]], record)
        # An OPTIONS of a gateway may get lost as well: it is no call.
        kept = {call_id: seen for call_id, seen in calls.items() if seen.arrived or seen.verdicts or seen.strays}
        for seen in kept.values():
            seen.rang = seen.progress > seen.progress_lost
        return cls(name, kept, [at for seen in kept.values() for at in seen.arrived.values()], repeated, lost)

    def peak(self) -> int:
        """Most INVITE transactions that began in any second, as they were sent."""
        return max_in_window(self.sent, 1.0)[0]

    def challenge_ways_ms(self) -> list[float]:
        """ms from each call's first INVITE to its second, in order of length: what the pacing takes for even."""
        pairs = (sorted(seen.arrived.values()) for seen in self.calls.values())
        return sorted((pair[1] - pair[0]) / 1e6 for pair in pairs if len(pair) == 2)

    def windows_over(self, cps: int) -> int:
        """INVITE transactions that were sent into a second which was full already."""
        return count_over(self.sent, 1.0, cps)


def _take(seen: Seen, record: Record) -> None:
    at = int(record["t"])
    match record["k"]:
        case "invite":
            seen.number = record["number"]
            seen.verdicts.append(record["verdict"])
            if record["verdict"] != "challenged":
                seen.outcome = record["outcome"]
            _first(seen, record, at)
        case "lost" if record["way"] == "in" and record.get("what") == "INVITE":
            seen.number = seen.number or record["number"]
            _first(seen, record, at)
        case "lost" if record["way"] == "out" and record.get("what") in ("180 INVITE", "183 INVITE"):
            seen.progress_lost += 1
        case "progress":
            seen.progress += 1
        case "answer":
            seen.answered = True
        case "final":
            seen.final = record["status"]
        case "cancel":
            seen.cancels += 1
        case "bye":
            seen.byes.add(record["cseq"])
        case "bye_sent":
            seen.hung_up = not record["lost"]
        case "stray":
            seen.strays.append(record["what"])


def _first(seen: Seen, record: Record, at: int) -> None:
    key = (record["call_id"], record["cseq"], record["branch"], record["uri"])
    seen.arrived[key] = min(at, seen.arrived.get(key, at))


def limits(log: Path, cps: int, channels: int) -> list[str]:
    """What of the carrier's limits was broken, as its own admission counted what came through."""
    return judge(log, cps=cps, channels=channels).violations


def signaling(seen: Seen, *, messages: int, lossy: bool) -> Iterable[str]:
    """What is wrong with the SIP of one attempt. `messages`: INVITE transactions that one call takes on this trunk."""
    asked = 2 if seen.outcome == "challenge" else messages
    refused = any(verdict in ("cps", "channels") for verdict in seen.verdicts)
    if len(seen.arrived) != asked and not refused:
        yield f"{len(seen.arrived)} INVITE transactions instead of {asked}"
    if any(uri.partition("@")[0] != f"sip:{seen.number}" for _, _, _, uri in seen.arrived):
        yield f"an INVITE to another address: {sorted(seen.arrived)}"
    ours = seen.answered and not seen.hung_up
    if ours and len(seen.byes) != 1:
        yield f"{len(seen.byes)} BYEs for an answered call that we ended"
    if seen.byes and not seen.answered:
        yield "a BYE for a call that was not answered"
    if seen.cancels and seen.final not in (None, 487) and not seen.answered:
        yield f"a CANCEL, and the carrier had said {seen.final}"
    if seen.final == 487 and not seen.cancels:
        yield "487 without a CANCEL"
    # Lost answers make requests come again, also after the carrier has forgotten the call.
    if seen.strays and not lossy:
        yield f"of no call that the carrier knew: {seen.strays}"
