"""Everything that is known of one call, in the order in which it happened: ``trunkline trace ID``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from calls.ids import call_ref, parse_ref
from store.pool import Database
from store.queries import load
from store.records import one_row
from store.rows import Call
from store.snapshot import stamp
from store.work import CONTRADICTION

_SQL = load("trace")


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One thing seen, decided, commanded or told. ``attempt`` is the dial's number, None for the call itself."""

    at: datetime
    source: str
    attempt: int | None
    what: str
    detail: str

    def __str__(self) -> str:
        dial = "" if self.attempt is None else f"#{self.attempt}"
        return f"{stamp(self.at)}  {self.source:<9}  {dial:<3}  {self.what:<24}  {self.detail}".rstrip()


def parse_id(id_text: str) -> UUID:
    """The UUID of ``call_<hex>`` or of a plain UUID (a call's or an attempt's); ValueError says what was expected."""
    text = id_text.strip()
    try:
        return parse_ref("call", text) if text.startswith("call_") else UUID(text)
    except ValueError as error:
        raise ValueError(f"id: {id_text!r} is neither call_<32 hex digits> nor an attempt's UUID") from error


def trace(db: Database, id_text: str) -> list[TraceLine]:
    """The story of the call with that id, or of the call that the attempt with that id belongs to, in time order.

    Empty when there is none. The destination is masked. Errors: ``ValueError`` for what cannot be an id.
    """
    with db.connection() as conn:
        params = {"id": parse_id(id_text)}
        call = one_row(conn, Call, _SQL["find_call"], params)
        if call is None:
            return []
        with conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(_SQL["lines"], {"call_id": call.id}).fetchall()
    lines = [TraceLine(row["at"], row["source"], row["number"], row["what"], _detail(row["data"])) for row in rows]
    return [_head(call), *lines, _now(call, contradictions=sum(line.what == CONTRADICTION for line in lines))]


def mask(number: str) -> str:
    """``+49151*****78``: enough to recognise, too little to call."""
    return number if len(number) < 9 else f"{number[:6]}{'*' * (len(number) - 8)}{number[-2:]}"


def _head(call: Call) -> TraceLine:
    detail = f"to {mask(call.to_number)} from {call.from_number}, lane {call.lane}, expires {stamp(call.expires_at)}"
    return TraceLine(call.created_at, "call", None, call_ref(call.id), detail)


def _now(call: Call, contradictions: int) -> TraceLine:
    shown = {
        "end_reason": call.end_reason,
        "sip_code": call.sip_code,
        "q850_cause": call.q850_cause,
        "hangup_by": call.hangup_by,
        "attempts": f"{call.attempt_count} of {call.max_attempts}",
        "due_at": stamp(call.due_at) if call.status == "queued" else None,
        "contradictions": contradictions or None,
    }
    return TraceLine(call.status_at, "call", None, f"is {call.status}", _detail(shown))


def _detail(data: dict[str, Any]) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in data.items() if value is not None)


def _value(value: object) -> str:
    """A list or an object inside the data, such as each side of a contradiction, in brackets."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return f"({_detail(value)})" if isinstance(value, dict) else str(value)
