"""The demo while it runs: a live table on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import json
import pathlib
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trunkline.stack import LabCarrier

PLAIN_EVERY_S = 5.0
LIVE_STATUSES = ("queued", "dialing", "early", "ringing", "in_progress")
END_STATUSES = ("completed", "no_answer", "busy", "failed", "canceled", "expired", "blocked")


@dataclass
class Meter:
    """Reads a carrier's raw arrival log as it grows: channels up now and INVITEs in the last second."""

    carrier: LabCarrier
    log: pathlib.Path
    invites: int = 0
    _up: set[str] = field(default_factory=set)
    _recent: deque[int] = field(default_factory=deque)
    _read_to: int = 0

    def look(self) -> None:
        """Take in what was written since the last look."""
        with self.log.open("rb") as log:
            log.seek(self._read_to)
            fresh = log.read()
        complete = fresh[: fresh.rfind(b"\n") + 1]
        self._read_to += len(complete)
        for line in complete.splitlines():
            self._take(json.loads(line))
        horizon = time.time_ns() - 1_000_000_000
        while self._recent and self._recent[0] < horizon:
            self._recent.popleft()

    def _take(self, fact: dict[str, object]) -> None:
        if fact["k"] == "invite":
            self.invites += 1
            self._recent.append(int(str(fact["t"])))
            if fact["verdict"] == "admitted":
                self._up.add(str(fact["call_id"]))
        elif fact["k"] == "end":
            self._up.discard(str(fact["call_id"]))

    @property
    def channels(self) -> int:
        """Calls up now."""
        return len(self._up)

    @property
    def last_second(self) -> int:
        """INVITEs in the last second."""
        return len(self._recent)


class View:
    """Use as a context manager; call show() often."""

    def __init__(self, console: Console, total: int, meters: Sequence[Meter]) -> None:
        self._console = console
        self._total = total
        self._meters = meters
        self._plain_at = 0.0
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None

    def __enter__(self) -> View:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, statuses: Mapping[str, int], posted: int) -> None:
        """`statuses`: calls by status."""
        for meter in self._meters:
            meter.look()
        if self._live is not None:
            self._live.update(self._table(Counter(statuses), posted))
        elif time.monotonic() >= self._plain_at:
            self._plain_at = time.monotonic() + PLAIN_EVERY_S
            self._console.print(self._line(Counter(statuses), posted), soft_wrap=True, highlight=False)

    def _line(self, statuses: Counter[str], posted: int) -> str:
        calls = ", ".join(f"{name} {statuses[name]}" for name in (*LIVE_STATUSES, *END_STATUSES) if statuses[name])
        trunks = ", ".join(
            f"{meter.carrier.name} {meter.channels}/{meter.carrier.channels} channels {meter.last_second}/"
            f"{meter.carrier.cps} CPS"
            for meter in self._meters
        )
        return f"{posted}/{self._total} posted: {calls or 'none yet'} | {trunks}"

    def _table(self, statuses: Counter[str], posted: int) -> Group:
        ended = sum(statuses[name] for name in END_STATUSES)
        calls = Table(title=f"{posted} of {self._total} calls posted, {ended} ended", title_justify="left")
        shown = [name for name in (*LIVE_STATUSES, *END_STATUSES[:4]) if name in LIVE_STATUSES or self._total]
        for name in shown:
            calls.add_column(name, justify="right", style="bold" if name in LIVE_STATUSES else "")
        calls.add_row(*(str(statuses[name]) for name in shown))
        trunks = Table()
        for name in ("carrier", "channels", "", "INVITEs in the last second", "INVITEs"):
            trunks.add_column(name, justify="left" if name in ("carrier", "") else "right")
        for meter in self._meters:
            trunks.add_row(
                meter.carrier.name,
                f"{meter.channels}/{meter.carrier.channels}",
                ProgressBar(total=meter.carrier.channels, completed=meter.channels, width=24),
                f"{meter.last_second}/{meter.carrier.cps}",
                str(meter.invites),
            )
        return Group(calls, trunks, Text("Ctrl-C ends everything", style="dim"))
