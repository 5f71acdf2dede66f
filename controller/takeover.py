"""What a controller that comes on duty finds of the one before it: permits not used, and dials nobody vouched for.

From the change of hands on no claim of the predecessor's is accepted any more, so a permit whose attempt is still queued
will never be used: it goes back at once, not when its deadline has passed. And each channel that is there says that its
INVITE has left: its carrier need not fear one of unknown time.
"""

from __future__ import annotations

import logging

from budget import permits
from calls.evidence import State
from controller import commands, esl_replies
from controller.board import Board
from crashpoint import crash_point
from store import attempts, carriers

log = logging.getLogger(__name__)


def inherit(board: Board) -> None:
    """Gives back what the switch's earlier controllers had not begun, and vouches for what they had.

    Raises ``psycopg.Error``, ``RedisError`` or ``EslError``: what was not done then, the sweeps and reconcile do later.
    """
    known = [carrier.id for carrier in carriers.list_limits(board.db)]
    ours = [lease for lease in permits.leases(board.redis, known) if lease.switch == board.settings.switch]
    states = attempts.states(board.db, [lease.attempt_id for lease in ours]) if ours else {}
    back = vouched = 0
    for lease in ours:
        row = states.get(lease.attempt_id)
        if row is None or row.state == State.ENDED:
            continue
        if row.state == State.QUEUED:
            back += permits.requeue(board.redis, lease.attempt_id, lease.fence)
            crash_point("takeover.given_back")
        elif row.state != State.DIALING or lease.attempt_id in board.created or _exists(board, lease):
            vouched += permits.mark_claimed(board.redis, lease.attempt_id, lease.fence)
            crash_point("takeover.vouched")
    if ours:
        log.info("taken over", extra={"leases": len(ours), "given_back": back, "vouched_for": vouched})


def _exists(board: Board, lease: permits.Lease) -> bool:
    return esl_replies.exists(board.link.call(commands.uuid_exists(lease.attempt_id)))
