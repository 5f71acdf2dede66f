"""A call in progress that is put through: to a number, by a second leg with a permit and rules of its own.

The second leg is a call (``transfer_of`` names the first one): it is accepted, judged, counted, dialed and ended as every
call is. The wish is an action of the first call's; the relay beside its switch lets the two hear each other once somebody
answers, and says what came of it. Until then the first call goes on as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from calls.evidence import State
from calls.ids import agent_ref, new_uuid7
from calls.lanes import lane_with_pool
from calls.permission import Finding, facts_of, judge
from calls.places import Recipient, numbered
from calls.retry import RetryRules
from calls.transfers import allowed
from calls.windows import Limits, zone
from store import numbers, permission
from store.accept import NewCall
from store.accept_rows import Context, Rows, queued
from store.hangup import OtherAction, request_hangup, same_verb
from store.pool import Conn, Database
from store.queries import load
from store.records import all_rows

_SQL = load("transfers")
_ACCEPT = load("accept")
_HANGUP = load("hangup")
_ACTIONS = load("call_actions")
_OUTBOX = load("outbox")

#: What came of it. What follows NOT_TRANSFERRED is the end reason of the second leg.
TRANSFERRED, NOT_TRANSFERRED = "transferred", "not transferred"
#: Another agent talks now, and may be asked for a transfer too.
HANDED_ON = "handed on"
#: Whoever is put through hears a person: the rules for machines' voices do not hold.
LEG_KIND = "sip"

Kind = Literal[
    "requested",
    "not_in_progress",
    "not_found",
    "not_allowed",
    "pending",
    "no_route",
    "forbidden",
    "unknown_agent",
    "inbound_number",
]


@dataclass(frozen=True, slots=True)
class Terms:
    """Times in seconds. ``wait_s``: the second leg is not dialed after that; ``time_zone``: whose days caps count by."""

    wait_s: float
    ring_timeout_s: int
    pdd_s: int
    time_zone: str


@dataclass(frozen=True, slots=True)
class Asked:
    """``command_id``: the action. ``status``: where the call is that is not in progress. ``findings``: which rules forbid
    the second leg now. ``failed``: it was requested before, and this is why it came to nothing. ``inbound_number``: the
    platform would ring itself.
    """

    kind: Kind
    command_id: UUID | None = None
    status: str | None = None
    findings: Sequence[Finding] = ()
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """A transfer that is under way. ``status`` and ``end_reason``: of the second leg, the call ``leg_id``. ``ended``: it is
    over. ``agent_id``: another agent is to take over, and there is no second leg.
    """

    command_id: UUID
    attempt_id: UUID
    action: str | None
    leg_id: UUID | None
    status: str | None
    ended: bool
    end_reason: str | None
    agent_id: UUID | None = None
    agent_name: str | None = None
    agent_url: str | None = None
    agent_protocol: str | None = None
    agent_fallback: dict[str, Any] | None = None
    agent_voice: str | None = None
    agent_sample_rate: int | None = None
    agent_secret: str | None = field(default=None, repr=False)
    agent_kind: str | None = None  # websocket or fleet
    agent_pool: str | None = None
    agent_pool_key: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What its asker calls it."""
        return (self.action or str(self.command_id)).removeprefix("agent:")


@dataclass(frozen=True, slots=True)
class _First:
    """The call that is put through."""

    ended: bool
    status: str
    agent_id: UUID
    transfer_to: list[str]
    test: bool
    to_number: str
    from_number: str
    direction: str
    max_duration_s: int
    transfer_of: UUID | None
    recipient: Any
    person: str | None  # whom its agent is, where that is a number
    trunk: str | None  # the way there, if the tenant may have it now; None: the number is dialed, by its route


def request_transfer(
    db: Database,
    tenant_id: UUID,
    call_id: UUID,
    to: str,
    by: str,
    now: datetime,
    terms: Terms,
    *,
    action: str | None = None,
) -> Asked:
    """Put the call through to ``to`` (E.164). ``by``: customer, agent or platform (which rings no number, anybody's, whose
    calls are taken here, but a trunk's); ``action``: the asker's own name for it, under which it is asked for once.

    Nothing is written unless it is ``requested``. Errors: :class:`store.hangup.OtherAction`.
    """
    params = {"tenant_id": tenant_id, "call_id": call_id, "action": action, "id": new_uuid7()}
    with db.connection() as conn:
        first = _read(conn, params)
    if first is None:
        return Asked("not_found")
    caller = first.to_number if first.direction == "inbound" else first.from_number
    known = permission.ask(db, tenant_id, first.agent_id, to, caller, test=first.test)
    # Test calls lead to the laboratory, whatever their number.
    by_trunk = first.trunk is not None and to == first.person and not first.test
    route = first.trunk if by_trunk else known.route
    recipient = Recipient(hours=known.standing.hours, otherwise=known.standing.time_zone)
    verdict = judge(
        facts_of(
            to=to,
            caller=caller,
            agent_kind=LEG_KIND,
            standing=known.standing,
            limits=Limits(zone(terms.time_zone), timedelta(seconds=terms.pdd_s + terms.ring_timeout_s)),
            recipient=recipient,
        ),
        now,
    )
    new = NewCall(
        tenant_id=tenant_id,
        agent_id=first.agent_id,
        to_number=to,
        from_number=caller,
        route=route or "none",
        due_at=now,
        expires_at=now + timedelta(seconds=terms.wait_s),
        max_attempts=1,
        ring_timeout_s=terms.ring_timeout_s,
        max_duration_s=first.max_duration_s,
        priority="urgent",
        # Rules of its own, with which it is in the index of who calls a number: whoever suppresses that finds it.
        retry=replace(RetryRules(), time_zone=terms.time_zone),
        recipient=replace(recipient, number=numbered(to)),
        decision=verdict.as_dict(),
        test=first.test,
    )
    refused: Asked | None = None
    if not allowed(to, first.transfer_to) and by != "platform":
        refused = Asked("not_allowed")
    elif by == "platform" and not by_trunk and numbers.called_here(db, [to]):
        # Nobody decides on each such call: it would come back as a caller, and be put through again, without an end.
        refused = Asked("inbound_number")
    elif route is None:
        refused = Asked("no_route")
    elif not verdict.permitted:
        refused = Asked("forbidden", findings=verdict.findings)
    return db.run(lambda conn: _request(conn, params, {"to": to, "call": str(new.id)}, new, by, now, refused))


def request_agent(
    db: Database, tenant_id: UUID, call_id: UUID, agent_id: UUID, by: str, now: datetime, *, action: str | None = None
) -> Asked:
    """Let another agent of the tenant's (kind websocket or fleet, in use, not paused) talk on; no second leg is dialed. As
    :func:`request_transfer`.
    """
    params = {"tenant_id": tenant_id, "call_id": call_id, "action": action, "id": new_uuid7()}

    def unit(conn: Conn) -> Asked:
        known = conn.execute(_SQL["agent"], {"tenant_id": tenant_id, "agent_id": agent_id}).fetchone()
        first = _read(conn, params)
        refused: Asked | None = None
        if first is not None and not allowed(agent_ref(agent_id), first.transfer_to):
            refused = Asked("not_allowed")
        elif known is None:
            refused = Asked("unknown_agent")
        return _request(conn, params, {"agent": str(agent_id)}, None, by, now, refused)

    return db.run(unit)


def _read(conn: Conn, params: dict[str, Any]) -> _First | None:
    found = all_rows(conn, _First, _SQL["first"], params)
    return found[0] if found else None


def _request(
    conn: Conn,
    params: dict[str, Any],
    args: dict[str, str],
    new: NewCall | None,
    by: str,
    now: datetime,
    refused: Asked | None,
) -> Asked:
    if conn.execute(_HANGUP["lock_call"], params).fetchone() is None:
        return Asked("not_found")
    known = conn.execute(_ACTIONS["find_action"], params).fetchone()
    if known is not None:
        same_verb(known[1], "transfer")
        if any(known[2].get(name) != args.get(name) for name in ("to", "agent")):
            raise OtherAction("an action of this name was another transfer")
        result = known[3] or ""
        vain = result.startswith(NOT_TRANSFERRED)
        return Asked("requested", known[0], failed=result.removeprefix(f"{NOT_TRANSFERRED}: ") if vain else None)
    first = _read(conn, params)
    latest = conn.execute(_HANGUP["lock_latest"], params).fetchone()
    assert first is not None
    assert latest is not None, "a call has at least one attempt"
    attempt_id, state, switch = latest
    if first.ended or state != State.IN_PROGRESS:
        return Asked("not_in_progress", status=first.status)
    if refused is not None:
        return refused
    # A leg that was itself put through has no agent to come back to.
    if first.transfer_of is not None or conn.execute(_SQL["pending"], params).fetchone():
        return Asked("pending")
    if new is not None:
        _accept_leg(conn, params["call_id"], new, now)
    row = {
        **params,
        "attempt_id": attempt_id,
        "switch": switch,
        "args": Jsonb(args),
        "by": by,
    }
    conn.execute(_SQL["add"], row)
    return Asked("requested", params["id"])


def _accept_leg(conn: Conn, first_id: UUID, new: NewCall, now: datetime) -> None:
    """As :mod:`store.accepting` does, but for the bound of the queue: it waits for a person who is on the line."""
    row = conn.execute(_ACCEPT["context"], {"tenant_id": new.tenant_id}).fetchone()
    assert row is not None
    hook, clock, _, _ = row
    call, url = queued(new, Context(hook, clock, None), now)
    rows = Rows()
    rows.add(replace(call, transfer_of=first_id), url, new, now)
    for statement, given in rows.steps():
        conn.execute(statement, given)
    conn.execute(_SQL["leg_of"], {"id": call.id, "first": first_id})
    if rows.told:
        conn.execute(_OUTBOX["notify"])


def list_open(db: Database, switch: str) -> list[Open]:
    """Transfers of calls on that switch that are under way."""
    with db.connection() as conn:
        return all_rows(conn, Open, _SQL["list_open"], {"switch": switch})


def bridged(db: Database, leg_attempt: UUID, now: datetime) -> None:
    """The two hear each other: the action is carried out."""
    with db.connection() as conn:
        conn.execute(_SQL["bridged"], {"attempt_id": leg_attempt, "now": now, "result": TRANSFERRED})


def handed_on(db: Database, transfer: Open, now: datetime) -> None:
    """The other agent talks: the call is that one's from now on, and counts in its pool, if it has one."""

    def unit(conn: Conn) -> None:
        params = {"id": transfer.command_id, "agent_id": transfer.agent_id, "now": now, "result": HANDED_ON}
        conn.execute(_SQL["hand_on"], params)
        talking = conn.execute(_SQL["counts_in"], params).fetchone()
        if talking is not None:
            attempt_id, lane, pool = talking
            conn.execute(_SQL["count_in"], {"attempt_id": attempt_id, "lane": lane_with_pool(lane, pool)})
        conn.execute(_SQL["handed_on"], params)

    db.run(unit)


def call_off(db: Database, attempt_id: UUID, now: datetime) -> None:
    """The first leg is over: nobody is to be rung for it any more."""
    with db.connection() as conn:
        legs = conn.execute(_SQL["legs"], {"attempt_id": attempt_id}).fetchall()
    for tenant_id, leg_id in legs:
        request_hangup(db, tenant_id, leg_id, "platform", now)
