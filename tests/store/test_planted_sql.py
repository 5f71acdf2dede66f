"""Would the tests notice? Bugs planted in the SQL of claims and conclusions; each makes the test fail that is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from store import attempts, change, commands, queue
from tests.jobs import test_watchdog
from tests.store import test_claim, test_evidence, test_queue, test_test_calls
from tests.store.conftest import World


@dataclass(frozen=True)
class Planted:
    """``old`` in a statement of ``module``'s file, and what stands there instead."""

    name: str
    module: Any
    statement: str
    old: str
    new: str
    caught: Callable[[World], None]


NOW = "coalesce(%(clock)s::timestamptz, statement_timestamp())"
PLANTED = [
    Planted("a claim in any epoch", attempts, "claim", "WHERE b.epoch = %(epoch)s ", "",
            test_claim.test_what_forbids_a_claim),
    Planted("a claim before its time", attempts, "claim", f"a.due_at <= {NOW}", "true",
            test_claim.test_what_forbids_a_claim),
    Planted("a claim of what has expired", attempts, "claim", f"c.expires_at > {NOW}", "true",
            test_claim.test_what_forbids_a_claim),
    Planted("a claim twice", attempts, "claim", "AND a.state = 'queued'", "", test_claim.test_of_racing_claims_one_wins),
    Planted("a claim in the laboratory of what is not its, and elsewhere of what is", attempts, "claim",
            "AND k.lab = %(lab)s AND call.test = k.lab", "", test_test_calls.test_the_laboratory_and_nothing_else),
    Planted("a claim of a laboratory carrier by any switch", attempts, "claim", "k.lab = %(lab)s AND ", "",
            test_test_calls.test_the_laboratory_and_nothing_else),
    Planted("a claim of a person's call by the laboratory", attempts, "claim", " AND call.test = k.lab", "",
            test_test_calls.test_the_laboratory_and_nothing_else),
    Planted("unclaim after it was sent", attempts, "unclaim", "('event', 'cdr', 'reconcile')", "('nobody')",
            test_claim.test_unclaim_refuses_once_the_switch_has_spoken),
    Planted("unclaim of another's claim", attempts, "unclaim", "AND a.fence = %(fence)s", "",
            test_claim.test_unclaim_gives_back_what_was_not_sent),
    Planted("evidence that is known counts again", change, "insert_evidence", "ON CONFLICT (call_id, dedupe) DO NOTHING", "",
            test_evidence.test_crossing_batches_neither_deadlock_nor_lose),
    Planted("an overdue row is asked about for ever", commands, "mark_asked", "probes = probes + 1, ", "",
            test_watchdog.test_a_silent_dial_ends_as_unknown_and_is_not_redialed),
    Planted("silence before the deadline", queue, "list_overdue",
            "a.deadline_at <= least(%(now)s, statement_timestamp())", "true",
            test_queue.test_silence_is_found_at_its_deadline_and_asked_about_once),
]  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_bug_is_caught(world: World, monkeypatch: pytest.MonkeyPatch, planted: Planted) -> None:
    statements = planted.module._SQL._statements
    sound = statements[planted.statement].decode()
    assert sound.count(planted.old) == 1
    monkeypatch.setitem(statements, planted.statement, sound.replace(planted.old, planted.new).encode())
    with pytest.raises((AssertionError, psycopg.errors.UniqueViolation)):
        planted.caught(world)
