"""Would anybody notice? Each planted bug of call state's rules is caught, by the rehearsal or by the test that is named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import pytest

from calls import lifecycle, retry, watch
from calls.evidence import End, State
from lab.rehearse.redis import RehearsalRedis
from store import work
from store.change import Condition
from tests.lab import test_books_rules
from tests.lab.planted import Planted
from tests.lab.test_state_rehearsal import quick
from tests.unit.calls import test_lifecycle, test_retry, test_watch

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
#: The rehearsal finds what it finds in one of so many seeds, the bug's own first, with so few calls.
SEEDS, CALLS = range(1, 9), 30


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = RehearsalRedis()
    yield server.url
    server.close()


PLANTED = [
    # Evidence
    Planted("rank guard dropped", lifecycle.join, "max(one.state, other.state, key=Rank.of)", "other.state",
            test_lifecycle.test_an_answered_call_with_a_watchdog_that_spoke_too_early),
    Planted("worse evidence wins", lifecycle.join, "_end_order(one) >=", "_end_order(one) <",
            test_lifecycle.test_what_a_background_job_says_gives_way_to_what_the_channel_says),
    Planted("the last end wins", lifecycle.join, "one if _end_order(one) >= _end_order(other) else other",
            "other if other.ended_at else one",
            test_lifecycle.test_an_answered_call_with_a_watchdog_that_spoke_too_early),
    Planted("a duplicate's refusal ends the live call", lifecycle._end_order, "        not facts.local,", "        True,",
            partial(test_lifecycle.test_of_one_source_the_end_that_knows_more_wins_whatever_its_key,
                    End("lost", NOW), End("never_sent", NOW, local=True))),
    Planted("end without its answer time", lifecycle.best_end, "answered_at=facts.answered_at", "answered_at=None",
            breaks="a wrong end"),
    # Rows
    Planted("a webhook without its number", work.CallWork._tell, "self.call.sequence + 1", "self.call.sequence",
            breaks="webhooks with a gap"),
    Planted("each end decides anew", work.CallWork.see, "elif not before.ended:", "elif True:",
            breaks="a call that ended goes on", seed=5),
    Planted("deadline not moved with the state", work.CallWork.see,
            "deadline(after.state, self.call, attempt, context.timers, context.now)", "attempt.deadline_at",
            breaks="hung up before its time"),
    Planted("a late answer spares nobody", work.CallWork._correct, 'latest.state == "queued"', "False",
            test_books_rules.test_whoever_answered_after_all_is_not_called_again),
    Planted("a conclusion needs no condition", Condition.holds, "attempt.state == self.state", "True or attempt.state",
            test_books_rules.test_a_conclusion_counts_only_while_it_holds),
    Planted("attempts are not counted", work.CallWork._write_attempt, "(1 if decision.counts else 0)", "0",
            breaks="more attempts than allowed"),
    # Retry
    Planted("retry of an unknown", retry._gap_s, "    return None", "    return rules.carrier_gaps_s[0]",
            breaks="an unknown end is dialed again"),
    Planted("retry at once", retry.apply_retry_policy, "now + timedelta(seconds=", "now + 0 * timedelta(seconds=",
            breaks="a retry comes too soon"),
    Planted("retry though called off", retry.apply_retry_policy, "if call.cancel_requested:", "if False:",
            test_retry.test_a_hangup_asked_for_meanwhile_ends_what_would_be_tried_again),
    # Who watches
    Planted("the watchdog does not ask", watch.may_conclude, "probes >= PROBES", "True",
            test_watch.test_the_switch_is_asked_twice_before_silence_is_an_end),
    Planted("what lives is killed", watch.probed, "Rank.of(far) > Rank.of(believed)", "False",
            breaks="hung up before its time", seed=3),
    Planted("tombstone ignored", watch.absent, '"lost" if tombstone or restarted', '"lost" if restarted',
            breaks="an unknown end is dialed again"),
    Planted("restart of the switch ignored", watch.restarted_under, " or claimed_at < core_since", "",
            partial(test_watch.test_what_a_missing_channel_means, 2.0, False, 5, "lost")),
    Planted("a lost link's socket ignored", watch.absent, "waited_s < grace_s", "False",
            partial(test_watch.test_what_a_missing_channel_means, 2.0, False, 60, None)),
    Planted("concluded in the first round", watch.ripe, "waited_s >= ROUND_S and", "",
            partial(test_watch.test_when_a_missing_channel_is_decided_on, 1.1, False, False, False)),
    Planted("the list is believed while catching up", watch.look, "if listed and not missed", "if listed",
            partial(test_watch.test_how_a_row_is_looked_at, 2.0, True, True, watch.Look.ASK)),
    Planted("a conversation is cut with its row", watch.must_end, "and far is not State.IN_PROGRESS", "",
            partial(test_watch.test_which_stray_channel_is_hung_up, "ended", State.IN_PROGRESS, False)),
    Planted("a leaked lease is kept", watch.leaked, "row is None or row == State.ENDED", "row is None",
            breaks="leases", seed=2),
    Planted("a killed INVITE counts no longer", watch.linger_s, "None if heard else sip_death_s", "None",
            partial(test_watch.test_how_long_a_channel_goes_on_counting, {"cause": "NO_ANSWER"}, 6.0)),
    Planted("a dead switch's calls count no longer", watch.linger_s, "return crash_linger_s", "return None",
            partial(test_watch.test_how_long_a_channel_goes_on_counting,
                    {"cause": "lost", "note": watch.SWITCH_RESTARTED}, 300.0)),
]  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_bug_is_caught(url: str, planted: Planted) -> None:
    with planted.there():
        if planted.caught is not None:
            with pytest.raises((AssertionError, pytest.fail.Exception)):
                planted.caught()
            return
        for seed in sorted(SEEDS, key=lambda seed: seed != planted.seed):
            told = quick(seed, url, CALLS)
            said = [*told.broken, *(["leases left"] if told.budget.leases_left else [])]
            if any(planted.breaks in what for what in said):
                break
    assert not told.ok
    assert any(planted.breaks in what for what in said), told.first


def test_a_bug_that_cannot_be_planted_is_told() -> None:
    with pytest.raises(ValueError, match="holds its text 0 times"), Planted("x", watch.leaked, "no such text", "").there():
        pass
