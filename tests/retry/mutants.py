"""Planted bugs: exact texts of the retry policy, of the clocks it goes by, and of those who carry out what it decides; and
what stands there instead. ``caught`` names who must notice: None, the lives of tests/retry/lives.py; otherwise a test.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.retry.plant import in_code, in_sql
from tests.store import test_call_retries as retries
from tests.store import test_call_windows as windows
from tests.store import test_evidence
from tests.store.conftest import World
from tests.unit.calls import test_permission as permission
from tests.unit.calls import test_retry as rules
from tests.unit.calls import test_windows as clocks


@dataclass(frozen=True)
class Mutant:
    """A bug in ``module``, or in its statement ``query``."""

    name: str
    module: str
    old: str
    new: str
    caught: Callable[[], None] | None = None
    query: str | None = None

    def planted(self) -> AbstractContextManager[None]:
        if self.query is None:
            return in_code(self.module, self.old, self.new)
        return in_sql(self.module, self.query, self.old, self.new)


@dataclass(frozen=True)
class Stored(Mutant):
    """One that is noticed in Postgres."""

    notices: Callable[[World], None] | None = None


def _stored(name: str, module: str, old: str, new: str, by: Callable[[World], None], query: str | None = None) -> Stored:
    return Stored(name, module, old, new, None, query, by)


R, W, T = "calls.retry", "calls.windows", "store.work"

GUARD = 'raise TypeError("a new attempt needs a Retry of calls.retry.apply_retry_policy")'
UNGUARDED = """from types import SimpleNamespace
            decision = SimpleNamespace(due_at=context.now, dial_until=None, counts=True, reason="busy", held=None)"""

MUTANTS = [
    # One budget over all reasons
    Mutant("budget stacked per reason", R, "elif call.attempts_counted >= min(",
           "elif call.earlier.count(verdict.retry_class) + 1 >= min("),
    Mutant("one attempt too many", R, "elif call.attempts_counted >= min(", "elif call.attempts_counted > min("),
    Mutant("the platform's bound ignored", R, "min(call.max_attempts, rules.max_attempts)", "call.max_attempts",
           rules.test_the_platforms_bound_holds_over_the_calls_own),
    Mutant("capacity counts as an attempt", R, "call, earliest, verdict.end_reason, counts=not free",
           "call, earliest, verdict.end_reason, counts=True"),
    Mutant("capacity is bounded by the attempts", R, "    if free:\n", "    if False:\n"),
    Mutant("free tries without end", R, "if _free_tries(call) >= rules.max_free:", "if False:"),
    Mutant("free tries do not slow down", R, "rules.capacity_s << min(_free_tries(call), 20)", "rules.capacity_s",
           rules.test_a_full_trunk_uses_up_no_attempt_waits_longer_each_time_and_gives_up),
    # Who is never dialed again, and who not yet
    Mutant("unknown redialed", R, "RetryClass.UNKNOWN and rules.on_unknown:", "RetryClass.UNKNOWN:"),
    Mutant("unknown redialed while it may ring", R,
           "max(_nth(rules.no_answer_gaps_s, nth), call.ring_timeout_s + rules.crash_linger_s)",
           "_nth(rules.no_answer_gaps_s, nth)"),
    Mutant("unknown redialed while the carrier counts it", R, "call.ring_timeout_s + rules.crash_linger_s",
           "call.ring_timeout_s"),
    Mutant("uncertain does not wait", R, "max(gap, call.ring_timeout_s) if verdict.uncertain else gap", "gap"),
    Mutant("declined redialed", R, "RetryClass.DECLINED and rules.on_declined:", "RetryClass.DECLINED:"),
    Mutant("declined again and again", R, "and RetryClass.DECLINED in call.earlier:", "and False:"),
    Mutant("declined, again the same day", R, "earliest = max(earliest, call.limits.next_day(now))", "pass",
           rules.test_whoever_refused_is_called_once_more_on_another_local_day),
    Mutant("cancel ignored", R, "if call.cancel_requested:", "if False:"),
    Mutant("unreadable rules ignored", R, "if call.unreadable is not None:", "if False:"),
    # When
    Mutant("gap of the next index", R, "return gaps[min(nth, len(gaps) - 1)]", "return gaps[min(nth + 1, len(gaps) - 1)]"),
    Mutant("gaps counted over all reasons", R, "call.earlier.count(retry_class)", "len(call.earlier)"),
    Mutant("busy waits as no answer does", R, "_nth(rules.busy_gaps_s, nth)", "_nth(rules.no_answer_gaps_s, nth)"),
    Mutant("expiry compare flipped", R, "if earliest >= call.expires_at:", "if earliest < call.expires_at:"),
    Mutant("due at the moment it expires", R, "if earliest >= call.expires_at:", "if earliest > call.expires_at:",
           lambda: rules.test_a_retry_that_would_be_due_after_expiry_ends_the_call_as_expired(120, ends=True)),
    Mutant("window and caps ignored", R, "call.limits.first(earliest, call.expires_at)",
           "type(call.limits)(call.limits.zone, call.limits.need).first(earliest, call.expires_at)"),
    Mutant("said until never", R, "reason, opening.until, held", "reason, None, held"),
    Mutant("a ring that was seen is not counted", R, "return rang or ", "return "),
    Mutant("a proven fault counts as a ring", R, "not in NOBODY_RANG", "not in FREE"),
    # By the clock there
    Mutant("the ring ends outside", W, "timedelta(minutes=self.to_minute) - wall)",
           "timedelta(minutes=self.to_minute) - wall) + need"),
    Mutant("the last minute is inside", W, "timedelta(minutes=self.to_minute) - wall)",
           "timedelta(minutes=self.to_minute + 1) - wall)"),
    Mutant("the window opens a minute late", W, "timedelta(minutes=self.from_minute) - wall)",
           "timedelta(minutes=self.from_minute + 1) - wall)",
           clocks.test_minutes_are_half_open_and_the_ring_may_end_with_the_window),
    Mutant("a clock change is not seen", W, "end = stretch(self.zone, here, wall, offset, limit)",
           "end = min(here + (datetime.combine(wall.date(), datetime.min.time()) + DAY - wall), limit)",
           clocks.test_a_clock_put_back_shows_the_window_twice),
    Mutant("the days are UTC's", W, "if wall.weekday() in self.days:", "if here.weekday() in self.days:"),
    Mutant("the days begin on Sunday", W, "if wall.weekday() in self.days:", "if wall.isoweekday() % 7 in self.days:"),
    Mutant("midnight closes every window", W, "if found is None or first > closed:", "if found is None or first >= closed:",
           clocks.test_midnight_ends_no_ring_that_both_days_allow),
    Mutant("caps per day ignored", W, "            if wall.date() not in full:\n", "            if True:\n"),
    Mutant("one dial a day too many", W, "if count >= most}", "if count > most}"),
    Mutant("days counted by UTC", W, "Counter(shown(self.zone, at)[0].date() for at in rang)",
           "Counter(at.date() for at in rang)"),
    Mutant("cap of the number forgotten", W, " | self._full(self.number_rang, self.number_per_day)", ""),
    Mutant("the claim does not ask for the window", W, "if self.window is not None and self.window.opening",
           "if False and self.window.opening"),
    Mutant("nobody asks for the hours", W, "if self.hours is not None and self.hours.opening",
           "if False and self.hours.opening",
           permission.test_a_prefix_of_two_zones_is_called_when_both_allow_it),
    Mutant("one zone of a prefix is enough", W, "if latest == here:", "if True:",
           permission.test_a_prefix_of_two_zones_is_called_when_both_allow_it),
    Mutant("hours of the first zone alone", "calls.hours", "for zone in zones)", "for zone in zones[:1])",
           permission.test_a_prefix_of_two_zones_is_called_when_both_allow_it),
    Mutant("the claim does not ask for the caps", W, "if day in self._full(self.rang, self.per_day):", "if False:"),
    # Nobody but the policy makes an attempt
    Mutant("anybody decides", R, "if seal is not _SEAL:", "if False:", rules.test_nobody_else_makes_a_decision),
    _stored("an attempt without a decision", T, GUARD, UNGUARDED,
            test_evidence.test_a_new_attempt_demands_a_retry_decision),
    # Those who carry it out
    _stored("every try counted", T, "(1 if decision.counts else 0)", "1",
            retries.test_what_reached_nobody_is_no_dial_of_the_day),
    _stored("the call's own rules ignored", T, "apply_retry_policy(known, facts, rules, context.now)",
            "apply_retry_policy(known, facts, context.rules, context.now)",
            retries.test_the_rules_kept_with_the_call_go_before_the_platforms),
    _stored("the attempt is not told until when", T, "dial_until=decision.dial_until", "dial_until=None",
            retries.test_a_retry_waits_for_the_window_and_the_attempt_says_until_when),
    _stored("how it ended before is forgotten", "store.change", "by_call[call_id].past = before", "pass",
            retries.test_whoever_refused_is_called_once_more_on_another_day_where_the_call_says_so),
    _stored("the dial that just ended is not counted", "store.facts", "rang.append(attempt.claimed_at)", "pass",
            retries.test_a_calls_own_dials_per_day),
    _stored("the claim trusts what was worked out", "store.claim", "if verdict.permitted:", "if True:",
            lambda world: windows.test_the_rule_itself_is_asked_whatever_was_worked_out_before(world, None)),
    _stored("unreadable, and dialed", "store.claim", 'return "unreadable"', "return {}",
            lambda world: windows.test_what_cannot_be_read_is_never_dialed(world, "dial_window", {}, "window")),
    _stored("past its time, and claimed", "store.attempts",
            "AND (a.dial_until IS NULL OR a.dial_until >= coalesce(%(clock)s::timestamptz, statement_timestamp()))", "",
            windows.test_the_statement_itself_refuses_what_is_past_its_time, "claim"),
    _stored("what reached nobody counts at the claim", "store.attempts", "a.retry_class = ANY(%(quiet)s)", "false",
            retries.test_what_reached_nobody_is_no_dial_of_the_day, "claim"),
    _stored("refused, and offered again at once", "store.reschedule", "attempt.due_at if why is None else opening.at",
            "attempt.due_at", windows.test_a_claim_is_refused_where_the_ring_would_not_end_inside),
    _stored("refused, and in a lane still", "store.reschedule", ", pushed_epoch = NULL, pushed_at = NULL", "",
            windows.test_a_claim_is_refused_where_the_ring_would_not_end_inside, "move_attempts"),
    _stored("refused, and nobody told why", "store.reschedule", "moved = [one for one in later if one.why is not None]",
            "moved = []", windows.test_a_claim_is_refused_where_the_ring_would_not_end_inside),
    _stored("a live attempt rescheduled", "store.reschedule", "AND a.state = 'queued' AND NOT c.ended", "",
            windows.test_rescheduling_touches_nothing_that_is_out_or_over, "lock_queued"),
]  # fmt: skip

#: In the database itself: a look at a number without its turn.
TURN = "PERFORM pg_advisory_xact_lock(hashtextextended(of_number, hashtextextended('dials of ' || of_tenant::text, 0)));"
