"""Lives of calls under the policy that runs, from a seed: every end that may come, at clocks that change, and a claim that
asks again. The promises are judged by counting of their own; what breaks one raises :class:`Broken`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from calls import retry
from calls.evidence import Outcome, RetryClass, State
from calls.lifecycle import AttemptFacts
from calls.rules import RetryRules
from calls.windows import Limits, Window
from tests.retry.clocks import ODD, ZONES, a_moment, a_window, day_of, inside

C = RetryClass
#: Proven that no phone rang, for reasons of the trunk or ours: uses up no attempt. Written out here on purpose.
FREE = {C.CARRIER_CAPACITY, C.CONFIGURATION, C.SWITCH_LOCAL, C.NOT_SENT}
SILENT = FREE | {C.CARRIER_FAULT, C.CARRIER_BLOCK, C.BAD_NUMBER}
NEVER = {C.ANSWERED, C.BAD_NUMBER, C.CARRIER_BLOCK, C.CANCELED, C.POLICY, C.INBOUND}
#: What mostly happens, so that lives go on for a while.
USUAL = (C.BUSY, C.NO_ANSWER, C.CARRIER_FAULT, C.CARRIER_CAPACITY, C.UNKNOWN, C.DECLINED, C.NOT_SENT, C.SWITCH_LOCAL)
PDD_S = 25
S = timedelta(seconds=1)


class Broken(AssertionError):
    """A promise of the policy does not hold."""


def hold(promise: str, kept: bool, *about: object) -> None:
    if not kept:
        raise Broken(f"{promise}: {about}")


@dataclass
class Life:
    """One call as the world sees it. ``dials``: (when, how it ended, whether the phone may have rung)."""

    draw: Random
    name: str
    rules: RetryRules
    window: Window | None
    max_attempts: int
    ring_s: int
    born: datetime
    expires_at: datetime
    cancel_after: int | None
    dials: list[tuple[datetime, RetryClass, bool]] = field(default_factory=list)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.name)

    @property
    def need(self) -> timedelta:
        return timedelta(seconds=PDD_S + self.ring_s)

    def limits(self) -> Limits:
        rang = tuple(at for at, _, rang in self.dials if rang)
        return Limits(self.zone, self.need, self.window, self.rules.per_day, self.rules.number_per_day, rang, rang)

    def count(self, *classes: RetryClass) -> int:
        return sum(one in classes for _, one, _ in self.dials)


def begin(draw: Random) -> Life:
    name = draw.choice((draw.choice(ODD), draw.choice(ZONES)))
    born = a_moment(draw, name)
    window = a_window(draw, name, least=4) if draw.random() < 0.6 else None
    return Life(
        draw=draw,
        name=name,
        rules=RetryRules(
            busy_gaps_s=gaps(draw),
            no_answer_gaps_s=gaps(draw),
            carrier_gaps_s=gaps(draw),
            max_free=draw.choice((0, 3, 100)),
            on_unknown=draw.random() < 0.5,
            on_declined=draw.random() < 0.5,
            crash_linger_s=draw.choice((0.0, 300.0)),
            per_day=draw.choice((None, 1, 2, 3)),
            number_per_day=draw.choice((None, None, 2)),
            time_zone=name,
        ),
        window=window,
        max_attempts=draw.choice((1, 2, 3, 10)),
        ring_s=draw.choice((5, 30, 120)),
        born=born,
        expires_at=born + draw.choice((600, 7200, 86_400, 14 * 86_400)) * S,
        cancel_after=draw.choice((None, None, None, 1, 2)),
    )


def gaps(draw: Random) -> tuple[int, ...]:
    return tuple(draw.choice((1, 5, 60, 600, 7200)) for _ in range(draw.randint(1, 4)))


def live(draw: Random, most: int = 40) -> None:
    """One call from its acceptance to its end. Raises :class:`Broken`."""
    life = begin(draw)
    opening = life.limits().first(life.born, life.expires_at)
    due_at = None if opening is None else opening.at
    while due_at is not None and len(life.dials) < most:
        at = due_at + draw.choice((0, 0, 3, 4000)) * S  # it may have to wait in line
        if life.limits().against(at) is not None or at >= life.expires_at:
            # As the claim does it: not now, but at the next moment that is allowed.
            opening = life.limits().first(at, life.expires_at)
            due_at = None if opening is None else opening.at
            continue
        _dialed(life, at)
        due_at = _ended(life, at, at + draw.uniform(0, life.need.total_seconds()) * S)
    hold("it ends", len(life.dials) < most or life.rules.max_free == 100, len(life.dials))


def _dialed(life: Life, at: datetime) -> None:
    hold("no dial outside of its window", inside(life.window, at, life.need), life.window, at)
    hold("no dial after it expired", at < life.expires_at, at)
    _capped(life, at)


def _capped(life: Life, at: datetime) -> None:
    days = Counter(day_of(life.zone, one) for one, _, rang in life.dials if rang)
    for cap in (life.rules.per_day, life.rules.number_per_day):
        hold("no more dials a day than its cap", cap is None or days[day_of(life.zone, at)] < cap, cap, at)


def _ended(life: Life, at: datetime, now: datetime) -> datetime | None:
    """The end, at ``now``, of what was dialed at ``at``, and its decision; when it is dialed again."""
    draw = life.draw
    how = draw.choice(USUAL) if draw.random() < 0.93 else draw.choice(list(RetryClass))
    seen = draw.random() < 0.5 and how not in FREE
    end = AttemptFacts(
        state=State.ENDED,
        ended_at=now,
        ringing_at=now if seen else None,
        outcome=Outcome.COMPLETED if how is C.ANSWERED else Outcome.FAILED,
        end_reason=how.value,
        retry_class=how,
        uncertain=how is C.UNKNOWN or (how is C.NO_ANSWER and draw.random() < 0.5),
    )
    earlier = tuple(one for _, one, _ in life.dials)
    rang = seen or how not in SILENT
    hold("who may have rung is counted", retry.may_have_rung(end) is rang, how, seen)
    life.dials.append((at, how, rang))
    facts = retry.CallFacts(
        attempts_counted=_counted(life),
        attempts_made=len(life.dials),
        max_attempts=life.max_attempts,
        expires_at=life.expires_at,
        ring_timeout_s=life.ring_s,
        cancel_requested=life.cancel_after is not None and len(life.dials) >= life.cancel_after,
        earlier=earlier,
        limits=life.limits(),
        unreadable="cannot be read" if draw.random() < 0.03 else None,
    )
    decision = retry.apply_retry_policy(facts, end, life.rules, now)
    _monotone(facts, end, life, now, decision)
    wanted = _wanted(life, facts, end)
    if isinstance(decision, retry.Stop):
        _stopped(life, facts, now, wanted, decision)
        return None
    hold("retried only what is to be", wanted is not None, how, facts)
    assert wanted is not None
    hold("each try counts, but those that reached nobody", decision.counts is (how not in FREE), how)
    hold("never closer than the gap", decision.due_at >= now + wanted, how, wanted, decision)
    hold("due before it expires", decision.due_at < life.expires_at, decision)
    day = day_of(life.zone, decision.due_at)
    hold("whoever refused, on another day", how is not C.DECLINED or day > day_of(life.zone, now), decision)
    _capped(life, decision.due_at)
    hold("due inside", inside(life.window, decision.due_at, life.need), decision)
    until = decision.dial_until
    hold("said until when", (until is None) is (life.window is None), decision)
    hold("until then inside", until is None or inside(life.window, until, life.need), decision)
    return decision.due_at


def _counted(life: Life) -> int:
    """As calls.attempt_count: it begins with one, and each try that counts adds one."""
    return 1 + sum(how not in FREE for _, how, _ in life.dials[:-1])


def _wanted(life: Life, facts: retry.CallFacts, end: AttemptFacts) -> timedelta | None:
    """The least wait that the rules ask for after this end; None: no other try. Written out as docs/retries.md says it."""
    how, rules = end.retry_class, life.rules
    assert how is not None
    if how in NEVER or facts.cancel_requested or facts.unreadable is not None:
        return None
    if how in FREE:
        free = life.count(*FREE)
        return None if free > rules.max_free else min(2 ** min(free, 6), 60) * S
    if 1 + sum(one not in FREE for one in facts.earlier) >= life.max_attempts:
        return None
    nth = life.count(how) - 1
    of = {C.BUSY: rules.busy_gaps_s, C.CARRIER_FAULT: rules.carrier_gaps_s}.get(how, rules.no_answer_gaps_s)
    wait = (of[nth] if nth < len(of) else of[-1]) * S
    if how is C.DECLINED:
        return timedelta(days=1) if rules.on_declined and nth == 0 else None
    if how is C.UNKNOWN:
        if not rules.on_unknown:
            return None
        wait = max(wait, (life.ring_s + rules.crash_linger_s) * S)
    return max(wait, life.ring_s * S) if end.uncertain else wait


def _stopped(life: Life, facts: retry.CallFacts, now: datetime, wanted: timedelta | None, stop: retry.Stop) -> None:
    if wanted is not None:
        hold("what is to be retried is", stop.status is Outcome.EXPIRED, stop, facts)
        # And really there was no moment: not the first, nor any that is drawn.
        for _ in range(20):
            at = now + wanted + life.draw.random() * (life.expires_at - now - wanted)
            if now + wanted <= at < life.expires_at and life.dials[-1][1] is not C.DECLINED:
                full = life.limits().against(at) in ("per_day", "number_per_day")
                hold("expired only if nothing is left", full or not inside(life.window, at, life.need), at, stop)
    elif stop.status is Outcome.CANCELED and life.dials[-1][1] is not C.CANCELED:
        hold("canceled if it was asked for", facts.cancel_requested, stop)


def _monotone(facts: retry.CallFacts, end: AttemptFacts, life: Life, now: datetime, first: retry.Decision) -> None:
    later = now + life.draw.choice((1, 60, 5000, 90_000)) * S
    second = retry.apply_retry_policy(facts, end, life.rules, later)
    if isinstance(first, retry.Stop):
        hold("a stop stays one", isinstance(second, retry.Stop), first, second)
    elif isinstance(second, retry.Retry):
        hold("decided later, due no earlier", second.due_at >= first.due_at, first, second)
    else:
        hold("decided too late is expired", second.status is Outcome.EXPIRED, first, second)


def drive(seeds: int, seed: int = 0) -> None:
    """So many lives. Raises :class:`Broken`."""
    for one in range(seed, seed + seeds):
        try:
            live(Random(one))
        except Broken as broken:
            raise Broken(f"seed {one}: {broken}") from broken
