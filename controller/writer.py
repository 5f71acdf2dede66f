"""The event writer: evidence in, one transaction per few milliseconds out, then what an end sets free.

Evidence waits here while Postgres is away; it is never dropped. One attempt always goes through the same shard, and the
rules are such that order does not matter anyway.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from uuid import UUID

import gevent
import psycopg
from gevent.queue import Empty, Queue
from redis.exceptions import RedisError

from budget import permits, refusals
from calls.evidence import Evidence, State
from calls.retry import RetryRules
from calls.watch import linger_s
from controller import commands
from controller.board import Board
from controller.esl import EslError
from crashpoint import crash_point
from store import attempts
from store.failures import is_transient

log = logging.getLogger(__name__)


#: Writers at work together. Few on purpose: while one transaction is out, the next batch gathers by itself.
WRITERS = 2


class EventWriter:
    """``record`` may be called by any greenlet and returns at once."""

    def __init__(self, board: Board, rules: RetryRules) -> None:
        self._board = board
        self._rules = rules
        self._queues: list[Queue[Evidence]] = [Queue() for _ in range(WRITERS)]
        self._waiting: Counter[UUID] = Counter()
        self.set_aside = 0
        self.on_ended: Callable[[Evidence], None] = lambda _: None

    def record(self, evidence: Evidence) -> None:
        self._waiting[evidence.attempt_id] += 1
        self._queues[evidence.attempt_id.int % len(self._queues)].put(evidence)

    def waits(self, attempt_id: UUID) -> bool:
        """Whether something seen of this attempt is not yet in Postgres."""
        return attempt_id in self._waiting

    @property
    def backlog(self) -> int:
        """Observations not yet in Postgres."""
        return self._waiting.total()

    def run(self) -> list[gevent.Greenlet[..., None]]:
        """Starts the shards."""
        return [gevent.spawn(self._shard, i) for i in range(len(self._queues))]

    def _shard(self, index: int) -> None:
        queue, settings = self._queues[index], self._board.settings
        while True:
            batch = [queue.get()]
            gevent.sleep(settings.event_batch_ms / 1000)
            while len(batch) < settings.event_batch_max:
                try:
                    batch.append(queue.get_nowait())
                except Empty:
                    break
            self._apply(batch)
            for evidence in batch:
                self._waiting[evidence.attempt_id] -= 1
                if self._waiting[evidence.attempt_id] <= 0:
                    del self._waiting[evidence.attempt_id]

    def _apply(self, batch: list[Evidence]) -> None:
        wait = 0.05
        ends = {e.attempt_id: e for e in batch if e.state is State.ENDED}
        if ends:
            crash_point("writer.end_seen")
        while True:
            try:
                applied = attempts.apply_evidence(self._board.db, batch, rules=self._rules, timers=self._board.settings)
                break
            except (psycopg.Error, OSError) as error:
                if not is_transient(error):
                    self._set_aside(batch, error)
                    return
                log.warning("evidence waits for Postgres", extra={"count": len(batch), "error": str(error)})
                gevent.sleep(wait)
                wait = min(wait * 2, 2.0)
        over = [(row, ends[row.attempt_id]) for row in applied if row.attempt_id in ends and row.state == State.ENDED]
        if over:
            self._free(over)

    def _set_aside(self, batch: list[Evidence], error: Exception) -> None:
        """Something in the batch cannot be stored, now or ever: it must not stop the others. Its attempt has a deadline."""
        if len(batch) > 1:
            for evidence in batch:
                self._apply([evidence])
            return
        self.set_aside += 1
        log.error("evidence set aside", extra={"evidence": repr(batch[0]), "error": str(error)})

    def _free(self, over: Sequence[tuple[attempts.Applied, Evidence]]) -> None:
        """After the ends are committed: the channels are given back, then the tombstones go."""
        board = self._board
        for row, evidence in over:
            crash_point("writer.end_committed")
            self.on_ended(evidence)
            refusals.on_end(board.redis, board.settings, row, evidence)
        held = [(row.attempt_id, row.fence, self._linger_us(seen)) for row, seen in over if row.fence is not None]
        try:
            permits.release_each(board.redis, held)
        except (RedisError, OSError):
            log.warning("leases not released; reconcile will", extra={"attempts": [str(attempt) for attempt, *_ in held]})
        for _ in held:
            crash_point("writer.released")
        try:
            board.link.write([commands.hash_delete(board.settings.tombstone_realm, row.attempt_id) for row, _ in over])
        except EslError:
            log.debug("tombstones left", extra={"attempts": [str(row.attempt_id) for row, _ in over]})

    def _linger_us(self, evidence: Evidence) -> int | None:
        """None: the carrier's own."""
        settings = self._board.settings
        lasts = linger_s(evidence.end, sip_death_s=settings.sip_death_s, crash_linger_s=settings.crash_linger_s)
        return None if lasts is None else int(lasts * 1_000_000)
