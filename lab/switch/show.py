"""What `show channels|calls` knows: a table written late, as FreeSWITCH's SQL thread writes it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable

Row = dict[str, str]

_CALL_COLUMNS = (
    "uuid",
    "direction",
    "created",
    "created_epoch",
    "name",
    "state",
    "cid_name",
    "cid_num",
    "ip_addr",
    "dest",
    "presence_id",
    "presence_data",
    "accountcode",
    "callstate",
    "callee_name",
    "callee_num",
    "callee_direction",
    "call_uuid",
    "hostname",
    "sent_callee_name",
    "sent_callee_num",
)
_B_COLUMNS = (
    "b_uuid",
    "b_direction",
    "b_created",
    "b_created_epoch",
    "b_name",
    "b_state",
    "b_cid_name",
    "b_cid_num",
    "b_ip_addr",
    "b_dest",
    "b_presence_id",
    "b_presence_data",
    "b_accountcode",
    "b_callstate",
    "b_callee_name",
    "b_callee_num",
    "b_callee_direction",
    "b_sent_callee_name",
    "b_sent_callee_num",
    "call_created_epoch",
)


class ChannelTable:
    """Rows become visible, change and vanish `lag` seconds after the channel did."""

    def __init__(self, lag: float, clock: Callable[[], float]) -> None:
        self.lag = lag
        self._clock = clock
        self._rows: dict[str, Row] = {}
        self._pending: deque[tuple[float, str, Row | None]] = deque()

    def put(self, channel_uuid: str, row: Row | None) -> None:
        """`None` removes."""
        self._pending.append((self._clock() + self.lag, channel_uuid, row))
        self._settle()

    def _settle(self) -> None:
        now = self._clock()
        while self._pending and self._pending[0][0] <= now:
            _, channel_uuid, row = self._pending.popleft()
            if row is None:
                self._rows.pop(channel_uuid, None)
            else:
                self._rows[channel_uuid] = row

    def rows(self) -> list[Row]:
        self._settle()
        return list(self._rows.values())


def render(kind: str, rows: list[Row], words: list[str]) -> str:
    """`show <kind> [count] [as json|csv|xml-less plain]`, byte for byte where the traces have it."""
    as_json = "json" in words
    count_only = "count" in words
    if kind == "calls":
        rows = [
            {**{column: row.get(column, "") for column in _CALL_COLUMNS}, **dict.fromkeys(_B_COLUMNS, "")} for row in rows
        ]
    if count_only:
        # An oddity of the real one: `count as json` has rows and no line end, and plain has a blank line.
        return (
            json.dumps({"row_count": len(rows), "rows": []}, separators=(",", ":"))
            if as_json
            else (f"\n{len(rows)} total.\n")
        )
    if as_json:
        if not rows:
            return '{"row_count": 0}\n'
        return json.dumps({"row_count": len(rows), "rows": rows}, separators=(",", ":"), ensure_ascii=False)
    lines = []
    if rows:
        lines.append(",".join(rows[0]))
        lines += [",".join(row.values()) for row in rows]
    return "\n".join([*lines, "", f"{len(rows)} total.", ""])
