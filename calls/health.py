"""How well a carrier does, from what became of the calls that were given to it: ok, slowed, stopped or probing, and why.

Calls are judged in the order in which they were dialed, not in that of their ends: a fault ends a call at once and a good
call rings, so whoever looks at the latest ends sees faults only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil, sqrt

from calls.dialed import Dialed, Kind
from calls.health_rules import Rules

NEXT_TRY = "; next try in "


class State(StrEnum):
    """What a carrier may get: all, less, nothing, a few counted calls."""

    OK = "ok"
    SLOWED = "slowed"
    STOPPED = "stopped"
    PROBING = "probing"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A way to the carrier as one switch sees it by its pings."""

    name: str
    switch: str
    up: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the latest calls, at most ``Rules.wide``. ``ner``: the network's share of success, user behaviour left out;
    ``asr``: answered of those whose fate is known. None: no calls to tell it by. ``unfit``: the trunk is set up wrongly.
    """

    calls: int = 0
    faults: int = 0
    refused: int = 0
    unfit: int = 0
    answered: int = 0
    ner: float | None = None
    asr: float | None = None
    pdd_p90_s: float | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict. ``score`` 0 to 100; ``probes``: counted calls still wanted; ``factor``: at most this share of its rate.

    The rest is what the next look needs: ``stops`` in a row, no probe before ``pause_until``, no call dialed before
    ``judged_from`` counts, ``pdd_s`` is the carrier's own p90.
    """

    state: State
    score: int
    why: str
    since: datetime
    probes: int = 0
    factor: float = 1.0
    stops: int = 0
    pause_until: datetime | None = None
    judged_from: datetime | None = None
    pdd_s: float | None = None
    looked_at: datetime | None = None
    figures: Figures = field(default_factory=Figures)


@dataclass(frozen=True, slots=True)
class History:
    """What a verdict rests on: the last one (None: none yet), the calls of the window in any order, the gateways.

    ``listening``: switches whose words reach us, and since when without a break; of others silence proves nothing.
    """

    before: Health | None
    calls: Sequence[Dialed]
    gateways: Sequence[Gateway] = ()
    listening: Mapping[str, datetime] = field(default_factory=dict)


def assess(history: History, now: datetime, rules: Rules) -> Health:
    """The carrier's health after one more look."""
    before = history.before or Health(State.OK, 100, "no calls yet", now)
    view = _View(history, before, now, rules)
    seen = replace(before, figures=view.figures, score=view.score, pdd_s=view.own_pdd_s, looked_at=now, factor=1.0, probes=0)
    ways = history.gateways
    if ways and not any(way.up for way in ways):
        names = ", ".join(sorted({f"{way.name} on {way.switch}" for way in ways}))
        why = f"no gateway answers its pings: {names}"
        if before.state is State.STOPPED:
            return replace(seen, score=0, why=why)
        return _stop(seen, why, now, rules)
    if before.state is State.STOPPED:
        return _pausing(seen, now, rules)
    if before.state is State.PROBING:
        return _probing(seen, view, now, rules)
    return _running(seen, view, now, rules)


class _View:
    """The calls that count, the latest dialed first."""

    def __init__(self, history: History, before: Health, now: datetime, rules: Rules) -> None:
        self.now, self.rules = now, rules
        since = now - timedelta(seconds=rules.window_s)
        since = max(since, before.judged_from or since)
        mine = sorted((c for c in history.calls if since <= c.dialed_at), key=lambda c: c.dialed_at, reverse=True)
        mine = _silent(mine, history.listening, before, now, rules)
        faults = [c for c in mine if c.kind is Kind.FAULT]
        # A call that has outlived the time in which the others failed has got through so far.
        slowest = max(((c.known_at or now) - c.dialed_at for c in faults), default=timedelta())
        first = min((c.dialed_at for c in faults), default=now)
        self.pending = [c for c in mine if c.kind is Kind.PENDING]
        self.judged = [
            c
            for c in mine
            if c.kind in (Kind.CARRIED, Kind.FAULT)
            or (c.kind is Kind.PENDING and c.dialed_at >= first and now - c.dialed_at > slowest)
        ][: rules.wide]
        self.known = [c for c in self.judged if c.kind is not Kind.PENDING]
        refused_since = now - timedelta(seconds=rules.refused_s)
        self.refused = [c for c in mine if c.kind is Kind.REFUSED and (c.known_at or c.dialed_at) > refused_since]
        self.unfit = [c for c in mine if c.unfit]
        self.any_refused = [c for c in mine if c.kind is Kind.REFUSED]
        self._measure(before)

    def _measure(self, before: Health) -> None:
        known, count = self.known, len(self.judged)
        faults = sum(c.kind is Kind.FAULT for c in self.judged)
        waits = sorted(c.pdd_s for c in known if c.pdd_s is not None)
        p90 = waits[ceil(0.9 * len(waits)) - 1] if len(waits) >= self.rules.pdd_least else None
        answered = sum(c.answered for c in known)
        self.figures = Figures(
            calls=count,
            faults=faults,
            refused=len(self.refused),
            unfit=len(self.unfit),
            answered=answered,
            ner=1 - faults / count if count else None,
            asr=answered / len(known) if known else None,
            pdd_p90_s=p90,
        )
        own = before.pdd_s
        if p90 is not None and own is None:
            own = p90
        elif p90 is not None and own is not None and before.looked_at is not None:
            passed = max(0.0, (self.now - before.looked_at).total_seconds())
            own += (p90 - own) * min(1.0, passed / self.rules.pdd_memory_s)
        self.own_pdd_s = own
        self.slow_pdd = p90 is not None and before.pdd_s is not None and self._is_slow(p90, before)
        # Few calls prove little: the first fault of all does not make it 0.
        lost = 100 * faults / max(count, self.rules.least) + min(20, 4 * len(self.refused)) + (15 if self.slow_pdd else 0)
        self.score = max(0, min(100, round(100 - lost)))

    def _is_slow(self, p90: float, before: Health) -> bool:
        own = before.pdd_s or 0.0
        most = max(self.rules.pdd_factor * own, own + self.rules.pdd_more_s)
        # Once slowed, it has to come most of the way back.
        return p90 > (own + (most - own) / 2 if before.state is State.SLOWED else most)


def _silent(
    calls: list[Dialed], listening: Mapping[str, datetime], before: Health, now: datetime, rules: Rules
) -> list[Dialed]:
    """Those that wait count as faults already when the carrier has said nothing of any call for long.

    While it says something, a call that waits long may go to where phones ring late; its own end will tell. So it is when
    nobody knows yet how long this carrier takes, or when the switch may have told us and we did not listen.
    """
    if before.pdd_s is None:
        return calls
    quiet = now - timedelta(seconds=max(rules.quiet_s, 2.5 * before.pdd_s))
    if any(c.heard_at is not None and c.heard_at > quiet for c in calls):
        return calls
    return [
        replace(c, kind=Kind.FAULT, known_at=now)
        if c.kind is Kind.PENDING and c.dialed_at < quiet and listening.get(c.switch, now) <= c.dialed_at
        else c
        for c in calls
    ]


def _running(seen: Health, view: _View, now: datetime, rules: Rules) -> Health:
    """ok or slowed: may go on, become less, or be stopped."""
    if (out := _out(view.judged[: rules.recent], rules)) is not None:
        return _stop(seen, _words([c for c in out if c.kind is Kind.FAULT], out, "calls"), now, rules)
    why, factor = [], 1.0
    if view.refused:
        last = max(view.refused, key=lambda c: c.known_at or c.dialed_at)
        why.append(
            f"{_calls(len(view.refused))} refused for its limits in {rules.refused_s:.0f} s, the last with {last.said}"
        )
    faults = [c for c in view.judged if c.kind is Kind.FAULT]
    count = len(view.judged)
    share = len(faults) / count if count else 0.0
    still = seen.state is State.SLOWED and share > rules.slow_share / 2
    if count >= rules.least and (still or _at_least(len(faults), count, rules.sure) >= rules.slow_share):
        why.append(_words(faults, view.judged, "calls"))
        factor = max(0.3, round(1 - share, 1))
    if view.slow_pdd:
        why.append(f"p90 of the time to the first ring is {view.figures.pdd_p90_s:.1f} s, its own is {seen.pdd_s:.1f} s")
        factor = min(factor, 0.7)
    if why:
        return _enter(seen, State.SLOWED, "; ".join(why), now, factor=factor, stops=_stops(seen, now, rules))
    good = f"{count - len(faults)} of the last {_calls(count)} got through"
    why_ok = good if count else f"no calls in {rules.window_s:.0f} s"
    why_ok += f"; set up wrongly: {_calls(len(view.unfit))} refused with {view.unfit[0].said}" if view.unfit else ""
    return _enter(seen, State.OK, why_ok, now, stops=_stops(seen, now, rules))


def _out(recent: Sequence[Dialed], rules: Rules) -> Sequence[Dialed] | None:
    """The latest calls that prove an outage, None when none do: all that are looked at, or, with more certainty because it
    is asked after each call, only the very latest of them.
    """
    faults, found = 0, None
    for count, call in enumerate(recent, 1):
        faults += call.kind is Kind.FAULT
        sure = rules.sure if count == len(recent) else rules.surer
        if count >= rules.least and _at_least(faults, count, sure) >= rules.stop_share:
            found = recent[:count]
    return found


def _pausing(seen: Health, now: datetime, rules: Rules) -> Health:
    if seen.pause_until is not None and now < seen.pause_until:
        return replace(seen, score=0)
    why = f"tried by {rules.probes} counted calls; stopped before: {seen.why.partition(NEXT_TRY)[0]}"
    return _enter(replace(seen, judged_from=now), State.PROBING, why, now, score=0, probes=rules.probes)


def _probing(seen: Health, view: _View, now: datetime, rules: Rules) -> Health:
    """All but one of the probes have to get through; a carrier that is only full is not out of order."""
    probes = view.known + view.any_refused
    bad = [c for c in view.known if c.kind is Kind.FAULT]
    good = len(probes) - len(bad)
    allowed = 1 if rules.probes > 2 else 0
    if len(bad) > allowed:
        return _stop(seen, _words(bad, probes, "probes"), now, rules)
    if good >= rules.probes - allowed:
        why = f"{good} of {good + len(bad)} probes got through"
        return _enter(seen, State.OK, why, now, factor=rules.return_share, stops=seen.stops)
    wanted = max(0, rules.probes - good - len(bad) - len(view.pending))
    score = round(100 * good / rules.probes)
    return replace(seen, probes=wanted, score=score)


def _stop(seen: Health, why: str, now: datetime, rules: Rules) -> Health:
    stops = _stops(seen, now, rules) + 1
    pause = min(rules.pause_max_s, rules.pause_s * 2 ** min(stops - 1, 20))
    until = now + timedelta(seconds=pause)
    said = f"{why}{NEXT_TRY}{pause:.0f} s"
    return replace(_enter(seen, State.STOPPED, said, now, score=0, stops=stops), pause_until=until)


def _stops(seen: Health, now: datetime, rules: Rules) -> int:
    """Stops in a row: forgotten when the last pause was long ago."""
    well = seen.state in (State.OK, State.SLOWED) and seen.pause_until is not None
    long_ago = seen.pause_until is not None and now - seen.pause_until > timedelta(seconds=rules.forget_s)
    return 0 if well and long_ago else seen.stops


def _enter(seen: Health, state: State, why: str, now: datetime, **changes: float | int) -> Health:
    since = seen.since if state is seen.state else now
    return replace(seen, state=state, why=why, since=since, **changes)  # type: ignore[arg-type]


def _at_least(faults: int, count: int, sure: float) -> float:
    """The share of faults that is certain (Wilson's lower bound): six of six are more than half, one of one is nothing."""
    if not count:
        return 0.0
    share, z2 = faults / count, sure * sure
    spread = sure * sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    return (share + z2 / (2 * count) - spread) / (1 + z2 / count)


def _words(faults: Sequence[Dialed], all_calls: Sequence[Dialed], what: str) -> str:
    """``9 of 10 calls dialed within 12 s ended with 503 Service Unavailable and no ringing``."""
    times = [c.dialed_at for c in all_calls]
    span = ceil((max(times) - min(times)).total_seconds()) if times else 0
    said = Counter(c.said for c in faults).most_common(2)
    ends = " or ".join(words or "a fault" for words, _ in said)
    text = f"{len(faults)} of {len(all_calls)} {what} dialed within {max(1, span)} s ended with {ends} and no ringing"
    for name, group in (("switch", {c.switch for c in faults}), ("tenant", {c.tenant for c in faults})):
        if len(group) == 1 and len({getattr(c, name) for c in all_calls}) > 1:
            text += f", all of one {name}" + (f" ({min(group)})" if name == "switch" else "")
    return text


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"
