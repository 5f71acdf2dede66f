"""A fresh controller's first dial, in a process that is patched before. Arguments: settings as JSON, attempt, carrier, and
``warmed`` or something else.

Prints as JSON what was done for the first time in it: modules that were imported, scripts that were put together, scripts
that Redis did not know.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any
from uuid import UUID

from budget import permits, scripts
from budget.connect import connect
from budget.worker import DialRunner
from calls.trunk import PLAIN
from controller import tombstones
from controller.board import Board
from controller.dial import Dial, place_call
from controller.esl import EslLink
from controller.warm import warm_up
from settings import Settings
from store.pool import open_database
from store.warm import warm


def main(options: str, attempt: str, carrier: str, warmed: bool) -> None:
    settings = Settings.model_validate_json(options)
    redis: Any = connect(settings)
    redis.script_flush()
    with (
        open_database(settings, "first-dial", cooperative=True, warm=warm if warmed else None) as db,
        EslLink(settings) as link,
        EslLink(settings, role="events") as events,
    ):
        board = Board(settings, db, redis, link, events)
        board.trunks[UUID(carrier)] = PLAIN
        tombstones.check(board)
        runner = DialRunner(redis, "dial-fresh")
        if warmed:
            warm_up(board, runner)

        def unknown() -> int:
            return int(redis.info("errorstats").get("errorstat_NOSCRIPT", {"count": 0})["count"])

        modules, put_together, unknown_before = set(sys.modules), scripts.source.cache_info().misses, unknown()
        now = time.monotonic()
        permit = permits.Grant(UUID(attempt), "lane", 0, 1, 0)
        dial = Dial(board, permit, UUID(carrier), now, now + 60, 0.0, 0, lambda _: None)
        jobs = runner.begin([(attempt, "lane")])
        results: list[str] = []
        runner.run(jobs[0], lambda: results.append(place_call(dial)))
        runner.end(jobs)
        permits.mark_all_claimed(redis, [(permit.attempt_id, permit.fence)])
        permits.release(redis, permit.attempt_id, permit.fence)
        told = {
            "result": results[0] if results else "failed",
            "imported": sorted(set(sys.modules) - modules),
            "put together": scripts.source.cache_info().misses - put_together,
            "unknown to Redis": unknown() - unknown_before,
        }
    print(json.dumps(told))


if __name__ == "__main__":
    options, attempt, carrier, warmed = sys.argv[1:]
    main(options, attempt, carrier, warmed == "warmed")
