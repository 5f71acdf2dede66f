"""The claim: an attempt is taken for dialing by one, and by nobody when anything forbids it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args
from uuid import UUID

import psycopg

from calls.windows import Why
from store import permission
from store.caps import ASKED
from store.failures import is_transient
from store.limits import REACH, Unreadable
from store.outbox import outbox_row
from store.pool import Conn, Database
from store.queries import load
from store.records import recordset
from store.reschedule import reschedule_in
from store.rows import Attempt, Call
from store.snapshot import webhook_body

SQL = load("attempts")
_OUTBOX = load("outbox")
_BY_ID = load("change")["by_id"]
_CALL_WIDTH = len(Call.__dataclass_fields__)

RefusalReason = Literal[
    "gone", "not_queued", "not_due", "expired", "canceled", "paused", "agent_paused", "drained", "epoch", "no_endpoint",
    "off_duty", "unreadable", "rules", "lab", "elsewhere", Why,
]  # fmt: skip
#: Refused for ever; or for this switch alone, whose controller puts it back. For any other reason the attempt, if still
#: queued, is in no lane now and has to come back into one; with ``agent_paused`` not before its agent is resumed.
_STAYS = frozenset({"gone", "canceled", "expired", "drained"})
_TIMES: Mapping[str, Why] = {why: why for why in get_args(Why)}
#: Refused by the call's own rules, or by those of its tenant and its callee's country (``rules``): it comes back at the next
#: moment that they allow, or ends.
_RULED = frozenset({*_TIMES, "unreadable", "rules"})


#: Of every claim. ``together``: among others in one transaction, where no tenant with caps is claimed.
_ALWAYS: dict[str, Any] = {**ASKED, "reach": REACH, "take": True}


class Wanted(NamedTuple):
    """A claim to be made: an attempt under its permit, for the carrier that granted it; ``duty`` as :func:`claim` has it."""

    attempt_id: UUID
    fence: int
    epoch: int
    carrier_id: UUID
    duty: int | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """All that the dial needs. ``*_s`` are seconds; ``pdd_s`` is the carrier's own where it has one."""

    attempt_id: UUID
    call_id: UUID
    number: int
    lane: str
    priority: str
    tenant_id: UUID
    tenant_name: str
    to_number: str
    from_number: str
    agent_id: UUID
    agent_kind: str
    carrier_id: UUID
    gateway: str
    switch: str
    fence: int
    epoch: int
    ring_timeout_s: int
    max_duration_s: int
    pdd_s: int
    claimed_at: datetime
    deadline_at: datetime
    user: str | None = None  # what is dialed in place of the number, on a trunk of its agent's own


@dataclass(frozen=True, slots=True)
class Refused:
    """Not claimed, and nothing was changed but this: for a reason that passes, the attempt counts as not laned. Where
    rules forbid a dial now (``window``, ``hours``, ``per_day``, ``number_per_day``, ``rules``, ``unreadable``), it also has
    a later ``due_at``, or has ended.
    """

    reason: RefusalReason


def claim(
    db: Database,
    attempt_id: UUID,
    *,
    fence: int,
    epoch: int,
    switch: str,
    carrier_id: UUID,
    pdd_s: int,
    duty: int | None = None,
    clock: datetime | None = None,
    lab: bool = False,
) -> Claimed | Refused:
    """Take the attempt for dialing: ``queued -> dialing`` in one statement that checks everything that may forbid it.

    Of any number of racing claims exactly one is :class:`Claimed`. The call becomes ``dialing`` and its webhook is
    written in the same transaction. A lost connection is raised, not retried: whoever does not know that its claim was
    committed must not dial, and the attempt's deadline (``clock + pdd_s``) finds it. What is due, what has expired, and from
    when the deadline runs, is told by ``clock``, None: the database's, so that it is the same on every host. ``duty``: the
    fence under which this controller is on duty beside the switch (store/duty.py); None: it has no other beside it.
    ``lab``: the switch is the laboratory, where calls of test keys are dialed and nothing else.
    """
    params = _params(Wanted(attempt_id, fence, epoch, carrier_id, duty), switch, pdd_s, clock, lab)
    return db.run(lambda conn: _claim(conn, params), lost=False)


def claim_all(
    db: Database, wanted: Sequence[Wanted], *, switch: str, pdd_s: int, clock: datetime | None = None, lab: bool = False
) -> list[Claimed | Refused | Exception]:
    """:func:`claim` of many in one transaction; the results in order, or in place of one the ``psycopg.Error`` of it alone.
    What is not had at once is asked for again alone, so no claim depends on another's. Raises ``psycopg.Error`` when the
    connection is lost over all of them.
    """
    asked = [_params(one, switch, pdd_s, clock, lab) for one in wanted]
    had: dict[UUID, Claimed] = {}
    if len(asked) > 1:
        try:
            had = db.run(lambda conn: _claim_all(conn, asked), lost=False)
        except _Forbidden:
            pass
        except psycopg.Error as error:
            if is_transient(error):
                raise
    return [had.get(params["attempt_id"]) or _claim_alone(db, params) for params in asked]


class _Forbidden(Exception):
    """One of the batch was claimed against its call's own rules: none of it is to be committed."""


def _params(wanted: Wanted, switch: str, pdd_s: int, clock: datetime | None, lab: bool) -> dict[str, Any]:
    return {
        "attempt_id": wanted.attempt_id,
        "fence": wanted.fence,
        "epoch": wanted.epoch,
        "switch": switch,
        "carrier_id": wanted.carrier_id,
        "pdd_s": pdd_s,
        "duty": wanted.duty,
        "clock": clock,
        "lab": lab,
    }


def _claim_alone(db: Database, params: dict[str, Any]) -> Claimed | Refused | Exception:
    try:
        return db.run(lambda conn: _claim(conn, params), lost=False)
    except psycopg.Error as error:
        return error


def _claim_all(conn: Conn, asked: Sequence[dict[str, Any]]) -> dict[UUID, Claimed]:
    had: dict[UUID, Claimed] = {}
    told: list[dict[str, object]] = []
    decided: list[tuple[UUID, dict[str, Any]]] = []
    with conn.pipeline():
        conn.execute(_BY_ID)
        # Ids are made in order, so this is the order of their calls, in which everybody locks; a retry's may be another,
        # and if ever two then wait for each other, Postgres ends one of them and it is done again.
        rows = [
            (params, conn.execute(SQL["claim"], {**_ALWAYS, "together": True, **params}))
            for params in sorted(asked, key=lambda p: p["attempt_id"])
        ]
        for params, cursor in rows:
            row = cursor.fetchone()
            if row is None:
                continue
            claimed, said, webhook = _claimed(row, params)
            if not isinstance(said, dict):
                raise _Forbidden
            had[claimed.attempt_id] = claimed
            told += webhook
            decided.append((claimed.attempt_id, said))
        permission.keep(conn, decided)
        _tell(conn, told)
        conn.commit()
    return had


def _claim(conn: Conn, params: dict[str, Any]) -> Claimed | Refused:
    with conn.pipeline():
        conn.execute(_BY_ID)
        row = conn.execute(SQL["claim"], {**_ALWAYS, "together": False, **params}).fetchone()
        if row is None:
            why = conn.execute(SQL["why_refused"], params).fetchone()
            refused, pdd_s, clock = ("gone", params["pdd_s"], None) if why is None else why
            if refused not in _STAYS and refused not in _RULED:
                conn.execute(SQL["unlane"], params)
        else:
            claimed, said, webhook = _claimed(row, params)
            pdd_s, clock = claimed.pdd_s, claimed.claimed_at
            if isinstance(said, dict):
                permission.keep(conn, [(claimed.attempt_id, said)])
                _tell(conn, webhook)
                conn.commit()
                return claimed
            refused = said
    if refused in _RULED:
        conn.rollback()
        reschedule_in(conn, [params["attempt_id"]], pdd_s=pdd_s, now=clock, clock=params["clock"], refused=refused)
    return Refused(refused)


def _tell(conn: Conn, rows: Sequence[dict[str, object]]) -> None:
    if rows:
        conn.execute(_OUTBOX["insert"], {"rows": recordset(rows)})
        conn.execute(_OUTBOX["notify"])


def _claimed(
    row: Sequence[Any], params: dict[str, Any]
) -> tuple[Claimed, dict[str, Any] | RefusalReason, list[dict[str, object]]]:
    """What the statement claimed, the decision that permits it (or why it may not be all the same), and the webhook to be
    written of it.
    """
    hook, tenant_name, agent_kind, user, pdd_s, clock, rang, number_rang, standing, *columns = row
    call, attempt = Call(*columns[:_CALL_WIDTH]), Attempt(*columns[_CALL_WIDTH:])
    said = _judged(call, agent_kind, standing, pdd_s, clock, rang or (), number_rang or ())
    webhook = []
    if hook is not None:
        webhook = [outbox_row(call, "call.dialing", webhook_body("call.dialing", clock, call, attempt), hook, clock)]
    assert attempt.gateway is not None
    assert attempt.deadline_at is not None
    claimed = Claimed(
        attempt_id=attempt.id,
        call_id=call.id,
        number=attempt.number,
        lane=attempt.lane,
        priority=call.priority,
        tenant_id=call.tenant_id,
        tenant_name=tenant_name,
        to_number=call.to_number,
        from_number=call.from_number,
        agent_id=call.agent_id,
        agent_kind=agent_kind,
        carrier_id=params["carrier_id"],
        gateway=attempt.gateway,
        switch=params["switch"],
        fence=params["fence"],
        epoch=params["epoch"],
        ring_timeout_s=call.ring_timeout_s,
        max_duration_s=call.max_duration_s,
        pdd_s=pdd_s,
        claimed_at=clock,
        deadline_at=attempt.deadline_at,
        user=user,
    )
    return claimed, said, webhook


def _judged(
    call: Call,
    agent_kind: str,
    standing: object,
    pdd_s: float,
    clock: datetime,
    rang: Collection[datetime],
    others: Collection[datetime],
) -> dict[str, Any] | RefusalReason:
    """What the rules say to a dial at ``clock``, asked of the very row that was claimed and of what holds for its tenant
    now: what was worked out before may be old, or another's. The decision that permits it, or why it is refused.
    """
    try:
        verdict = permission.judged(call, agent_kind, standing, pdd_s, clock, rang, others)
    except Unreadable:
        return "unreadable"
    if verdict.permitted:
        return verdict.as_dict()
    assert verdict.first is not None
    return _TIMES.get(verdict.first.rule, "rules")
