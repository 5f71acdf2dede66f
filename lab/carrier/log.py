"""The raw arrival log of one carrier: JSON lines, one a fact, in the order the socket gave them.

Kinds (`k`): `start` (limits and seed), `invite` (a new INVITE transaction), `retransmit` (the same transaction
again; never counted), `progress`, `answer`, `final`, `ack`, `cancel`, `bye` (received), `bye_sent`, `end` (the
dialog is over, `why`); `reinvite` and `reinvite_answer` (the carrier's own); `unheard` (a request that an outcome takes for
lost, `what`), `lost` (a datagram that the line lost: `way` in or out, `what`), `stray` (a CANCEL or BYE of no call that is
known). With recordings and real RTP also `rtp`, `heard`, `quiet`, `speaks`, `pauses` (lab/carrier/ear.py; these come up to
0.1 s out of order). `t` is CLOCK_REALTIME in nanoseconds: the kernel's receive stamp for what arrived, the moment before
sendto for what was sent.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO


class ArrivalLog:
    """Writes each fact as it happens; with no path it keeps nothing."""

    def __init__(self, path: Path | str | None) -> None:
        self._file: IO[str] | None = None
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            # Line buffered: a killed carrier must not take its evidence with it.
            self._file = open(path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115

    def write(self, kind: str, stamp_ns: int, **facts: object) -> None:
        if self._file is not None:
            self._file.write(json.dumps({"t": stamp_ns, "k": kind, **facts}, separators=(",", ":")) + "\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
