"""Evidence written down and applied: one transaction, two round trips, whatever the size of the batch.

Locks are taken in one order everywhere: calls by id, then their attempts by id. An observation whose key is recorded
already changes nothing, so a batch may be repeated, and two writers of one event have one effect.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import TupleRow

from calls.evidence import Evidence, Rank, State
from calls.ids import new_uuid7
from calls.phrases import capacity_of
from calls.rejects import Entries, worded
from calls.retry import RetryRules
from crashpoint import crash_point
from store.facts import Timers, end_data, storable
from store.limits import QUIET, REACH, Past
from store.pool import Conn, Database
from store.queries import load
from store.records import recordset
from store.rows import Attempt, Call
from store.second_legs import Leg, ask_legs, call_off
from store.work import CallWork, Context

_SQL = load("change")
_OUTBOX = load("outbox")
_WITNESSES = load("witnesses")

#: The time of a batch that concerns no call at all: nothing is counted from it.
NEVER = datetime.min.replace(tzinfo=UTC)
_NOBODY = UUID(int=0)

#: Observations applied in one go; a large batch must not hold up the hub for longer than a dial slot's grace.
BREATH = 10

_ATTEMPT_COLUMNS = (
    "id", "state", "deadline_at", "probes", "ringing_at", "early_at", "answered_at", "ended_at", "evidence",
    "evidence_key", "outcome", "end_reason", "retry_class", "uncertain", "cause", "q850_cause", "sip_code",
    "sip_phrase", "disposition", "local", "requested_by", "note", "hangup_by", "decided", "said",
)  # fmt: skip
_CALL_COLUMNS = (
    "id", "status", "status_at", "end_reason", "sip_code", "q850_cause", "hangup_by", "attempt_count", "due_at",
    "sequence", "answered_at", "ended_at",
)  # fmt: skip
_NEW_COLUMNS = ("id", "call_id", "number", "lane", "due_at", "dial_until", "created_at")


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """A retry that was written: not to be dialed before ``due_at``."""

    attempt_id: UUID
    lane: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Applied:
    """What one attempt is after the batch; ``state`` None: there is no such attempt, and all else is empty.

    ``ended_now``: this batch ended it. Releasing what the attempt holds is right whenever ``state`` is ``ended``. ``full``:
    which limit of its carrier's ended it.
    """

    attempt_id: UUID
    state: str | None
    ended_now: bool = False
    fence: int | None = None
    carrier_id: UUID | None = None
    lane: str | None = None
    retry: NewAttempt | None = None
    full: Literal["cps", "channels"] | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """What a conclusion rests on: how the row was when it was drawn. ``deadline_at`` and ``probes`` None: any."""

    state: str
    deadline_at: datetime | None = None
    probes: int | None = None

    def holds(self, attempt: Attempt) -> bool:
        return (
            attempt.state == self.state
            and self.deadline_at in (None, attempt.deadline_at)
            and self.probes in (None, attempt.probes)
        )


def apply_evidence(
    db: Database,
    batch: Sequence[Evidence],
    *,
    rules: RetryRules,
    timers: Timers,
    now: datetime | None = None,
    only_if: Mapping[UUID, Condition] | None = None,
) -> list[Applied]:
    """Write the batch down and apply it, all or nothing; one :class:`Applied` per attempt named in it.

    Deadlocks and lost connections are retried; evidence known already has no effect. ``only_if``: evidence of an attempt
    named there is a conclusion, not an observation. It counts only if the attempt, once locked, is still as its condition
    says, and is dropped without a trace if not; and it is not repeated over a lost connection, because what speaks
    against it may wait for Postgres too. ``now``: from when deadlines and retries are counted, None: the database's clock,
    whatever the caller's says. Errors: ``psycopg.Error`` when Postgres stays away; nothing is written then, and
    the same batch may be given again.
    """
    tries = 0

    def unit(conn: Conn) -> list[Applied]:
        nonlocal tries
        tries += 1
        applied = apply_in(conn, batch, rules=rules, timers=timers, now=now, only_if=only_if)
        if tries == 1 or only_if:
            return applied
        # A try before this one may have been committed though its connection was lost: its end is reported here.
        ends = {evidence.attempt_id for evidence in batch if evidence.end is not None}
        return [
            _as_ended(result) if result.state == State.ENDED and result.attempt_id in ends else result for result in applied
        ]

    return db.run(unit, lost=not only_if) if batch else []


def _as_ended(result: Applied) -> Applied:
    return replace(result, ended_now=True)


def apply_in(
    conn: Conn,
    batch: Iterable[Evidence],
    *,
    rules: RetryRules,
    timers: Timers,
    now: datetime | None = None,
    only_if: Mapping[UUID, Condition] | None = None,
) -> list[Applied]:
    """:func:`apply_evidence` inside the caller's transaction, which it commits."""
    # Within a batch the order is ours to choose: states in their natural order tell the enterprise all of them.
    ordered = sorted(map(storable, batch), key=lambda evidence: (Rank.of(evidence.state), evidence.at))
    with conn.pipeline():
        conn.execute(_SQL["by_id"])
        works, by_attempt, legs, clock = _take(conn, ordered, rules, timers, only_if or {}, now)
        if legs:
            over = {id_ for work in works for id_ in work.ended_now}
            if ends := call_off(conn, legs, over, clock):
                _take(conn, ends, rules, timers, {}, clock)
        if any(work.ended_now for work in works):
            crash_point("change.end_written")
        if any(work.retry for work in works):
            crash_point("change.retry_decided")
        conn.commit()
    return [_applied(attempt_id, by_attempt.get(attempt_id)) for attempt_id in _named(ordered)]


def _take(
    conn: Conn,
    ordered: Sequence[Evidence],
    rules: RetryRules,
    timers: Timers,
    only_if: Mapping[UUID, Condition],
    now: datetime | None,
) -> tuple[list[CallWork], dict[UUID, CallWork], list[Leg], datetime]:
    """Read, apply and write; the calls, the same by attempt, who is rung for them, and when it is."""
    works, new, texts, legs, clock = _read(conn, ordered, only_if, now)
    context = Context(rules, timers, clock, new_uuid7)
    by_attempt = {attempt_id: work for work in works for attempt_id in work.attempts}
    for position, evidence in enumerate(ordered):
        if position % BREATH == BREATH - 1:
            time.sleep(0)  # in a gevent process the dials run on meanwhile
        work = by_attempt.get(evidence.attempt_id)
        if work is not None and (evidence.attempt_id, evidence.key) in new:
            new.discard((evidence.attempt_id, evidence.key))
            work.see(_worded(evidence, texts), context)
    _write(conn, works, clock)
    return works, by_attempt, legs, clock


def _worded(evidence: Evidence, texts: Mapping[UUID, Entries]) -> Evidence:
    """With what the attempt's carrier says in its own words, if it has noted any."""
    if evidence.end is None or evidence.attempt_id not in texts:
        return evidence
    return replace(evidence, end=worded(evidence.end, texts[evidence.attempt_id]))


def _named(batch: Iterable[Evidence]) -> list[UUID]:
    return list(dict.fromkeys(evidence.attempt_id for evidence in batch))


def _read(
    conn: Conn, batch: Sequence[Evidence], only_if: Mapping[UUID, Condition], now: datetime | None
) -> tuple[list[CallWork], set[tuple[UUID, str]], dict[UUID, Entries], list[Leg], datetime]:
    """Lock and load; write the evidence down; which of it is new; by attempt the texts of its carrier; who is rung for
    those that end; when it is.
    """
    ids = {"ids": _named(batch)}
    # By position and in binary: the rows are wide, and this is the busiest path of all.
    calls = conn.execute(_SQL["lock_calls"], ids, binary=True)
    attempts = conn.execute(_SQL["lock_attempts"], ids, binary=True)
    ends = [evidence.attempt_id for evidence in batch if evidence.end is not None]
    past = ask_past(conn, ends) if ends else dict
    legs = ask_legs(conn, ends) if ends else list
    texts = conn.execute(_SQL["reject_texts"], {"ids": ends}) if ends else None
    # Conditions need the locked rows first, which costs them a round trip more.
    keys = None if only_if else _write_down(conn, batch)
    by_call: dict[UUID, CallWork] = {}
    clock = now or NEVER
    for *call, hook, told in calls.fetchall():
        by_call[call[0]] = CallWork(Call(*call), hook, {})
        clock = now or told
    by_id: dict[UUID, Attempt] = {}
    for row in attempts.fetchall():
        attempt = Attempt(*row)
        by_id[attempt.id] = by_call[attempt.call_id].attempts[attempt.id] = attempt
    for call_id, before in past().items():
        by_call[call_id].past = before
    ending = {by_id[id_].call_id for id_ in ends if id_ in by_id}
    for call_id, others in read_others(conn, [by_call[id_].call for id_ in ending], clock).items():
        by_call[call_id].others = others
    if keys is None:
        holding = {id_ for id_, attempt in by_id.items() if id_ not in only_if or only_if[id_].holds(attempt)}
        keys = _write_down(conn, [evidence for evidence in batch if evidence.attempt_id in holding])
    noted: dict[UUID, Entries] = dict(texts.fetchall()) if texts is not None else {}
    return list(by_call.values()), {(attempt_id, key) for attempt_id, key in keys.fetchall()}, noted, legs(), clock


def ask_past(conn: Conn, ids: Sequence[UUID]) -> Callable[[], dict[UUID, list[Past]]]:
    """Ask (in the pipeline) how the attempts before these ended, by call; the result waits for the answer."""
    asked = conn.execute(_SQL["history"], {"ids": list(ids), "quiet": QUIET})

    def answer() -> dict[UUID, list[Past]]:
        # Once each, though the batch may tell of several attempts of a call, and of one more than once.
        found: dict[UUID, dict[UUID, Past]] = {}
        for call_id, *row in asked.fetchall():
            found.setdefault(call_id, {})[row[0]] = Past(*row)
        return {call_id: list(before.values()) for call_id, before in found.items()}

    return answer


def read_others(conn: Conn, calls: Iterable[Call], now: datetime) -> dict[UUID, list[datetime]]:
    """When other calls to the same number were dialed of late, for each call that has a cap on that; one question, and none
    for calls that have no cap.
    """
    capped = [call for call in calls if isinstance(call.retry, dict) and call.retry.get("number_per_day") is not None]
    found: dict[UUID, list[datetime]] = {call.id: [] for call in capped}
    if capped:
        params = {
            "ids": [call.id for call in capped],
            "tenants": [call.tenant_id for call in capped],
            "numbers": [call.to_number for call in capped],
            "since": now - REACH,
            "quiet": QUIET,
        }
        for call_id, claimed_at in conn.execute(_SQL["number_history"], params).fetchall():
            found[call_id].append(claimed_at)
    return found


def _write_down(conn: Conn, batch: Sequence[Evidence]) -> Cursor[TupleRow]:
    return conn.execute(_SQL["insert_evidence"], {"rows": recordset([_event(evidence) for evidence in batch])})


def _event(evidence: Evidence) -> dict[str, object]:
    return {
        "attempt_id": evidence.attempt_id,
        "dedupe": evidence.key,
        "source": evidence.source,
        "type": f"attempt.{evidence.state}",
        "at": evidence.at,
        "data": end_data(evidence.end) if evidence.end is not None else {},
    }


def _write(conn: Conn, works: Sequence[CallWork], now: datetime) -> None:
    attempts = [_pick(work.attempts[id_], _ATTEMPT_COLUMNS) for work in works for id_ in sorted(work.changed)]
    calls = [_pick(work.call, _CALL_COLUMNS) for work in works if work.call_changed]
    retries = [_pick(work.retry[1], _NEW_COLUMNS) for work in works if work.retry is not None]
    events = [event for work in works for event in work.events]
    outbox = [row for work in works for row in work.outbox]
    contradictions = [row for work in works for row in work.contradictions]
    for rows, statement in (
        (attempts, _SQL["update_attempts"]),
        (calls, _SQL["update_calls"]),
        (retries, _SQL["insert_attempts"]),
        (events, _SQL["insert_evidence"]),
        (outbox, _OUTBOX["insert"]),
        (contradictions, _WITNESSES["contradicted"]),
    ):
        if rows:
            conn.execute(statement, {"rows": recordset(rows)})
    ended = [id_ for work in works for id_ in work.ended_now]
    if ended:
        conn.execute(_SQL["close_commands"], {"ids": ended, "now": now})
    if outbox:
        conn.execute(_OUTBOX["notify"])


def write_nothing(conn: Conn, now: datetime) -> None:
    """Every statement that a batch may need, with no rows: for a connection that is to be warm (store/warm.py)."""
    with conn.pipeline():
        for statement in (
            _SQL["update_attempts"],
            _SQL["update_calls"],
            _SQL["insert_attempts"],
            _OUTBOX["insert"],
            _WITNESSES["contradicted"],
        ):
            conn.execute(statement, {"rows": recordset([])})
        conn.execute(_SQL["close_commands"], {"ids": [_NOBODY], "now": now})


def _pick(row: object, columns: Sequence[str]) -> dict[str, object]:
    return {name: getattr(row, name) for name in columns}


def _applied(attempt_id: UUID, work: CallWork | None) -> Applied:
    if work is None:
        return Applied(attempt_id, None)
    attempt = work.attempts[attempt_id]
    retry = None
    if work.retry is not None and work.retry[0] == attempt_id:
        follower = work.retry[1]
        retry = NewAttempt(follower.id, follower.lane, follower.due_at)
    ended_now = attempt_id in work.ended_now
    full = full_of(attempt) if ended_now else None
    return Applied(attempt_id, attempt.state, ended_now, attempt.fence, attempt.carrier_id, attempt.lane, retry, full)


def full_of(attempt: Attempt) -> Literal["cps", "channels"] | None:
    """Which limit of its carrier's ended this attempt; None: none did."""
    if attempt.end_reason != "carrier_capacity":
        return None
    return capacity_of(attempt.sip_phrase, attempt.cause or "", attempt.said)
