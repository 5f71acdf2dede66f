"""The verdict on a carrier's raw arrival log: what really arrived, against what the carrier allows.

    python -m lab.judge LOG --cps N --channels N [--window S] [--json]

Exit status 0 = within the limits, 1 = broken, 2 = the log cannot be read. Limits left out are taken from the log's
`start` line; 0 is unlimited. Definitions:

- INVITEs: every new INVITE transaction by the kernel's receive stamp, also those the carrier refused; retransmissions
  never; and each datagram of a `lab.sink`, which opens no dialog. A window is half-open: two INVITEs exactly one window
  apart are not in the same one.
- Dialogs: INVITE to end as the carrier saw it (a refused call is open for the moment of its refusal), and answered
  only: 200 to end.
- Duplicates: more than one call (a 407's second INVITE and a followed 302 excepted) under one Call-ID; numbers called
  more than once are counted apart, they may be wanted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab.counting import count_over, max_in_window, max_overlap, mean_overlap

__all__ = ["Record", "Verdict", "count_over", "dialogs", "judge", "max_in_window", "max_overlap", "mean_overlap", "read_log"]

Record = dict[str, Any]


@dataclass(slots=True)
class Verdict:
    """Counts and peaks; `violations` is empty when all limits held. Times are seconds since the epoch.

    `invites_over`: how many arrived when the window that they end held the limit already. `sources`: INVITEs by who sent
    them (a switch's HOST:PORT, a dialer's name). `longest_pause_ms`: of the machine the log was written on,
    between the first INVITE and the last, where the carrier looked for that. `first_at` and `last_at`: of the INVITEs.
    """

    carrier: str = ""
    cps_limit: int = 0
    channel_limit: int = 0
    window_s: float = 1.0
    invites: int = 0
    retransmissions: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    peak_invites: int = 0
    peak_invites_at: float = 0.0
    invites_over: int = 0
    peak_channels: int = 0
    peak_channels_at: float = 0.0
    peak_answered: int = 0
    open_at_end: int = 0
    answered: int = 0
    duplicate_call_ids: dict[str, int] = field(default_factory=dict)
    repeated_numbers: dict[str, int] = field(default_factory=dict)
    verdicts: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    longest_pause_ms: float = 0.0
    violations: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.violations

    @property
    def rate(self) -> float:
        """INVITEs per second from the first to the last."""
        span = self.last_at - self.first_at
        return (self.invites - 1) / span if span > 0 else 0.0


def read_log(path: Path) -> Iterator[Record]:
    """Every record up to the first incomplete line: the last one of a killed carrier, or of one that is writing it."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return
            yield json.loads(line)


class _Dialog:
    __slots__ = ("answered", "begin", "end")

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.answered: int | None = None
        self.end: int | None = None


def judge(
    log: Path | Iterable[Record],
    cps: int | None = None,
    channels: int | None = None,
    window_s: float = 1.0,
    *,
    count_challenged: bool = True,
) -> Verdict:
    """Read a raw arrival log. `count_challenged=False` leaves out INVITEs that were answered 407."""
    verdict = Verdict(window_s=window_s)
    invites: list[int] = []
    pauses: list[tuple[int, float]] = []
    calls: list[_Dialog] = []
    open_by_id: dict[str, _Dialog] = {}
    calls_by_id: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    for record in read_log(log) if isinstance(log, Path) else log:
        kind, stamp, call_id = record["k"], int(record["t"]), record.get("call_id", "")
        if kind == "start":
            verdict.carrier = record.get("carrier", "")
            verdict.cps_limit, verdict.channel_limit = record.get("cps", 0), record.get("channels", 0)
            for dialog in open_by_id.values():  # a carrier that starts again has no calls
                dialog.end = stamp if dialog.end is None else dialog.end
        elif kind == "retransmit":
            verdict.retransmissions += 1
        elif kind == "invite":
            challenged = record["verdict"] == "challenged"
            verdicts[record["verdict"]] += 1
            if count_challenged or not challenged:
                invites.append(stamp)
                sources[record.get("peer", "?")] += 1
            if challenged:
                continue
            outcomes[record["outcome"]] += 1
            dialog = _Dialog(stamp)
            calls.append(dialog)
            if not _follows_redirect(record, open_by_id.get(call_id)):
                calls_by_id[call_id] += 1
            open_by_id[call_id] = dialog
            numbers[record["number"]] += 1
        elif kind == "datagram":
            invites.append(stamp)
            sources[record["peer"]] += 1
            calls_by_id[call_id] += 1
        elif kind == "pause":
            pauses.append((stamp, float(record["ms"])))
        elif kind == "answer" and call_id in open_by_id:
            open_by_id[call_id].answered = stamp
            verdict.answered += 1
        elif kind == "end" and call_id in open_by_id:
            open_by_id[call_id].end = stamp
            ends[record["why"]] += 1
    verdict.invites = len(invites)
    if invites:
        first, last = min(invites), max(invites)
        verdict.first_at, verdict.last_at = first / 1e9, last / 1e9
        verdict.longest_pause_ms = max((ms for at, ms in pauses if first <= at <= last), default=0.0)
    verdict.peak_invites, at = max_in_window(invites, window_s)
    verdict.peak_invites_at = at / 1e9
    verdict.peak_channels, at = max_overlap((d.begin, d.end) for d in calls)
    verdict.peak_channels_at = at / 1e9
    verdict.peak_answered, _ = max_overlap((d.answered, d.end) for d in calls if d.answered is not None)
    verdict.open_at_end = sum(d.end is None for d in calls)
    verdict.duplicate_call_ids = {key: n for key, n in calls_by_id.items() if n > 1}
    verdict.repeated_numbers = {key: n for key, n in numbers.items() if n > 1}
    verdict.verdicts, verdict.outcomes, verdict.ends = dict(verdicts), dict(outcomes), dict(ends)
    verdict.sources = dict(sources)
    if cps is not None:
        verdict.cps_limit = cps
    verdict.invites_over = count_over(invites, window_s, verdict.cps_limit)
    if channels is not None:
        verdict.channel_limit = channels
    _find_violations(verdict)
    return verdict


def dialogs(log: Path | Iterable[Record]) -> list[tuple[int, int | None]]:
    """(INVITE, end or None) of every call in a raw arrival log, as the carrier counts its channels."""
    found: list[_Dialog] = []
    open_by_id: dict[str, _Dialog] = {}
    for record in read_log(log) if isinstance(log, Path) else log:
        if record["k"] == "invite" and record["verdict"] != "challenged":
            found.append(_Dialog(int(record["t"])))
            open_by_id[record["call_id"]] = found[-1]
        elif record["k"] == "end" and record["call_id"] in open_by_id:
            open_by_id[record["call_id"]].end = int(record["t"])
    return [(dialog.begin, dialog.end) for dialog in found]


def _follows_redirect(record: Record, previous: _Dialog | None) -> bool:
    """A second INVITE of a Call-ID to the carrier's own contact, after the first one was redirected there."""
    return previous is not None and previous.end is not None and record.get("number") == "carrier"


def _find_violations(verdict: Verdict) -> None:
    if verdict.cps_limit and verdict.peak_invites > verdict.cps_limit:
        verdict.violations.append(
            f"{verdict.peak_invites} INVITEs within {verdict.window_s:g} s, allowed "
            f"{verdict.cps_limit}, at {verdict.peak_invites_at:.6f}"
        )
    if verdict.channel_limit and verdict.peak_channels > verdict.channel_limit:
        verdict.violations.append(
            f"{verdict.peak_channels} channels at once, allowed {verdict.channel_limit}, at {verdict.peak_channels_at:.6f}"
        )
    if verdict.duplicate_call_ids:
        verdict.violations.append(f"dialed more than once: {', '.join(sorted(verdict.duplicate_call_ids)[:5])}")


def _report(verdict: Verdict) -> str:
    lines = [
        (
            f"carrier {verdict.carrier or '?'}: {verdict.invites} INVITEs, {verdict.answered} answered, "
            f"{verdict.retransmissions} retransmissions, {verdict.open_at_end} still open"
        ),
        f"  INVITEs in any {verdict.window_s:g} s: {verdict.peak_invites} of {verdict.cps_limit or 'unlimited'}",
        (
            f"  channels at once: {verdict.peak_channels} of {verdict.channel_limit or 'unlimited'} "
            f"({verdict.peak_answered} answered)"
        ),
        "  outcomes: " + ", ".join(f"{name} {n}" for name, n in sorted(verdict.outcomes.items())),
    ]
    if len(verdict.sources) > 1:
        lines.append("  from: " + ", ".join(f"{name} {n}" for name, n in sorted(verdict.sources.items())))
    if verdict.longest_pause_ms:
        lines.append(f"  the carrier's own machine stood still for {verdict.longest_pause_ms:g} ms at the longest")
    lines += [f"  VIOLATION: {text}" for text in verdict.violations] or ["  within the limits"]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m lab.judge", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log", type=Path)
    parser.add_argument("--cps", type=int, help="INVITEs allowed in any window (default: from the log)")
    parser.add_argument("--channels", type=int, help="simultaneous calls allowed (default: from the log)")
    parser.add_argument("--window", type=float, default=1.0, help="seconds")
    parser.add_argument("--ignore-challenged", action="store_true", help="do not count INVITEs answered 407")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    try:
        verdict = judge(args.log, args.cps, args.channels, args.window, count_challenged=not args.ignore_challenged)
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"lab.judge: {args.log}: {error}\n")
        return 2
    sys.stdout.write((json.dumps({**asdict(verdict), "ok": verdict.ok}) if args.json else _report(verdict)) + "\n")
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
