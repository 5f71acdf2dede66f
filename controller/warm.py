"""Before the first permit: all that a dial does but the originate, done once, for nobody.

The first time costs more everywhere: a script of the budget is put together and compiled, a backend of Postgres looks at its
tables, a country's numbering plan is read. That time is the hub's, so it is the acknowledgement of whatever else is being
dialed that comes late, and its carrier rests for it.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from uuid import UUID

import psycopg
from redis.exceptions import RedisError

from budget import permits, scripts
from budget.worker import DialRunner
from calls.numbers import load_plans
from calls.trunk import PLAIN
from controller.board import Board
from controller.dial import Dial, place_call, wire_of
from controller.esl_wire import wire
from store.attempts import Claimed

log = logging.getLogger(__name__)

#: The attempt that there is not; no script and no statement finds anything of it.
NOBODY = UUID(int=0)
LANE = "dial:nobody"


def warm_up(board: Board, runner: DialRunner) -> None:
    """Raises nothing: with a store that is away nobody dials, and what it would have learned it learns later."""
    began = time.monotonic()
    load_plans()
    try:
        scripts.load(board.redis)
        _job(board, runner)
    except (RedisError, OSError) as error:
        log.warning("Redis was not warmed", extra={"error": str(error)})
    try:
        board.db.fill()
    except psycopg.Error as error:
        log.warning("Postgres was not warmed", extra={"error": str(error)})
    log.info("warm", extra={"ms": round((time.monotonic() - began) * 1000)})


def _job(board: Board, runner: DialRunner) -> None:
    """A dial job through RQ's books, its commands, and every verb that a permit may end with."""
    dial = _dial(board)
    jobs = runner.begin([(str(NOBODY), LANE)])
    if runner.run(jobs[0], lambda: place_call(dial)):  # burned: nobody is on duty yet; else its claim finds nobody
        runner.end(jobs)
    board.trunks[NOBODY] = PLAIN
    try:
        for command in wire_of(dial, _claimed()) or []:
            wire(command)
    finally:
        board.trunks.pop(NOBODY, None)
    for verb in (permits.mark_claimed, permits.release, permits.refuse, permits.requeue):
        verb(board.redis, NOBODY, 0)


def _dial(board: Board) -> Dial:
    permit = permits.Grant(NOBODY, LANE, 0, 0, -1)
    now = time.monotonic()
    return Dial(board, permit, NOBODY, now, now, 0.0, 0, lambda _: None)


def _claimed() -> Claimed:
    """As a claim of nobody's would look; a number that no one has (555-01xx)."""
    now = datetime.now(UTC)
    return Claimed(
        attempt_id=NOBODY, call_id=NOBODY, number=1, lane=LANE, priority="normal", tenant_id=NOBODY, tenant_name="nobody",
        to_number="+12025550100", from_number="+12025550101", agent_id=NOBODY, agent_kind="websocket", carrier_id=NOBODY,
        gateway="nobody", switch="nobody", fence=0, epoch=-1, ring_timeout_s=30, max_duration_s=60, pdd_s=10,
        claimed_at=now, deadline_at=now,
    )  # fmt: skip
