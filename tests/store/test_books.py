"""The rehearsal's Postgres beside the real one: the same steps, from a seed, give the same answers, rows and webhooks."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from calls import watch
from calls.evidence import End, Evidence, Source, State
from calls.ids import new_uuid7
from lab.rehearse.state.books import Books, Command
from lab.stories import draw
from store import attempts, calls, change, commands
from store.attempts import Condition
from tests.store.conftest import RULES, TIMERS, World, at

SEEDS, STEPS, CALLS = 4, 96, 4
#: How a command is closed when a hangup is carried out, or the switch says that nothing is there.
ANSWERS = (watch.Probed.ABSENT, watch.Probed.ALIVE, watch.Probed.KILL)


class Pair:
    """One history in both. Every move does the same to each and compares what they answer."""

    def __init__(self, world: World, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.random = world, Random(seed)
        self.made: deque[UUID] = deque()
        self.told: list[tuple[UUID, int, str]] = []
        self.books = Books(RULES, TIMERS, self.made.popleft, lambda *hook: self.told.append(hook))
        self.books.epoch = 0
        self.seconds = 1.0
        self.sent: list[Evidence] = []
        monkeypatch.setattr(change, "new_uuid7", self._new_id)
        for _ in range(CALLS):
            accepted = world.accept(max_attempts=self.random.choice((1, 3)), expires_at=at(self.random.choice((60, 3600))))
            (row,) = world.attempt_list(accepted.call.id)
            self.books.accept(replace(accepted.call, sequence=0), row)

    def _new_id(self) -> UUID:
        self.made.append(new_uuid7())
        return self.made[-1]

    @property
    def now(self) -> datetime:
        return at(self.seconds)

    def some(self) -> UUID:
        return self.random.choice(list(self.books.attempts))

    def claim(self) -> None:
        id_ = self.some()
        terms: dict[str, Any] = {
            "fence": self.random.randint(1, 3), "epoch": self.random.choice((0, 0, 0, 1)), "switch": "fs1",
            "carrier_id": self.world.carrier_id, "now": self.now, "pdd_s": 25,
        }  # fmt: skip
        real = self.world.claim(id_, **terms)
        if isinstance(real, attempts.Claimed):
            assert self.books.claim(id_, gateway=real.gateway, **terms) is None
        else:
            assert self.books.claim(id_, **terms) == real.reason

    def unclaim(self) -> None:
        id_, fence = self.some(), self.random.randint(1, 3)
        assert self.books.unclaim(id_, fence, self.now) == attempts.unclaim(self.world.db, id_, fence, self.now)

    def see(self) -> None:
        """Some of a story, from several witnesses, some of it once more."""
        batch = []
        for _ in range(self.random.randint(1, 4)):
            id_ = self.some()
            story = draw(Random(f"{id_}"), ring_timeout_s=30, pdd_s=25, talk_s=20)
            seen = story.seen(id_, at(2), f"{id_}:{{}}".format)
            cdr = story.cdr(id_, at(2))
            own = replace(seen[-1], key=f"reconcile:{id_}", source=Source.RECONCILE, end=End("lost", self.now))
            batch.append(self.random.choice([*seen, *([cdr] if cdr else []), own]))
        batch += self.random.sample(self.sent, min(len(self.sent), 2))
        self.sent += batch
        self._both(batch)

    def _both(self, batch: list[Evidence], only_if: dict[UUID, Condition] | None = None) -> None:
        real = attempts.apply_evidence(self.world.db, batch, rules=RULES, timers=TIMERS, now=self.now, only_if=only_if)
        assert self.books.apply(batch, self.now, only_if) == real

    def conclude(self) -> None:
        """What the watchdog would write, on a row as it is or as it was once."""
        row = self.books.attempts[self.some()]
        if row.state in ("queued", "ended"):
            return
        end = watch.silent(
            row.id, State(row.state), self.now, ringing_at=row.ringing_at, early_at=row.early_at, answered_at=row.answered_at
        )
        probes = row.probes + self.random.choice((0, 0, 1))
        self._both([end], {row.id: Condition(row.state, row.deadline_at, probes)})

    def overdue(self) -> None:
        """Everything past its deadline is asked about."""
        mine = self.books.overdue(self.now, 100)
        ours = [
            row for row in attempts.list_overdue(self.world.db, self.now, 10_000) if row.attempt_id in self.books.attempts
        ]
        assert sorted((row.attempt_id, row.deadline_at, row.probes) for row in ours) == sorted(
            (row.id, row.deadline_at, row.probes) for row in mine if row.deadline_at is not None
        )
        again = self.now + timedelta(seconds=3)
        for real, row in zip(sorted(ours, key=lambda o: o.attempt_id), sorted(mine, key=lambda r: r.id), strict=True):
            assert (commands.ask(self.world.db, real, self.now, again) is not None) == self.books.ask(row, again)

    def expired(self) -> None:
        ours = [id_ for id_ in attempts.list_expired(self.world.db, self.now, 10_000) if id_ in self.books.attempts]
        mine = self.books.expired(self.now)
        assert sorted(ours) == sorted(mine)
        only_if = {id_: Condition(State.QUEUED) for id_ in mine}
        self._both([watch.expired(id_, self.now) for id_ in mine], only_if)

    def hangup(self) -> None:
        call = self.random.choice(list(self.books.calls))
        real = calls.request_hangup(self.world.db, self.world.tenant.id, call, "customer", self.now)
        assert self.books.request_hangup(call, "customer", self.now) == real.kind

    def carry_out(self) -> None:
        """One of the open commands is answered; they are the same ones."""
        real = [row for row in commands.list_open(self.world.db, "fs1") if row.attempt_id in self.books.attempts]
        real.sort(key=_what)
        mine = sorted(self.books.commands, key=_what)
        assert [_what(row) for row in real] == [_what(one) for one in mine]
        if mine:
            place, result = self.random.randrange(len(mine)), self.random.choice(ANSWERS)
            commands.finish(self.world.db, real[place].id, result, self.now)
            self.books.finish(mine[place], result)

    def grace(self) -> None:
        until = self.now + timedelta(seconds=3)
        attempts.grant_grace(self.world.db, until)
        self.books.grant_grace(until)

    def compare(self) -> None:
        for call_id, call in self.books.calls.items():
            assert self.world.call(call_id) == call
            rows = [self.books.attempts[id_] for id_ in self.books.numbers[call_id]]
            # The books know no name of a carrier.
            assert [
                replace(row, pushed_at=None, pushed_epoch=None, carrier=None) for row in self.world.attempt_list(call_id)
            ] == [replace(row, pushed_at=None, pushed_epoch=None) for row in rows]
            assert self.world.told(call_id) == [(seq, kind) for one, seq, kind in self.told if one == call_id]
        live = [row.id for row in self.books.live("fs1")]
        ours = [row.attempt_id for row in attempts.list_live(self.world.db, "fs1") if row.attempt_id in self.books.attempts]
        assert live == ours


def _what(one: commands.Command | Command) -> tuple[UUID, str, str]:
    return one.attempt_id, one.verb, one.requested_by


MOVES = [
    (Pair.claim, 8), (Pair.see, 8), (Pair.unclaim, 3), (Pair.conclude, 2), (Pair.overdue, 3), (Pair.expired, 2),
    (Pair.hangup, 1), (Pair.carry_out, 2), (Pair.grace, 1),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_books_do_as_postgres_does(world: World, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    pair = Pair(world, seed, monkeypatch)
    moves, weights = zip(*MOVES, strict=True)
    for step in range(STEPS):
        pair.seconds += pair.random.choice((0.1, 1.0, 7.0))
        pair.random.choices(moves, weights)[0](pair)
        if step % 8 == 7:
            pair.compare()
