"""What the dialing path owes its callers: RQ's own tools work on it, and a hangup at any moment is a hangup."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from budget.replies import texts
from budget.scripts import PREFIX
from calls.ids import parse_ref
from lab.judge import read_log
from store import attempts, carriers, epoch
from store.calls import NewCall, accept_call
from tests.system.house import jobs_done
from tests.system.test_one_call import SILENT_CALLEE, Caller
from trunkline.children import wait_until
from trunkline.stack import Stack

pytestmark = pytest.mark.system


def arrivals(stack: Stack, attempt: str) -> list[str]:
    """What the carrier's socket saw of an attempt."""
    return [fact["k"] for fact in read_log(stack.arrivals("lab_a")) if fact.get("call_id") == attempt]


def test_a_call_enqueued_by_plain_rq_is_dialed(stack: Stack) -> None:
    caller = Caller(stack, "plain-rq")
    account = caller.account
    now = datetime.now(UTC)
    new = NewCall(
        tenant_id=account.id,
        agent_id=parse_ref("agent", caller.agent),
        to_number="+12125550109",
        from_number="+12025550100",
        route="all",
        due_at=now,
        expires_at=now + timedelta(hours=1),
        max_attempts=1,
        ring_timeout_s=30,
        max_duration_s=60,
    )
    accepted = accept_call(stack.db, new, idempotency=None, now=now)
    # Written down as laned already, so that nothing but the enqueue below brings it into its lane.
    attempts.mark_pushed(stack.db, [accepted.attempt_id], epoch.get(stack.db).epoch, now)
    with redis.Redis.from_url(stack.redis_url) as connection:
        before = jobs_done(connection)
        queue = Queue(accepted.lane, connection=connection, serializer=JSONSerializer)
        queue.enqueue("controller.dial.dial", job_id=str(accepted.attempt_id))
        ended = caller.wait_status(f"/v1/calls/call_{accepted.call.id.hex}", "completed")
        assert ended["end_reason"] == "hangup"
        assert jobs_done(connection) > before  # once more for each slot that a slow machine missed
        assert not Job.exists(str(accepted.attempt_id), connection=connection)
    assert arrivals(stack, str(accepted.attempt_id)).count("invite") == 1


def test_a_waiting_call_is_canceled_and_nothing_is_dialed(stack: Stack) -> None:
    caller = Caller(stack, "waiting")
    later = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    call = caller.post(SILENT_CALLEE, not_before=later)
    (attempt,) = caller.see(call, "/attempts")["data"]
    assert caller.api.post(f"{call}/actions/hangup", {}).status in (200, 202)
    assert caller.see(call)["status"] == "canceled"
    # Long after it was due, another call is through: the canceled one has had its chance and was not dialed.
    other = caller.post(SILENT_CALLEE, not_before=later, agent_variables={"hangup_after_s": 1})
    caller.wait_status(other, "in_progress", "completed")
    assert arrivals(stack, attempt["id"]) == []
    assert caller.see(call)["status"] == "canceled"


def test_a_hangup_between_claim_and_first_ring_is_carried_out(stack: Stack, lab: Callable[[str], str]) -> None:
    caller = Caller(stack, "early")
    assert lab("fault slow_originate_s 1.5").startswith("+OK")
    try:
        call = caller.post(SILENT_CALLEE)
        caller.wait_status(call, "dialing")
        assert caller.api.post(f"{call}/actions/hangup", {}).status in (200, 202)
        ended = caller.wait_status(call, "canceled", "failed", "no_answer", "completed")
    finally:
        assert lab("fault clear").startswith("+OK")
    assert (ended["status"], ended["hangup_by"]) == ("canceled", "customer")
    (attempt,) = caller.see(call, "/attempts")["data"]
    assert "answer" not in arrivals(stack, attempt["id"])
    wait_until("its lease to be given back", lambda: attempt["id"] not in _leases(stack), timeout_s=60)


def test_a_hangup_while_it_rings_is_carried_out(stack: Stack) -> None:
    caller = Caller(stack, "ringing")
    call = caller.post("+12125550102")
    caller.wait_status(call, "ringing")
    assert caller.api.post(f"{call}/actions/hangup", {}).status in (200, 202)
    ended = caller.wait_status(call, "canceled", "failed", "no_answer", "completed")
    assert (ended["status"], ended["hangup_by"]) == ("canceled", "customer")


def _leases(stack: Stack) -> set[str]:
    carrier: UUID = carriers.list_limits(stack.db)[0].id
    with redis.Redis.from_url(stack.redis_url) as connection:
        return set(texts(connection.zrange(f"{PREFIX}held:carrier:{carrier}", 0, -1)))
